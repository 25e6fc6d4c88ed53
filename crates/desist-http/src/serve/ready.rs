//! A service that is waited for inside of its own call, so that whoever waits for a
//! permit is a request like any other.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

#[derive(Clone)]
pub(super) struct WhenReady<S>(pub(super) S);

impl<S, B> Service<Request<B>> for WhenReady<S>
where
    S: Service<Request<B>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReadyCall<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ReadyCall<S, B> {
        let mut service = self.0.clone();
        // Most are ready always.
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Ok(()))) {
            return ReadyCall::Called { future: service.call(request) };
        }
        ReadyCall::Waits { service, request: Some(request) }
    }
}

pin_project! {
    #[project = Projected]
    pub(super) enum ReadyCall<S, B>
    where
        S: Service<Request<B>>,
    {
        Waits { service: S, request: Option<Request<B>> },
        Called { #[pin] future: S::Future },
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
