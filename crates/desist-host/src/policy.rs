//! What becomes of the host when one of its services fails, or ends.

use std::time::Duration;

/// What a service's failure does: an error, a panic, a start that takes too long.
///
/// While the host stops there is nothing left to decide: every failure is collected then.
///
/// ```
/// use desist_host::{OnFailure, Restart};
///
/// assert_eq!(OnFailure::default(), OnFailure::StopHost);
/// assert_eq!(OnFailure::from(Restart::default()), OnFailure::Restart(Restart::default()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// The host stops, and its exit code is 1.
    #[default]
    StopHost,
    /// It is started again after a pause, and the host stops when that has been in vain
    /// too often. Whoever comes after it is not touched.
    Restart(Restart),
    /// The others go on without it. It is in the report and not in the exit code.
    Ignore,
}

impl From<Restart> for OnFailure {
    fn from(restart: Restart) -> Self {
        Self::Restart(restart)
    }
}

/// What it does when a service ends well before anybody asked it to.
///
/// ```
/// assert_eq!(desist_host::OnEnd::default(), desist_host::OnEnd::StopHost);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnEnd {
    /// The host stops, and that is no failure: the work of the program is done.
    #[default]
    StopHost,
    /// It is a failure, for it should not have ended: see [`OnFailure`].
    Fail,
    /// The others go on. When nobody is left the host stops.
    Ignore,
}

/// How often, and after what pauses, a service is started again.
///
/// The pause is doubled with each failure, and shortened by up to a quarter at random, so
/// that many replicas do not come back at one time. A service that ran well for
/// [`steady_after`](Self::steady_after) begins anew.
///
/// ```
/// use desist_host::Restart;
/// use std::time::Duration;
///
/// let restart = Restart::default().first_pause(Duration::from_millis(100)).limit(3);
/// assert_ne!(restart, Restart::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Restart {
    pub(crate) first_pause: Duration,
    pub(crate) longest_pause: Duration,
    pub(crate) steady_after: Duration,
    pub(crate) limit: u32,
}

impl Restart {
    /// The pause before the first restart; as it is made, a second.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let restart = desist_host::Restart::default();
    /// assert_eq!(restart.first_pause(Duration::from_secs(1)), restart);
    /// ```
    #[must_use]
    pub const fn first_pause(self, first_pause: Duration) -> Self {
        Self { first_pause, ..self }
    }

    /// No pause is longer; as it is made, 30 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let restart = desist_host::Restart::default();
    /// assert_eq!(restart.longest_pause(Duration::from_secs(30)), restart);
    /// ```
    #[must_use]
    pub const fn longest_pause(self, longest_pause: Duration) -> Self {
        Self { longest_pause, ..self }
    }

    /// A service that ran so long has none of its earlier failures counted; as it is made,
    /// a minute.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let restart = desist_host::Restart::default();
    /// assert_eq!(restart.steady_after(Duration::from_secs(60)), restart);
    /// ```
    #[must_use]
    pub const fn steady_after(self, steady_after: Duration) -> Self {
        Self { steady_after, ..self }
    }

    /// So many restarts in a row; the failure after them stops the host. As it is made, 5.
    ///
    /// ```
    /// let restart = desist_host::Restart::default();
    /// assert_eq!(restart.limit(5), restart);
    /// ```
    #[must_use]
    pub const fn limit(self, limit: u32) -> Self {
        Self { limit, ..self }
    }

    /// The pause before the restart after so many others; `random` is anything.
    pub(crate) fn pause(&self, before: u32, random: u64) -> Duration {
        let doubled = 1u32.checked_shl(before).filter(|factor| *factor > 0).unwrap_or(u32::MAX);
        let pause = self.first_pause.saturating_mul(doubled).min(self.longest_pause);
        // In steps of a 1024th.
        let off = pause / 4096 * u32::try_from(random % 1024).unwrap_or_default();
        pause - off
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            steady_after: Duration::from_secs(60),
            limit: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_lose_less_than_a_quarter() {
        let restart = Restart::default();
        let pauses =
            |random| [0, 1, 2, 4, 5, 40, u32::MAX].map(|n| restart.pause(n, random).as_millis());
        assert_eq!(pauses(0), [1000, 2000, 4000, 16_000, 30_000, 30_000, 30_000]);
        for (whole, short) in pauses(0).into_iter().zip(pauses(1023)) {
            assert!(short < whole && short * 4 >= whole * 3, "{short} of {whole}");
        }
    }
}
