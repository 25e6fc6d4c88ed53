//! A service that is waited for inside of its own call, so that whoever waits for a
//! permit is a request like any other.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

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
    pub(super) fn to(mut service: S, request: Request<B>) -> Self {
        // Most are ready always.
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Ok(()))) {
            return Self::Called { future: service.call(request) };
        }
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
