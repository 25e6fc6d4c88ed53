//! Between those who ask and those who do it: who does what, and what is done around it.

use std::time::Duration;

use desist_mediator::{BuildError, Error, Mediator, Timeout, Validation};

use crate::log::{Log, logged};
use crate::routes;
use crate::uploads::Shelf;
use crate::work::{
    Asked, Download, Events, LongRunningTask, Primes, Upload, Uploads, download, events,
    long_running_task, primes,
};

/// Whoever asked for something has forgotten it by then.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn mediator(log: &Log, shelf: &Shelf) -> Result<Mediator, BuildError> {
    let builder = Mediator::builder()
        // The first is around all others: what is refused does not stand in the log.
        .behaviour(Validation)
        .behaviour_for::<Asked<LongRunningTask>>(logged::<LongRunningTask>(log))
        .behaviour_for::<Asked<Upload>>(logged::<Upload>(log))
        .behaviour_for::<Asked<Download>>(logged::<Download>(log))
        .behaviour_for::<Asked<Events>>(logged::<Events>(log))
        .behaviour_for::<Asked<Primes>>(logged::<Primes>(log))
        // Until the answer: a stream in it goes on.
        .behaviour(Timeout::new(A_DAY))
        .handler(long_running_task)
        .handler(Uploads::new(shelf.clone()))
        .handler(download)
        .handler(events)
        .handler(primes)
        .handler(log.clone());
    routes::requires(builder).build()
}

/// With what a work failed, and all that is behind it.
pub(crate) fn why(error: &Error) -> String {
    let Some(failure) = error.failure() else { return error.to_string() };
    let mut said = failure.to_string();
    let mut cause = failure.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
