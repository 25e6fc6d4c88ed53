use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use desist::{Cancelled, Token};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tonic::Status;

use super::Receiving;
use super::status::status_of;
use super::until::{Until, failed};
use crate::layer::BoxError;

pin_project! {
    /// The future of a [`TokenChannel`](crate::TokenChannel): the head of the answer.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Calling<F> {
        #[pin]
        now: Now<F>,
        // `None`: it was refused, or has ended.
        until: Option<Until>,
    }
}

pin_project! {
    #[project = NowPinned]
    enum Now<F> {
        Refused { status: Option<Status> },
        Called { #[pin] call: F },
        // What it said came too late: the token is about to be cancelled.
        Late,
    }
}

impl<F> Calling<F> {
    pub(super) fn new(call: F, token: Token) -> Self {
        Self { now: Now::Called { call }, until: Some(Until::new(token)) }
    }

    pub(super) fn refused(why: &Cancelled) -> Self {
        Self { now: Now::Refused { status: Some(status_of(why)) }, until: None }
    }
}

impl<F, B, E> Future for Calling<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Receiving<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let NowPinned::Refused { status } = this.now.as_mut().project() {
            return Poll::Ready(Err(status.take().expect("polled after its end").into()));
        }
        let until = this.until.as_mut().expect("polled after its end");
        let mut stopped = until.poll(cx);
        if stopped.is_pending() {
            if let NowPinned::Called { call } = this.now.as_mut().project() {
                let answered = ready!(call.poll(cx));
                if !until.is_late() {
                    let until = this.until.take();
                    return Poll::Ready(match answered {
                        Ok(response) => Ok(response.map(|body| Receiving::new(body, until))),
                        Err(error) => Err(failed(error.into())),
                    });
                }
                stopped = until.poll(cx);
            }
        }
        // The call is dropped, and with it its stream.
        this.now.set(Now::Late);
        let status = ready!(stopped);
        *this.until = None;
        Poll::Ready(Err(status.into()))
    }
}

impl<F> fmt::Debug for Calling<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").field("has_ended", &self.until.is_none()).finish_non_exhaustive()
    }
}
