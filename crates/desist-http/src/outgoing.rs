//! The body of a request, as long as somebody wants the answer.
//!
//! On HTTP/2 hyper sends it by a task of its own, once the head of the answer has come; then
//! whoever drops the answer resets nothing, and the server goes on reading. So the body
//! itself ends with the stop, or with the answer, and with that the stream is reset.

use std::pin::Pin;
use std::task::{Context, Poll};

use desist::{Guard, Token, WhenCancelled};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::layer::BoxError;

pin_project! {
    /// A body that is broken off when nobody waits for the answer any more.
    pub(crate) struct Outgoing<B> {
        // `None`: it was broken off.
        #[pin]
        inner: Option<B>,
        until: Pin<Box<WhenCancelled<'static>>>,
    }
}

/// Somebody who waits for the answer. Dropped before its end the request's body is broken
/// off, too.
pub(crate) struct Wanted {
    /// `None`: there is no body that could outlast it.
    guard: Option<Guard>,
}

impl Wanted {
    #[cfg(feature = "reqwest")]
    pub(crate) fn without_body() -> Self {
        Self { guard: None }
    }

    /// The answer to that body, for as long as the token is not cancelled.
    pub(crate) fn with_body<B>(body: B, token: &Token) -> (Self, Outgoing<B>) {
        let source = token.child();
        let until = Box::pin(source.token().cancelled_owned());
        (Self { guard: Some(source.into_guard()) }, Outgoing { inner: Some(body), until })
    }

    /// It has come to its end: whatever is still sent may be.
    pub(crate) fn has_come(&mut self) {
        drop(self.guard.take().map(Guard::disarm));
    }
}

impl<B: Body> Body for Outgoing<B>
where
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if this.until.as_mut().poll(cx).is_ready() {
            this.inner.set(None);
        }
        let Some(inner) = this.inner.as_pin_mut() else {
            // Which hyper has as the reason of the reset.
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        };
        inner.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
