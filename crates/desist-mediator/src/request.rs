//! What is sent to one, and what is told to many.

use std::any::type_name;

use crate::Invalid;

/// Something that is asked of the one handler that is there for it.
///
/// ```
/// use desist_mediator::{Invalid, Request};
///
/// struct Rename {
///     name: String,
/// }
///
/// impl Request for Rename {
///     type Response = ();
///
///     fn validate(&self) -> Result<(), Invalid> {
///         Invalid::unless(!self.name.is_empty(), "name", "must not be empty")
///     }
/// }
///
/// let wrong = Rename { name: String::new() }.validate().unwrap_err();
/// assert_eq!(wrong.to_string(), "name: must not be empty");
/// ```
pub trait Request: Send + 'static {
    /// What the handler answers with when it succeeds.
    type Response: Send + 'static;

    /// What it is called in errors and spans: the path of the type, unless said otherwise.
    #[must_use]
    fn name() -> &'static str
    where
        Self: Sized,
    {
        type_name::<Self>()
    }

    /// Whether it can be meant as it is. [`Validation`](crate::Validation) asks; without
    /// that behaviour nobody does.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// Something that has happened, told to everybody who wants to know, which may be nobody.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Mediator, Notification};
///
/// struct Renamed;
/// impl Notification for Renamed {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder().build().unwrap();
/// assert!(mediator.publish(&Token::never(), Renamed).await.is_ok());
/// # }
/// ```
pub trait Notification: Send + Sync + 'static {
    /// What it is called in errors: the path of the type, unless said otherwise.
    #[must_use]
    fn name() -> &'static str
    where
        Self: Sized,
    {
        type_name::<Self>()
    }
}
