//! Who does what is asked, and who is told what has happened.

use std::future::Future;
use std::sync::Arc;

use desist::Token;

use crate::{BoxError, Notification, Request};

/// Does what a request asks. An `Fn(Token, R) -> impl Future` is one, so an `async fn` of
/// these two arguments is one as well; and an `Arc` of one is, for a type that handles several
/// kinds.
///
/// The token is the one that the request was sent with, narrowed by the behaviours around
/// the handler: it should look at it, and hand it on to all that it calls.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Handler, Mediator, Request};
/// use std::convert::Infallible;
///
/// struct Add(u64);
/// impl Request for Add {
///     type Response = u64;
/// }
///
/// struct Calculator {
///     base: u64,
/// }
/// impl Handler<Add> for Calculator {
///     type Error = Infallible;
///     async fn handle(&self, _stop: Token, Add(number): Add) -> Result<u64, Infallible> {
///         Ok(self.base + number)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder().handler(Calculator { base: 40 }).build().unwrap();
/// assert_eq!(mediator.send(&Token::never(), Add(2)).await.unwrap(), 42);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{R}`",
    note = "implement `Handler<{R}>` for it, or give an `async fn(Token, {R}) -> Result<_, _>`, or a closure whose two arguments have their types written down"
)]
pub trait Handler<R: Request>: Send + Sync + 'static {
    /// What it fails with. `Cancelled`, or an error that has it behind `source()`, is told
    /// from a failure.
    ///
    /// An `anyhow::Error`, and an error that passes for the one in it
    /// (`#[error(transparent)]`), hide what they hold: [`BoxError`] takes the same `?`, and
    /// hides nothing.
    type Error: Into<BoxError>;

    /// Does it.
    fn handle(
        &self,
        stop: Token,
        request: R,
    ) -> impl Future<Output = Result<R::Response, Self::Error>> + Send;
}

impl<R, F, Fut, E> Handler<R> for F
where
    R: Request,
    F: Fn(Token, R) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R::Response, E>> + Send,
    E: Into<BoxError>,
{
    type Error = E;

    fn handle(
        &self,
        stop: Token,
        request: R,
    ) -> impl Future<Output = Result<R::Response, E>> + Send {
        self(stop, request)
    }
}

impl<R: Request, H: Handler<R>> Handler<R> for Arc<H> {
    type Error = H::Error;

    fn handle(
        &self,
        stop: Token,
        request: R,
    ) -> impl Future<Output = Result<R::Response, H::Error>> + Send {
        H::handle(self, stop, request)
    }
}

/// Is told what has happened, one of any number. An `Fn(Token, Arc<N>) -> impl Future` is
/// one.
///
/// ```
/// use desist::{Cancelled, Token};
/// use desist_mediator::{Mediator, Notification};
/// use std::sync::{Arc, Mutex};
///
/// struct Sold(&'static str);
/// impl Notification for Sold {}
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let book = Arc::new(Mutex::new(Vec::new()));
/// let written = Arc::clone(&book);
/// let mediator = Mediator::builder()
///     .notification_handler(move |stop: Token, sold: Arc<Sold>| {
///         let book = Arc::clone(&book);
///         async move {
///             stop.check()?;
///             book.lock().unwrap().push(sold.0);
///             Ok::<_, Cancelled>(())
///         }
///     })
///     .build()
///     .unwrap();
/// mediator.publish(&Token::never(), Sold("a boat")).await.unwrap();
/// assert_eq!(*written.lock().unwrap(), ["a boat"]);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of the notification `{N}`",
    note = "implement `NotificationHandler<{N}>` for it, or give an `async fn(Token, Arc<{N}>) -> Result<(), _>`, or a closure whose two arguments have their types written down"
)]
pub trait NotificationHandler<N: Notification>: Send + Sync + 'static {
    /// What it fails with.
    type Error: Into<BoxError>;

    /// Takes note.
    fn handle(
        &self,
        stop: Token,
        notification: Arc<N>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl<N, F, Fut, E> NotificationHandler<N> for F
where
    N: Notification,
    F: Fn(Token, Arc<N>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send,
    E: Into<BoxError>,
{
    type Error = E;

    fn handle(
        &self,
        stop: Token,
        notification: Arc<N>,
    ) -> impl Future<Output = Result<(), E>> + Send {
        self(stop, notification)
    }
}

impl<N: Notification, H: NotificationHandler<N>> NotificationHandler<N> for Arc<H> {
    type Error = H::Error;

    fn handle(
        &self,
        stop: Token,
        notification: Arc<N>,
    ) -> impl Future<Output = Result<(), H::Error>> + Send {
        H::handle(self, stop, notification)
    }
}
