//! Work of every kind: what is asked for, and who does it. Nothing here knows of HTTP.

mod download;
mod downstream;
mod events;
mod long_running_task;
mod primes;
mod publish;
mod report;
mod search;
mod upload;

use desist_mediator::{Invalid, Request};

pub(crate) use self::download::{Download, Downloads};
pub(crate) use self::downstream::{Downstream, Neighbour};
pub(crate) use self::events::{Events, events};
pub(crate) use self::long_running_task::{LongRunningTask, long_running_task};
pub(crate) use self::primes::{Primes, primes};
pub(crate) use self::publish::{Publish, Publisher, SUBJECT, refused_without};
pub(crate) use self::report::{Report, Reports};
pub(crate) use self::search::{Search, Searches, SupersededBy};
pub(crate) use self::upload::{Upload, Uploads};
use crate::log::{Asker, Entry};

/// Something that takes its time.
pub(crate) trait Work: Send + 'static {
    type Response: Send + 'static;

    const NAME: &'static str;

    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Work that somebody asks for: a request of its own for each kind.
pub(crate) struct Asked<W> {
    pub(crate) by: Asker,
    pub(crate) work: W,
    /// Of nobody, until a behaviour puts that of the log here.
    pub(crate) entry: Entry,
}

impl<W> Asked<W> {
    pub(crate) fn new(by: Asker, work: W) -> Self {
        Self { by, work, entry: Entry::default() }
    }
}

impl<W: Work> Request for Asked<W> {
    type Response = W::Response;

    fn name() -> &'static str {
        W::NAME
    }

    fn validate(&self) -> Result<(), Invalid> {
        self.work.validate()
    }
}

/// What would take for ever, or is no size at all, is refused.
fn at_most(most: u64, field: &str, asked: u64) -> Result<(), Invalid> {
    let advice = format!("{field}={asked} is too much; ask for at most {field}={most}");
    Invalid::unless(asked <= most, field, &advice)
}
