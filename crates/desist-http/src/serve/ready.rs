//! A service that is waited for inside of its own call, so that whoever waits for a
//! permit is a request like any other.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    #[project = Projected]
    /// The answer of a service that was called, or is called when it is ready.
    pub(super) enum ReadyCall<S, B>
    where
        S: Service<Request<B>>,
    {
        Waits { service: S, request: Option<Request<B>> },
        Called { #[pin] future: S::Future },
    }
}

impl<S, B> ReadyCall<S, B>
where
    S: Service<Request<B>>,
{
    /// It is called when this is polled: on HTTP/2, where it panics it costs its stream.
    pub(super) fn to(service: S, request: Request<B>) -> Self {
        Self::Waits { service, request: Some(request) }
    }
}

impl<S, B> Future for ReadyCall<S, B>
where
    S: Service<Request<B>>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                Projected::Called { future } => return future.poll(cx),
                Projected::Waits { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let Some(request) = request.take() else { unreachable!("it is called once") };
                    service.call(request)
                }
            };
            self.set(Self::Called { future });
        }
    }
}
