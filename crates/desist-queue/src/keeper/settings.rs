//! What a consumer was told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::hand::discard;
use crate::ledger::AnyLedger;
use crate::news::Listener;
use crate::{Backoff, News, trace};

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) concurrency: usize,
    pub(crate) max_deliveries: u64,
    pub(crate) backoff: Backoff,
    pub(crate) work_timeout: Option<Duration>,
    pub(crate) drain_for: Duration,
    pub(crate) grace: Duration,
    pub(crate) ledger: Option<Arc<dyn AnyLedger>>,
    pub(crate) listener: Option<Listener>,
}

impl Settings {
    pub(crate) fn tell(&self, news: &News) {
        trace::news(news);
        if let Some(listener) = &self.listener {
            // Its panic has been reported, and is not that of the messages.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(news))) {
                discard(panic);
            }
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 10,
            max_deliveries: 10,
            backoff: Backoff::default(),
            work_timeout: None,
            drain_for: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            ledger: None,
            listener: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("concurrency", &self.concurrency)
            .field("max_deliveries", &self.max_deliveries)
            .field("backoff", &self.backoff)
            .field("work_timeout", &self.work_timeout)
            .field("drain_for", &self.drain_for)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
