//! What is to become of an operation when something goes wrong.

use std::time::Duration;

/// The longest time that is counted with: clocks end, and `Duration::MAX` is beyond.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What becomes of an operation whose process has died, or was cut off for longer than its
/// lease.
///
/// ```
/// assert_eq!(desist_ops::AfterDeath::default(), desist_ops::AfterDeath::Fail);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AfterDeath {
    /// It has failed. Nobody knows how far it had come.
    #[default]
    Fail,
    /// It is begun again, as often as it has attempts. What it does has to bear that: its effects
    /// go through [`commit`](crate::Context::commit), or are the same the second time.
    Restart,
}

impl AfterDeath {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Restart => "restart",
        }
    }
}

/// What becomes of an operation that is started with the key of one that waits or runs.
///
/// ```
/// assert_eq!(desist_ops::Duplicates::default(), desist_ops::Duplicates::Joined);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Duplicates {
    /// It is not started: who asked is given the other one. One that was asked to stop is no
    /// match.
    #[default]
    Joined,
    /// The other one is cancelled, as [superseded](desist::Reason::Superseded). The new one does
    /// not wait for it to have stopped.
    Superseded,
    /// Both run: the key is only to be found by.
    Allowed,
}

/// What becomes of a run that does not stop within its grace.
///
/// ```
/// assert_eq!(desist_ops::WhenOverdue::default(), desist_ops::WhenOverdue::Wait);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenOverdue {
    /// It is listed as overdue, and waited for: what is said to have ended has ended.
    #[default]
    Wait,
    /// Its future is dropped, and it has ended. What it has begun on other threads goes on.
    Drop,
}
