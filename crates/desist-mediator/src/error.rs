//! Why there is no answer.

use std::error::Error as StdError;
use std::fmt;

use desist::{Cancelled, find_cancelled};

use crate::{Invalid, PublishError};

/// Whatever a handler fails with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request has no answer: it was cancelled, it is not valid, its handler failed, or
/// it has none. What a handler said is its `source()`.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_mediator::{Mediator, Request};
///
/// struct Report;
/// impl Request for Report {
///     type Response = String;
///     fn name() -> &'static str {
///         "report"
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .handler(|stop: Token, Report| async move { Err(stop.cancelled().await) })
///     .build()
///     .unwrap();
/// let error = mediator.send(&Token::cancelled_with(Reason::Shutdown), Report).await.unwrap_err();
/// assert_eq!(error.to_string(), "`report` was cancelled");
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Shutdown);
/// # }
/// ```
pub struct Error {
    request: &'static str,
    kind: Kind,
    /// It has come out of a request that was sent: to whoever meets it after that it is the
    /// cause of another, be it of the same kind.
    is_out: bool,
}

#[derive(Debug)]
enum Kind {
    Failed(BoxError),
    Unhandled,
    Gone,
    /// A behaviour gave the answer to another request.
    Exchanged,
}

impl Error {
    fn of(request: &'static str, kind: Kind) -> Self {
        Self { request, kind, is_out: false }
    }

    /// For a behaviour that refuses a request, or fails. An [`Error`] stays itself.
    ///
    /// ```
    /// use desist_mediator::Error;
    ///
    /// let error = Error::new("the account is locked");
    /// assert_eq!(error.failure().unwrap().to_string(), "the account is locked");
    /// assert_eq!(Error::new(error).failure().unwrap().to_string(), "the account is locked");
    /// ```
    #[must_use]
    pub fn new(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(itself) => *itself,
            Err(error) => Self::of("", Kind::Failed(error)),
        }
    }

    /// Of a handler: one that another request failed with is the cause of this failure, of
    /// whatever kind that request is.
    pub(crate) fn of_handler(request: &'static str, error: BoxError) -> Self {
        match Self::new(error) {
            own if !own.is_out => own.about(request),
            other => Self::of(request, Kind::Failed(Box::new(other))),
        }
    }

    pub(crate) fn unhandled(request: &'static str) -> Self {
        Self::of(request, Kind::Unhandled)
    }

    pub(crate) fn gone(request: &'static str) -> Self {
        Self::of(request, Kind::Gone)
    }

    pub(crate) fn exchanged(request: &'static str) -> Self {
        Self::of(request, Kind::Exchanged)
    }

    /// Of a behaviour, which does not say what it is about. What a request of its own failed
    /// with is the cause: that one has no handler, or is not valid, and not this one.
    pub(crate) fn about(mut self, request: &'static str) -> Self {
        if self.is_out {
            return Self::of(request, Kind::Failed(Box::new(self)));
        }
        if self.request.is_empty() {
            self.request = request;
        }
        self
    }

    /// Whoever sent the request has it now.
    pub(crate) fn out(mut self) -> Self {
        self.is_out = true;
        self
    }

    /// The name of the request.
    #[must_use]
    pub fn request(&self) -> &'static str {
        self.request
    }

    /// The cancellation, if that is why, be it behind any number of errors.
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        find_cancelled(self.failure()?)
    }

    /// What is wrong with the request, if that is why.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_mediator::{Error, Invalid};
    ///
    /// let error = Error::from(Invalid::new("age", "must be 18 or more"));
    /// assert_eq!(error.invalid().unwrap().fields().count(), 1);
    /// assert!(error.cancelled().is_none());
    /// ```
    #[must_use]
    pub fn invalid(&self) -> Option<&Invalid> {
        let mut cause: &(dyn StdError + 'static) = self.failure()?;
        loop {
            match cause.downcast_ref() {
                Some(invalid) => return Some(invalid),
                // That request is not valid, and not this one.
                None if cause.is::<Self>() => return None,
                None => cause = cause.source()?,
            }
        }
    }

    /// Whether there is no handler of the request: one to register, and to
    /// [require](crate::MediatorBuilder::requires) where the mediator is built.
    #[must_use]
    pub fn is_unhandled(&self) -> bool {
        matches!(self.kind, Kind::Unhandled)
    }

    /// What the handler, or a behaviour, failed with.
    #[must_use]
    pub fn failure(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        match &self.kind {
            Kind::Failed(error) => Some(&**error),
            _ => None,
        }
    }

    /// What the handler, or a behaviour, failed with, to keep; else itself.
    ///
    /// ```
    /// use desist_mediator::Error;
    /// use std::io;
    ///
    /// let error = Error::new(io::Error::other("no space"));
    /// assert!(error.into_failure().is::<io::Error>());
    /// ```
    #[must_use]
    pub fn into_failure(self) -> BoxError {
        match self.kind {
            Kind::Failed(error) => error,
            kind => Box::new(Self { kind, ..self }),
        }
    }
}

impl From<Cancelled> for Error {
    fn from(cancelled: Cancelled) -> Self {
        Self::new(cancelled)
    }
}

impl From<PublishError> for Error {
    fn from(error: PublishError) -> Self {
        Self::new(error)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid)
    }
}

impl From<BoxError> for Error {
    fn from(error: BoxError) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.request {
            "" => f.write_str("a request")?,
            name => write!(f, "`{name}`")?,
        }
        match &self.kind {
            Kind::Failed(_) if self.cancelled().is_some() => f.write_str(" was cancelled"),
            Kind::Failed(_) if self.invalid().is_some() => f.write_str(" is not valid"),
            Kind::Failed(_) => f.write_str(" failed"),
            Kind::Unhandled => f.write_str(
                " has no handler; register one, and require it where the mediator is built, \
                 so that a missing one is seen there",
            ),
            Kind::Gone => f.write_str(
                " was sent to a mediator that is not built yet, or gone; keep one for as long \
                 as there are requests",
            ),
            Kind::Exchanged => f.write_str(
                " got the answer to another request; a behaviour must return what `proceed` of \
                 its own call gave it, or `answer` with the type of its own request",
            ),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("request", &self.request).field("kind", &self.kind).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            Kind::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
