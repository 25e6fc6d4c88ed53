//! What stands in the log of every work, around its handler.

use desist_mediator::{Behaviour, Call};

use super::{Entry, Log};
use crate::mediator::why;
use crate::work::{Asked, Work};

/// Begins an entry for a work, gives it to the handler, and ends it with that. A handler
/// whose answer goes on after it, a stream or a thread, keeps it for as long.
pub(crate) fn logged<W: Work>(log: &Log) -> impl Behaviour + use<W> {
    let log = log.clone();
    move |mut call: Call| {
        let log = log.clone();
        async move {
            let token = call.token().clone();
            let Some(asked) = call.request_mut::<Asked<W>>() else { return call.proceed().await };
            let entry = Entry::begin(&log, W::NAME, asked.by.clone(), token);
            asked.entry = entry.clone();
            let answer = call.proceed().await;
            match &answer {
                Ok(_) => entry.finish(),
                Err(error) => match error.cancelled() {
                    Some(cancelled) => entry.heard(cancelled),
                    None => entry.fail(why(error)),
                },
            }
            answer
        }
    }
}
