//! No handler sees what cannot be meant.

use crate::{Answer, Behaviour, Call, Error};

/// Refuses requests that say of themselves that they are [not valid](crate::Request::validate).
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Error, Invalid, Mediator, Request, Validation};
///
/// struct Order {
///     pieces: u32,
/// }
/// impl Request for Order {
///     type Response = u32;
///     fn validate(&self) -> Result<(), Invalid> {
///         Invalid::unless(self.pieces > 0, "pieces", "must be one or more")
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .behaviour(Validation)
///     .handler(|_stop: Token, order: Order| async move { Ok::<_, Error>(order.pieces) })
///     .build()
///     .unwrap();
/// assert_eq!(mediator.send(&Token::never(), Order { pieces: 2 }).await.unwrap(), 2);
/// let error = mediator.send(&Token::never(), Order { pieces: 0 }).await.unwrap_err();
/// assert_eq!(error.invalid().unwrap().fields().next().unwrap().0, "pieces");
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Validation;

impl Behaviour for Validation {
    async fn handle(&self, call: Call) -> Result<Answer, Error> {
        call.validate()?;
        call.proceed().await
    }
}
