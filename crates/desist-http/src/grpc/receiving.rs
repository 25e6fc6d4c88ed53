use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::status::{failed, status_of};
use crate::layer::BoxError;
use crate::outgoing::Wanted;
use crate::until::Until;

pin_project! {
    /// What a call through a [`TokenChannel`](crate::TokenChannel) answers, until its token
    /// is cancelled: then its error is the status of that.
    pub struct Receiving<B> {
        // `None`: it has ended, or was stopped.
        #[pin]
        inner: Option<B>,
        // `None`: it has ended.
        until: Option<(Until, Wanted)>,
    }
}

impl<B> Receiving<B> {
    pub(super) fn new(inner: B, until: Until, wanted: Wanted) -> Self {
        Self { inner: Some(inner), until: Some((until, wanted)) }
    }
}

/// One without anything, which has ended.
impl<B> Default for Receiving<B> {
    fn default() -> Self {
        Self { inner: None, until: None }
    }
}

impl<B: Body> Body for Receiving<B>
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
        let Some((until, wanted)) = this.until else { return Poll::Ready(None) };
        let why = match until.poll(cx) {
            Poll::Ready(why) => why,
            Poll::Pending => {
                let Some(inner) = this.inner.as_mut().as_pin_mut() else {
                    return Poll::Ready(None);
                };
                let frame = ready!(inner.poll_frame(cx));
                let is_data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
                // Messages that have come are given out; an end is the token's, if that was
                // first.
                let over = if is_data { None } else { until.over(cx) };
                let Some(why) = over else {
                    if !is_data && !matches!(frame, Some(Err(_))) {
                        // Nobody asks for more after trailers.
                        wanted.has_come();
                    }
                    if frame.is_none() {
                        this.inner.set(None);
                        *this.until = None;
                    }
                    return Poll::Ready(frame.map(|frame| frame.map_err(|e| failed(e.into()))));
                };
                why
            }
        };
        // Its stream is dropped with it; whoever asks again is told again.
        this.inner.set(None);
        Poll::Ready(Some(Err(status_of(&why).into())))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => self.until.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B> fmt::Debug for Receiving<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving")
            .field("has_ended", &self.until.is_none())
            .finish_non_exhaustive()
    }
}
