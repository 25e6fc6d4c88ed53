use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use desist::Reason;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::connection::Running;
use crate::outcome::Outcome;

pin_project! {
    /// A response's body, with which the request's token lives: dropped before its end,
    /// it cancels that first.
    pub struct TokenBody<B> {
        #[pin]
        inner: B,
        // `None`: it is over, or another layer has seen to it.
        end: Option<End>,
    }

    impl<B> PinnedDrop for TokenBody<B> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(end) = this.project().end.take() {
                end.dropped();
            }
        }
    }
}

struct End {
    running: Running,
    outcome: Outcome,
    /// What the answer has promised and not given; whoever has got all of it does not
    /// ask for more.
    left: Option<u64>,
    /// The body itself says that there is no more.
    at_end: bool,
    /// It panicked in there.
    in_poll: bool,
}

impl End {
    fn reached(mut self) {
        self.running.ends(&self.outcome);
    }

    fn broken(mut self) {
        self.running.breaks_off();
    }

    fn dropped(mut self) {
        if self.at_end || self.left == Some(0) {
            return self.reached();
        }
        if self.in_poll {
            return self.running.ends(&Outcome::Failed);
        }
        // Whatever the policy: nothing of it goes on.
        self.running.request.source().cancel_with(Reason::Disconnected);
        self.broken();
    }
}

impl<B: Body> TokenBody<B> {
    pub(super) fn passed(inner: B) -> Self {
        Self { inner, end: None }
    }

    pub(super) fn new(inner: B, running: Running, outcome: Outcome, left: Option<u64>) -> Self {
        let at_end = inner.is_end_stream();
        Self { inner, end: Some(End { running, outcome, left, at_end, in_poll: false }) }
    }
}

impl<B: Body> Body for TokenBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        if let Some(end) = this.end {
            end.in_poll = true;
        }
        let in_span = this.end.as_ref().map(|end| end.running.request.span.enter());
        let polled = this.inner.as_mut().poll_frame(cx);
        drop(in_span);
        if let Some(end) = this.end {
            end.in_poll = false;
        }
        let polled = ready!(polled);
        match &polled {
            Some(Ok(frame)) => {
                if let Some(end) = this.end {
                    let given = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    end.left = end.left.map(|left| left.saturating_sub(given));
                    end.at_end = this.inner.is_end_stream();
                }
            }
            Some(Err(_)) => {
                if let Some(end) = this.end.take() {
                    end.broken();
                }
            }
            None => {
                if let Some(end) = this.end.take() {
                    end.reached();
                }
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> fmt::Debug for TokenBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBody").field("is_over", &self.end.is_none()).finish_non_exhaustive()
    }
}
