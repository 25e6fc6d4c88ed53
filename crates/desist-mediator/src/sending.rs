//! From a request to its response.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::call::place_of;
use crate::{Call, Error, Proceed, Request};

/// The future of [`Mediator::send`](crate::Mediator::send). It borrows nothing, so it can
/// be spawned.
#[must_use = "futures do nothing unless polled"]
pub struct Sending<R: Request> {
    state: State,
    request: PhantomData<fn() -> R>,
}

enum State {
    /// The envelope is there as long as the future is, and no other at its place.
    Proceeds {
        envelope: usize,
        proceed: Proceed,
    },
    Refused(Option<Error>),
}

impl<R: Request> Sending<R> {
    pub(crate) fn new(call: Call) -> Self {
        let envelope = call.place();
        Self { state: State::Proceeds { envelope, proceed: call.proceed() }, request: PhantomData }
    }

    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(Some(error)), request: PhantomData }
    }
}

impl<R: Request> Future for Sending<R> {
    type Output = Result<R::Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Proceeds { envelope: own, proceed } => {
                Pin::new(proceed).poll(cx).map(|answer| {
                    let mut envelope = answer.map_err(Error::out)?.envelope;
                    let mut response = None::<R::Response>;
                    // Another request may have a response of the same type.
                    if place_of(&envelope) == *own {
                        envelope.as_mut().take_response(&mut response);
                    }
                    response.ok_or_else(|| Error::exchanged(R::name()).out())
                })
            }
            State::Refused(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error.out())),
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
