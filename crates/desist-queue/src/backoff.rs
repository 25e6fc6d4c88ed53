//! Pauses that grow.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long a message that failed is left alone: a pause that is doubled with each delivery
/// up to a longest one, and shortened by up to a half at random, so that what failed together
/// does not come back together.
///
/// ```
/// use desist_queue::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_secs(1)).longest(Duration::from_secs(60));
/// let third = backoff.after(3); // of four seconds
/// assert!(third >= Duration::from_secs(2) && third <= Duration::from_secs(4));
/// assert!(backoff.after(50) <= Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// This long after the first delivery; at most five minutes, if nothing is said.
    #[must_use]
    pub const fn new(first: Duration) -> Self {
        Self { first, longest: Duration::from_secs(300) }
    }

    /// No pause is longer than this.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// A pause after so many deliveries, at random between half of it and all of it.
    #[must_use]
    pub fn after(&self, deliveries: u64) -> Duration {
        let doubled = u32::try_from(deliveries.saturating_sub(1)).unwrap_or(u32::MAX).min(40);
        let whole = self.first.saturating_mul(2_u32.saturating_pow(doubled)).min(self.longest);
        // A fresh seed for each state: std's own randomness, which is all that jitter needs.
        let part = RandomState::new().hash_one(0) % 1024;
        whole / 2 + (whole / 2 / 1024).saturating_mul(part as u32)
    }
}

impl Default for Backoff {
    /// A second at first, five minutes at most.
    fn default() -> Self {
        Self::new(Duration::from_secs(1))
    }
}
