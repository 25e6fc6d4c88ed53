//! A tick every second, until the reader goes or the server drains.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use desist::Token;
use desist_tokio::StreamExt as _;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt as _};

use super::{Asked, Work};
use crate::log::Entry;

pub(crate) struct Events {
    /// Streams without an end are over when this is cancelled, before work is stopped.
    pub(crate) draining: Token,
}

impl Work for Events {
    type Response = Pin<Box<dyn Stream<Item = u64> + Send>>;

    const NAME: &'static str = "events";
}

pub(crate) async fn events(
    stop: Token,
    asked: Asked<Events>,
) -> Result<<Events as Work>::Response, Infallible> {
    let Asked { work: Events { draining }, entry, .. } = asked;
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    let until = draining.clone();
    let mut watched = Watched { entry, stop, draining, ticks: 0 };
    Ok(Box::pin(ticks.map(move |_| watched.tick()).until_cancelled(&until)))
}

/// Says why the stream ended: it is dropped with it.
struct Watched {
    entry: Entry,
    stop: Token,
    draining: Token,
    ticks: u64,
}

impl Watched {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.entry.progress(self.ticks, None);
        self.ticks
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let entry = std::mem::take(&mut self.entry);
        match self.stop.cancellation().or_else(|| self.draining.cancellation()) {
            Some(cancelled) => entry.heard(&cancelled),
            None => entry.finish(),
        }
    }
}
