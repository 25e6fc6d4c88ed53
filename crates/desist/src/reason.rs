use std::fmt;

/// Why a stop was asked for: the category that code decides by.
///
/// The order is that of severity and is meant for reports ("the worst thing
/// that happened today"). It does not decide between two causes of one signal:
/// the first one wins, a graver one that comes later is not seen.
///
/// A text or an error that says more goes along in a [`Cause`](crate::Cause).
///
/// ```
/// use desist::{Reason, Source};
///
/// let source = Source::new();
/// source.cancel_with(Reason::Superseded);
/// assert_eq!(source.token().reason(), Some(Reason::Superseded));
/// assert!(Reason::Requested < Reason::Shutdown);
/// assert_eq!(Reason::SiblingFailed.as_str(), "sibling_failed");
/// assert_eq!(Reason::SiblingFailed.to_string(), "sibling failed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it: the user, an operator, the code itself.
    Requested,
    /// Newer work has made this work useless.
    Superseded,
    /// Whoever waited for the result has gone.
    Disconnected,
    /// The time that was allowed is over.
    Deadline,
    /// Another task of the same group has failed.
    SiblingFailed,
    /// The guard that stood for the work was dropped.
    Dropped,
    /// There is no room for this work now.
    Overload,
    /// The right to do this work has passed to somebody else.
    LeaseLost,
    /// The process is about to end.
    Shutdown,
    /// Anything else; the detail says what.
    Other,
}

impl Reason {
    /// A short name that never changes, for labels in logs and metrics.
    ///
    /// ```
    /// assert_eq!(desist::Reason::LeaseLost.as_str(), "lease_lost");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Superseded => "superseded",
            Self::Disconnected => "disconnected",
            Self::Deadline => "deadline",
            Self::SiblingFailed => "sibling_failed",
            Self::Dropped => "dropped",
            Self::Overload => "overload",
            Self::LeaseLost => "lease_lost",
            Self::Shutdown => "shutdown",
            Self::Other => "other",
        }
    }

    /// This reason with an error as its detail.
    ///
    /// ```
    /// use desist::{Reason, Source};
    ///
    /// let source = Source::new();
    /// source.cancel_with(Reason::SiblingFailed.with(std::io::Error::other("disk full")));
    /// let cancelled = source.token().cancellation().unwrap();
    /// assert_eq!(cancelled.detail().unwrap().to_string(), "disk full");
    /// ```
    pub fn with(self, detail: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> crate::Cause {
        crate::Cause::new(self).detail(detail)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SiblingFailed => "sibling failed",
            Self::LeaseLost => "lease lost",
            other => other.as_str(),
        })
    }
}
