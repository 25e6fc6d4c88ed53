//! A clock by which a time can be over before anybody is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist::{Clock, Source, TimeSource};

struct Stands {
    now: Mutex<Instant>,
}

impl TimeSource for Stands {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    fn arm(&self, _: Option<Instant>) {}
}

/// A time that is over when it is said so, and of which nobody is told.
pub(crate) struct Late {
    time: Arc<Stands>,
    pub(crate) source: Source,
}

impl Late {
    /// It has an hour, for now.
    pub(crate) fn new() -> Self {
        let time = Arc::new(Stands { now: Mutex::new(Instant::now()) });
        let clock = Clock::new(Arc::clone(&time));
        let source = Source::with_clock(clock);
        source.cancel_after(Duration::from_secs(3600));
        Self { time, source }
    }

    pub(crate) fn is_over(&self) {
        *self.time.now.lock().unwrap() += Duration::from_secs(3600);
        assert!(!self.source.is_cancelled());
        assert_eq!(self.source.token().remaining(), Some(Duration::ZERO));
    }
}
