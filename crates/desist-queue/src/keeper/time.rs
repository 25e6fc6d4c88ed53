//! How far the stop of a consumer has come.

use std::time::Duration;

use tokio::time::Instant;

use super::{AFTER_DROP, Settings};

/// Longer than any clock can tell: some decades.
const FAR: Duration = Duration::from_secs(1 << 30);

/// When that time has passed since then; if ever.
pub(super) fn later(since: Instant, time: Duration) -> Option<Instant> {
    (time < FAR).then(|| since + time)
}

/// Each is set once, in this order, to when it began.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    drains: Option<Bounded>,
    asked: Option<Bounded>,
}

#[derive(Debug, Clone, Copy)]
struct Bounded {
    since: Instant,
    until: Instant,
}

impl Bounded {
    fn from_now(time: Duration) -> Self {
        let since = Instant::now();
        Self { since, until: since + time.min(FAR) }
    }
}

impl Stages {
    pub(crate) fn drains(&self) -> bool {
        self.drains.is_some()
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(crate) fn drain(&mut self, settings: &Settings) {
        self.drains.get_or_insert_with(|| Bounded::from_now(settings.drain_for));
    }

    /// A stop implies a drain.
    pub(crate) fn ask(&mut self, settings: &Settings) {
        self.drain(settings);
        self.asked.get_or_insert_with(|| Bounded::from_now(settings.grace));
    }

    /// Whether those in hand are to be asked now.
    pub(crate) fn drain_is_over(&self, now: Instant) -> bool {
        self.asked.is_none() && self.drains.is_some_and(|drain| drain.until <= now)
    }

    /// Whether those in hand are to be dropped.
    pub(crate) fn grace_is_over(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| asked.until <= now)
    }

    /// Whether nobody is waited for any longer.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.asked.is_some_and(|asked| asked.until + AFTER_DROP <= now)
    }

    pub(crate) fn asked_for(&self, now: Instant) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| now - asked.since)
    }

    /// When one of these changes next.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        match (self.drains, self.asked) {
            (_, Some(asked)) if asked.until > now => Some(asked.until),
            (_, Some(asked)) => Some(asked.until + AFTER_DROP),
            (Some(drain), None) => Some(drain.until),
            (None, None) => None,
        }
    }
}
