//! How notifications are told.

/// In which order the handlers of a notification are told, and what an error of one means
/// to the others.
///
/// | | all are told | until an error |
/// |---|---|---|
/// | one after another | the errors are collected | the others are not told |
/// | together | the errors are collected | the others are cancelled, `SiblingFailed`, and waited for |
///
/// Whichever it is, the token is looked at before each of them begins, and those who would
/// begin on a cancelled one do not.
///
/// ```
/// use desist::{Cancelled, Token};
/// use desist_mediator::{Delivery, Mediator, Notification};
/// use std::sync::Arc;
///
/// struct Paid;
/// impl Notification for Paid {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .delivery_of::<Paid>(Delivery::in_turn().until_error())
///     .notification_handler(|_stop: Token, _: Arc<Paid>| async { Err("the printer is out of paper") })
///     .notification_handler(|stop: Token, _: Arc<Paid>| async move { stop.check() })
///     .build()
///     .unwrap();
/// let error = mediator.publish(&Token::never(), Paid).await.unwrap_err();
/// assert_eq!((error.failures().len(), error.not_begun()), (1, 1));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    pub(crate) together: bool,
    pub(crate) until_error: bool,
}

impl Delivery {
    /// One after another, in the order they were added.
    #[must_use]
    pub const fn in_turn() -> Self {
        Self { together: false, until_error: false }
    }

    /// All at once, on the task that publishes.
    #[must_use]
    pub const fn together() -> Self {
        Self { together: true, until_error: false }
    }

    /// The first error, or panic, is the last: the others are not told or, told already,
    /// asked to stop.
    #[must_use]
    pub const fn until_error(mut self) -> Self {
        self.until_error = true;
        self
    }
}
