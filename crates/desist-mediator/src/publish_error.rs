//! Who was not told, or failed when told.

use std::error::Error;
use std::fmt;
use std::panic::Location;

use desist::{Cancelled, find_cancelled};

use crate::BoxError;

/// That handlers of a notification failed, or were not told. All of them are in it; the
/// first failure, or the cancellation, is its `source()`. One that was asked to stop because
/// another had failed is among them, but never the first where it is asked why.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_mediator::{Mediator, Notification};
/// use std::sync::Arc;
///
/// struct Paid;
/// impl Notification for Paid {
///     fn name() -> &'static str {
///         "paid"
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .notification_handler(|_stop: Token, _: Arc<Paid>| async { Err("the printer is on fire") })
///     .notification_handler(|stop: Token, _: Arc<Paid>| async move { stop.check() })
///     .build()
///     .unwrap();
/// let error = mediator.publish(&Token::never(), Paid).await.unwrap_err();
/// assert_eq!(error.to_string(), "1 of the 2 handlers of `paid` failed");
/// assert_eq!(error.failures()[0].error().to_string(), "the printer is on fire");
///
/// let stopped = Token::cancelled_with(Reason::Shutdown);
/// let error = mediator.publish(&stopped, Paid).await.unwrap_err();
/// assert_eq!(error.to_string(), "2 of the 2 handlers of `paid` were not told");
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Shutdown);
/// # }
/// ```
#[derive(Debug)]
pub struct PublishError {
    notification: &'static str,
    of: usize,
    not_begun: usize,
    failures: Vec<Failure>,
    cancelled: Option<Cancelled>,
}

impl PublishError {
    pub(crate) fn new(
        notification: &'static str,
        of: usize,
        not_begun: usize,
        failures: Vec<Failure>,
        cancelled: Option<Cancelled>,
    ) -> Self {
        Self { notification, of, not_begun, failures, cancelled }
    }

    pub(crate) fn gone(notification: &'static str) -> Self {
        Self::new(notification, 0, 0, Vec::new(), None)
    }

    /// The name of the notification.
    #[must_use]
    pub fn notification(&self) -> &'static str {
        self.notification
    }

    /// Who failed, in the order they were added.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// How many were not told.
    #[must_use]
    pub fn not_begun(&self) -> usize {
        self.not_begun
    }

    /// The cancellation, if that is why: if it is behind the [`source`](Error::source), which
    /// is the first failure, or, if there is none, the cancellation of the token.
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        find_cancelled(self.source()?)
    }

    /// The cancellation of the token, if some were not told because of it.
    ///
    /// ```
    /// use desist::{Reason, Source, Token};
    /// use desist_mediator::{Mediator, Notification};
    /// use std::sync::Arc;
    ///
    /// struct Paid;
    /// impl Notification for Paid {}
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let source = Source::new();
    /// let goes = source.clone();
    /// let mediator = Mediator::builder()
    ///     .notification_handler(move |_stop: Token, _: Arc<Paid>| {
    ///         goes.cancel_with(Reason::Disconnected);
    ///         async { Err("the printer is on fire") }
    ///     })
    ///     .notification_handler(|stop: Token, _: Arc<Paid>| async move { stop.check() })
    ///     .build()
    ///     .unwrap();
    /// let error = mediator.publish(&source.token(), Paid).await.unwrap_err();
    /// assert!(error.cancelled().is_none()); // the first that went wrong is the printer
    /// assert_eq!(error.not_told_for().unwrap().reason(), Reason::Disconnected);
    /// # }
    /// ```
    #[must_use]
    pub fn not_told_for(&self) -> Option<&Cancelled> {
        self.cancelled.as_ref()
    }

    /// Without those who stopped for another, which is among them, or panicked.
    fn reasons(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().filter(|failure| !failure.for_another)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { notification, of, not_begun, .. } = self;
        match (self.failures.len(), not_begun) {
            (0, 0) => write!(
                f,
                "`{notification}` was told to a mediator that is not built yet, or gone; keep one \
                 for as long as there are notifications"
            ),
            (0, _) => {
                write!(f, "{not_begun} of the {of} handlers of `{notification}` were not told")
            }
            (failed, 0) => write!(f, "{failed} of the {of} handlers of `{notification}` failed"),
            (failed, _) => write!(
                f,
                "{failed} of the {of} handlers of `{notification}` failed, and {not_begun} were \
                 not told"
            ),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let cancelled =
            || self.cancelled.as_ref().map(|cancelled| cancelled as &(dyn Error + 'static));
        self.reasons()
            .next()
            .map(|first| first.error() as &(dyn Error + 'static))
            .or_else(cancelled)
    }
}

/// One handler that failed.
#[derive(Debug)]
pub struct Failure {
    handler: &'static str,
    place: &'static Location<'static>,
    error: BoxError,
    /// It was asked to stop because another had failed, and did.
    for_another: bool,
}

impl Failure {
    pub(crate) fn new(
        handler: &'static str,
        place: &'static Location<'static>,
        error: BoxError,
        for_another: bool,
    ) -> Self {
        Self { handler, place, error, for_another }
    }

    /// The path of its type.
    #[must_use]
    pub fn handler(&self) -> &'static str {
        self.handler
    }

    /// Where it was added.
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// What it failed with.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}
