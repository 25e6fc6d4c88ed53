//! A `tower::Layer` as a behaviour.

use std::future::poll_fn;
use std::sync::Arc;
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

    fn call(&mut self, call: Call) -> Proceed {
        call.proceed()
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
            let mut service = self.0.clone();
            // It may wait for a place, which whoever is cancelled gives up.
            let ready = call.token().run(poll_fn(|cx| service.poll_ready(cx)));
            ready.await?.map_err(Error::new)?;
            service.call(call).await.map_err(Error::new)
        })
    }
}
