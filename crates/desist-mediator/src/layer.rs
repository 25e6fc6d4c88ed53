//! A `tower::Layer` as a behaviour.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};

use tower_service::Service;

use crate::behaviour::{Running, Step};
use crate::{Answer, BoxError, Call, Error, Proceed};

/// What a `tower::Layer` is put around: a service that goes on to the next behaviour, and
/// after the last one to the handler. It is always ready.
///
/// ```
/// use desist::Token;
/// use desist_mediator::{Mediator, Request};
/// use tower::limit::ConcurrencyLimitLayer;
///
/// struct Ping;
/// impl Request for Ping {
///     type Response = &'static str;
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mediator = Mediator::builder()
///     .layer(ConcurrencyLimitLayer::new(10)) // ten of all kinds together
///     .handler(|stop: Token, Ping| async move { stop.check().map(|()| "pong") })
///     .build()
///     .unwrap();
/// assert_eq!(mediator.send(&Token::never(), Ping).await.unwrap(), "pong");
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rest {}

impl Rest {
    pub(crate) const fn new() -> Self {
        Self {}
    }
}

impl Service<Call> for Rest {
    type Response = Answer;
    type Error = Error;
    type Future = Proceed;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut call: Call) -> Proceed {
        if let Some(through) = call.layer.take() {
            through.tell();
        }
        call.proceed()
    }
}

/// Whether a call has come out of its layer.
#[derive(Clone, Default)]
pub(crate) struct Through(Arc<AtomicBool>);

impl Through {
    fn tell(&self) {
        // Ordering: relaxed, alone: whoever sees it too late gives up a call that is not begun
        // any more, for its token is cancelled.
        self.0.store(true, Relaxed);
    }

    fn is_told(&self) -> bool {
        // Ordering: relaxed, as in `tell`.
        self.0.load(Relaxed)
    }
}

pub(crate) struct Layered<S>(pub(crate) S);

impl<S> Step for Layered<S>
where
    S: Service<Call, Response = Answer> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn run(self: Arc<Self>, call: Call) -> Running {
        Box::pin(async move {
            let (mut service, token) = (self.0.clone(), call.token().clone());
            // Whoever is cancelled waits for no place, before the service has it or in there.
            token.run(poll_fn(|cx| service.poll_ready(cx))).await?.map_err(Error::new)?;
            let (through, mut call) = (Through::default(), call);
            call.layer = Some(through.clone());
            let answer = service.call(call);
            let mut answer = pin!(async move { answer.await.map_err(Error::new) });
            match token.run(answer.as_mut()).await {
                Ok(answer) => answer,
                Err(cancelled) if !through.is_told() => Err(cancelled.into()),
                Err(_) => answer.await,
            }
        })
    }
}
