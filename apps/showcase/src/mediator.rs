//! Between those who ask and those who do it: who does what, and what is done around it.

use std::time::Duration;

use desist_host::BoxError;
use desist_mediator::{Error, Mediator, Timeout, Validation};
use desist_queue::Nats;
use desist_tokio::Spawner;

use crate::data::Shared;
use crate::log::{Log, logged};
use crate::uploads::Shelf;
use crate::web;
use crate::work::{
    Asked, Download, Downloads, Downstream, Events, LongRunningTask, Neighbour, Primes, Publish,
    Publisher, Report, Reports, Search, Searches, SupersededBy, Upload, Uploads, events,
    long_running_task, primes, refused_without,
};

/// Whoever asked for something has forgotten it by then.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What those need who do the work.
pub(crate) struct Needs {
    pub(crate) log: Log,
    pub(crate) shelf: Shelf,
    pub(crate) documents: Shared,
    pub(crate) nats: Option<Nats>,
    pub(crate) downloads: Spawner,
    pub(crate) downstream: String,
}

pub(crate) fn mediator(needs: Needs) -> Result<Mediator, BoxError> {
    let Needs { log, shelf, documents, nats, downloads, downstream } = needs;
    let builder = Mediator::builder()
        // The first is around all others: what is refused does not stand in the log.
        .behaviour(Validation)
        // And before the log, which shows that a search is superseded.
        .behaviour_for::<Asked<Search>>(SupersededBy::default())
        .behaviour_for::<Asked<LongRunningTask>>(logged::<LongRunningTask>(&log))
        .behaviour_for::<Asked<Upload>>(logged::<Upload>(&log))
        .behaviour_for::<Asked<Download>>(logged::<Download>(&log))
        .behaviour_for::<Asked<Events>>(logged::<Events>(&log))
        .behaviour_for::<Asked<Primes>>(logged::<Primes>(&log))
        .behaviour_for::<Asked<Report>>(logged::<Report>(&log))
        .behaviour_for::<Asked<Search>>(logged::<Search>(&log))
        .behaviour_for::<Asked<Downstream>>(logged::<Downstream>(&log))
        .behaviour_for::<Asked<Publish>>(refused_without(nats.as_ref()))
        .behaviour_for::<Asked<Publish>>(logged::<Publish>(&log))
        // Until the answer: a stream in it goes on.
        .behaviour(Timeout::new(A_DAY))
        .handler(long_running_task)
        .handler(Uploads::new(shelf))
        .handler(Downloads::new(downloads))
        .handler(events)
        .handler(primes)
        .handler(Reports::new(documents.clone()))
        .handler(Searches::new(documents))
        .handler(Neighbour::at(&downstream)?)
        .handler(Publisher::new(nats))
        .handler(log);
    Ok(web::requires(builder).build()?)
}

/// With what a work failed, and all that is behind it.
pub(crate) fn why(error: &Error) -> String {
    match error.failure() {
        Some(failure) => and_behind_it(failure),
        None => error.to_string(),
    }
}

pub(crate) fn and_behind_it(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
