use std::fmt;
use std::panic::Location;

use crate::{Cause, Reason, Source, Token};

/// Cancels when it is dropped, with [`Reason::Dropped`] and the place where the
/// guard was made as the origin.
///
/// A callback that panics then panics here, unless the thread already unwinds.
///
/// Put it where the work ends, however it ends: by return, by `?`, by panic, or
/// because the future that holds it was dropped.
///
/// ```
/// use desist::{Reason, Source};
///
/// let source = Source::new();
/// let token = source.token();
/// let work = || -> Result<(), std::num::ParseIntError> {
///     let _guard = source.guard();
///     "seven".parse::<u32>()?;
///     Ok(())
/// };
/// assert!(work().is_err());
/// assert_eq!(token.reason(), Some(Reason::Dropped));
/// ```
#[must_use = "a guard that is not kept cancels at once"]
pub struct Guard {
    source: Option<Source>,
    origin: &'static Location<'static>,
}

impl Guard {
    pub(crate) fn new(source: Source, origin: &'static Location<'static>) -> Self {
        Self { source: Some(source), origin }
    }

    /// Gives up the duty: nothing is cancelled, and the source comes back.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new().into_guard().disarm();
    /// assert!(!source.is_cancelled());
    /// ```
    #[must_use = "dropping the source cancels nothing; if that is meant, say `drop(guard.disarm())`"]
    pub fn disarm(mut self) -> Source {
        self.source.take().unwrap_or_default()
    }

    /// A token of the signal that this guard cancels.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// assert_eq!(source.guard().token(), source.token());
    /// ```
    #[must_use]
    pub fn token(&self) -> Token {
        self.source.as_ref().map_or_else(Token::never, Source::token)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            source.cancel_at_origin(Cause::new(Reason::Dropped), self.origin);
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("source", &self.source).finish_non_exhaustive()
    }
}
