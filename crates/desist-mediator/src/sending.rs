//! From a request to its response.

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Error, Proceed, Request};

/// The future of [`Mediator::send`](crate::Mediator::send). It borrows nothing, so it can
/// be spawned.
#[must_use = "futures do nothing unless polled"]
pub struct Sending<R: Request> {
    state: State,
    request: PhantomData<fn() -> R>,
}

enum State {
    Proceeds(Proceed),
    Refused(Option<Error>),
}

impl<R: Request> Sending<R> {
    pub(crate) fn new(proceed: Proceed) -> Self {
        Self { state: State::Proceeds(proceed), request: PhantomData }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(Some(error)), request: PhantomData }
    }
}

impl<R: Request> Future for Sending<R> {
    type Output = Result<R::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Proceeds(proceed) => Pin::new(proceed).poll(cx).map(|answer| {
                let (mut response, mut envelope) = (None::<R::Response>, answer?.envelope);
                // Another request may have a response of the same type.
                if envelope.key() == TypeId::of::<R>() {
                    envelope.as_mut().take_response(&mut response);
                }
                response.ok_or_else(|| Error::exchanged(R::name()))
            }),
            State::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => panic!("`Sending` polled after it was ready"),
            },
        }
    }
}

impl<R: Request> fmt::Debug for Sending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("request", &R::name()).finish_non_exhaustive()
    }
}
