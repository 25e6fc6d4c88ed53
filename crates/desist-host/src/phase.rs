//! How far a host is.

use std::fmt;

/// How far a host is: each comes after the one before it here, and none comes back. One that
/// is stopped before it was ready, or that has no
/// [`drain_delay`](crate::HostBuilder::drain_delay), has no `Unready`.
///
/// ```
/// use desist_host::Phase;
///
/// assert!(Phase::Running.is_ready() && !Phase::Unready.is_ready());
/// assert!(Phase::Running < Phase::Stopping);
/// assert_eq!(Phase::Unready.to_string(), "unready");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Not all services have started.
    Starting,
    /// All have.
    Running,
    /// It is to stop, and serves on until nobody is sent to it any more.
    Unready,
    /// Its services are asked to stop, one after the other.
    Stopping,
    /// It is over.
    Stopped,
}

impl Phase {
    /// Whether it is to be sent work.
    ///
    /// ```
    /// assert!(!desist_host::Phase::Starting.is_ready());
    /// ```
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether it was asked to stop.
    ///
    /// ```
    /// assert!(desist_host::Phase::Unready.is_stopping());
    /// ```
    #[must_use]
    pub const fn is_stopping(self) -> bool {
        matches!(self, Self::Unready | Self::Stopping | Self::Stopped)
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unready => "unready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
