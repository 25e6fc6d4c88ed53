use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::{Cancelled, Reason};

/// What is handed to [`Source::cancel_with`](crate::Source::cancel_with): a
/// [`Reason`] and, if there is more to say, a detail.
///
/// A plain text is `Requested` with that text; a [`Cancelled`] keeps its reason
/// and becomes the detail itself, so that a stop which is passed on from one
/// signal to another keeps its whole story.
///
/// ```
/// use desist::{Cause, Reason, Source};
///
/// let source = Source::new();
/// source.cancel_with(Cause::new(Reason::Shutdown).message("SIGTERM"));
/// let first = source.token().cancellation().unwrap();
/// assert_eq!(first.reason(), Reason::Shutdown);
/// assert_eq!(first.detail().unwrap().to_string(), "SIGTERM");
///
/// let other = Source::new();
/// other.cancel_with(first);
/// assert_eq!(other.token().reason(), Some(Reason::Shutdown));
///
/// let third = Source::new();
/// third.cancel_with("no longer needed");
/// assert_eq!(third.token().reason(), Some(Reason::Requested));
/// ```
#[derive(Debug)]
#[must_use = "a cause does nothing until it is handed to `cancel_with`"]
pub struct Cause {
    reason: Reason,
    detail: Option<Detail>,
}

/// What a cause says beyond its reason.
pub(crate) enum Detail {
    Message(Message),
    Error(Box<dyn Error + Send + Sync>),
    Cancelled(Cancelled),
}

/// A text that serves as an error.
pub(crate) struct Message(Cow<'static, str>);

impl Cause {
    /// A cause with this reason and no detail.
    ///
    /// ```
    /// use desist::{Cause, Reason, Token};
    ///
    /// let token = Token::cancelled_with(Cause::new(Reason::Overload));
    /// assert_eq!(token.reason(), Some(Reason::Overload));
    /// ```
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: None }
    }

    /// Says more with an error (or a text). Replaces an earlier detail or
    /// message.
    ///
    /// ```
    /// use desist::{Cause, Reason, Token};
    ///
    /// let lost = std::io::Error::other("peer reset");
    /// let token = Token::cancelled_with(Cause::new(Reason::Disconnected).detail(lost));
    /// assert_eq!(token.cancellation().unwrap().detail().unwrap().to_string(), "peer reset");
    /// ```
    pub fn detail(mut self, detail: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.detail = Some(match detail.into().downcast::<Cancelled>() {
            Ok(cancelled) => Detail::Cancelled(*cancelled),
            Err(error) => Detail::Error(error),
        });
        self
    }

    /// Says more with a text. Replaces an earlier detail or message.
    ///
    /// ```
    /// use desist::{Cause, Reason, Token};
    ///
    /// let token = Token::cancelled_with(Cause::new(Reason::Other).message("quota used up"));
    /// assert_eq!(token.cancellation().unwrap().detail().unwrap().to_string(), "quota used up");
    /// ```
    pub fn message(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(Detail::Message(Message(text.into())));
        self
    }

    pub(crate) fn into_parts(self) -> (Reason, Option<Detail>) {
        (self.reason, self.detail)
    }
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<&'static str> for Cause {
    fn from(text: &'static str) -> Self {
        Self::new(Reason::Requested).message(text)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self::new(Reason::Requested).message(text)
    }
}

impl From<Cancelled> for Cause {
    fn from(cancelled: Cancelled) -> Self {
        Self { reason: cancelled.reason(), detail: Some(Detail::Cancelled(cancelled)) }
    }
}

impl Detail {
    pub(crate) fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        match self {
            Self::Message(message) => message,
            Self::Error(error) => &**error,
            Self::Cancelled(cancelled) => cancelled,
        }
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_error(), f)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Error for Message {}
