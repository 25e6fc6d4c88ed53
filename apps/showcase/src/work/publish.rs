//! Puts messages where a consumer finds them.

use std::time::{SystemTime, UNIX_EPOCH};

use desist::Token;
use desist_host::BoxError;
use desist_mediator::{Behaviour, Call, Handler, Invalid};
use desist_queue::Nats;

use super::{Asked, Work, at_most};
use crate::mediator::and_behind_it;

/// What is published there is worked on.
pub(crate) const SUBJECT: &str = "showcase.documents";

pub(crate) struct Publish {
    pub(crate) count: u64,
    /// Those of a series are published once, however often it is asked for.
    pub(crate) series: Option<u64>,
}

impl Work for Publish {
    type Response = ();

    const NAME: &'static str = "publish";

    fn validate(&self) -> Result<(), Invalid> {
        at_most(1000, "count", self.count)
    }
}

/// Does it, if there is a server.
pub(crate) struct Publisher {
    nats: Option<Nats>,
}

impl Publisher {
    pub(crate) fn new(nats: Option<Nats>) -> Self {
        Self { nats }
    }
}

/// Refuses what nobody could do; around the log, where that is not to stand.
pub(crate) fn refused_without(nats: Option<&Nats>) -> impl Behaviour + use<> {
    let is_there = nats.is_some();
    move |call: Call| async move {
        if is_there { call.proceed().await } else { Err(there_is_no_queue().into()) }
    }
}

fn there_is_no_queue() -> Invalid {
    Invalid::new("messages", "there is no queue; start it with --nats nats://127.0.0.1:4222")
}

impl Handler<Asked<Publish>> for Publisher {
    type Error = BoxError;

    async fn handle(&self, stop: Token, asked: Asked<Publish>) -> Result<(), BoxError> {
        let Asked { work: Publish { count, series }, entry, .. } = asked;
        let nats = self.nats.as_ref().ok_or_else(there_is_no_queue)?;
        let series = match series {
            Some(series) => series,
            // Which no other request has.
            None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as u64,
        };
        for number in 1..=count {
            let id = format!("{series}-{number}");
            let published = stop.run(nats.publish(SUBJECT, id, number.to_string())).await?;
            published.map_err(|error| {
                let (done, why) = (number - 1, and_behind_it(&error));
                let advice =
                    format!("ask again with count={count}&series={series}, and the rest is, too");
                format!("{done} of {count} are published: {why}; {advice}")
            })?;
            entry.progress(number, Some(count));
        }
        Ok(())
    }
}
