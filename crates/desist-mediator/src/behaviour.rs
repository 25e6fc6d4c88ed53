//! What is done around handlers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Answer, Call, Error};

/// Something that is done around the handlers of all requests, or of one kind: before,
/// after, or in place of what comes next. An `Fn(Call) -> impl Future` is one.
///
/// The token goes along in the [`Call`]. A behaviour can narrow it; none that comes later
/// can undo that by forgetting to pass it on, for nobody passes it on.
///
/// What it fails with itself is made an [`Error`] by `.map_err(Error::new)?`.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Answer, Behaviour, Call, Error, Mediator, Request};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// /// How many were answered, and how many were not because somebody wanted no answer.
/// #[derive(Default)]
/// struct Count {
///     answered: AtomicU64,
///     cancelled: AtomicU64,
/// }
///
/// struct Counting(Arc<Count>);
/// impl Behaviour for Counting {
///     async fn handle(&self, call: Call) -> Result<Answer, Error> {
///         let answer = call.proceed().await;
///         match &answer {
///             Ok(_) => self.0.answered.fetch_add(1, Ordering::Relaxed),
///             Err(error) if error.cancelled().is_some() => {
///                 self.0.cancelled.fetch_add(1, Ordering::Relaxed)
///             }
///             Err(_) => 0,
///         };
///         answer
///     }
/// }
///
/// struct Nap;
/// impl Request for Nap {
///     type Response = ();
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let count = Arc::new(Count::default());
/// let mediator = Mediator::builder()
///     .behaviour(Counting(Arc::clone(&count)))
///     .handler(|stop: Token, Nap| async move { Err::<(), _>(stop.cancelled().await) })
///     .build()
///     .unwrap();
/// let source = desist::Source::new();
/// let (nap, _) = tokio::join!(mediator.send(&source.token(), Nap), async { source.cancel() });
/// assert!(nap.is_err());
/// assert_eq!(count.cancelled.load(Ordering::Relaxed), 1);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no behaviour",
    note = "implement `Behaviour` for it, give an `async fn(Call) -> Result<Answer, Error>`, or a closure whose argument has its type written down; a `tower::Layer` is added with `layer`"
)]
pub trait Behaviour: Send + Sync + 'static {
    /// Does it; the rest is behind [`Call::proceed`].
    fn handle(&self, call: Call) -> impl Future<Output = Result<Answer, Error>> + Send;
}

impl<F, Fut> Behaviour for F
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send,
{
    fn handle(&self, call: Call) -> impl Future<Output = Result<Answer, Error>> + Send {
        self(call)
    }
}

impl<B: Behaviour> Behaviour for Arc<B> {
    fn handle(&self, call: Call) -> impl Future<Output = Result<Answer, Error>> + Send {
        B::handle(self, call)
    }
}

pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// A behaviour of any type, in its place.
pub(crate) trait Step: Send + Sync {
    fn run(self: Arc<Self>, call: Call) -> Running;
}

pub(crate) struct Behaves<B>(pub(crate) B);

impl<B: Behaviour> Step for Behaves<B> {
    fn run(self: Arc<Self>, call: Call) -> Running {
        Box::pin(async move { self.0.handle(call).await })
    }
}
