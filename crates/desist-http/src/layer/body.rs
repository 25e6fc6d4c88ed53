use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::over::{BoxError, Watch};
use crate::connection::Running;
use crate::outcome::{self, Outcome};
use crate::rpc;
use crate::stopped::Stopped;

pin_project! {
    /// A response's body, with which the request's token lives: dropped before its end,
    /// it cancels that first.
    pub struct TokenBody<B> {
        // `None`: there is none, or no more of it.
        #[pin]
        inner: Option<B>,
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
    /// `None`: it has no time.
    watch: Option<Box<Watch>>,
}

impl End {
    fn reached(mut self) {
        self.running.ends(&self.outcome);
    }

    fn broken(mut self) {
        self.running.breaks_off();
    }

    /// Its time is over, and its grace.
    #[inline]
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.watch {
            None => false,
            Some(watch) => watch.is_over(&self.running.request, cx),
        }
    }

    /// What is said in the place of what is left of it.
    #[cold]
    fn given_up<D>(mut self) -> Result<Frame<D>, BoxError> {
        if self.watch.as_ref().is_some_and(|watch| watch.had_grace()) {
            outcome::abandoned("grace_over");
        }
        let request = &self.running.request;
        let why = self.watch.as_ref().and_then(|watch| watch.why(request));
        let is_grpc = request.is.grpc.is_set();
        self.running.breaks_off();
        match why {
            Some(why) if is_grpc => Ok(Frame::trailers(rpc::status_of(why.reason()))),
            Some(why) => Err(Stopped::from(why).into()),
            None => Err("the request was stopped".into()),
        }
    }

    fn dropped(mut self) {
        if self.at_end || self.left == Some(0) {
            return self.reached();
        }
        if self.in_poll {
            return self.running.ends(&Outcome::Failed);
        }
        // Whatever the policy: nothing of it goes on.
        self.running.request.is_dropped();
        self.broken();
    }
}

impl<B> TokenBody<B> {
    pub(super) fn passed(inner: B) -> Self {
        Self { inner: Some(inner), end: None }
    }

    pub(super) fn empty() -> Self {
        Self { inner: None, end: None }
    }

    pub(super) fn new(
        inner: B,
        running: Running,
        outcome: Outcome,
        left: Option<u64>,
        watch: Option<Box<Watch>>,
    ) -> Self
    where
        B: Body,
    {
        let at_end = inner.is_end_stream();
        let end = End { running, outcome, left, at_end, in_poll: false, watch };
        Self { inner: Some(inner), end: Some(end) }
    }
}

impl<B: Body> Body for TokenBody<B>
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
        if let Some(end) = this.end.take_if(|end| end.is_over(cx)) {
            let in_span = end.running.request.span.enter();
            this.inner.set(None);
            drop(in_span);
            return Poll::Ready(Some(end.given_up()));
        }
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        if let Some(end) = this.end {
            end.in_poll = true;
        }
        let in_span = this.end.as_ref().map(|end| end.running.request.span.enter());
        let polled = inner.poll_frame(cx);
        drop(in_span);
        if let Some(end) = this.end {
            end.in_poll = false;
            // One that is deaf is asked for more after the stop, and gives it.
            let request = &end.running.request;
            let has_more = matches!(polled, Poll::Ready(Some(Ok(_))));
            request.is.untaken.set_to(has_more && request.cancellation().is_none());
        }
        let polled = ready!(polled);
        match &polled {
            Some(Ok(frame)) => {
                if let Some(end) = this.end {
                    let given = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    end.left = end.left.map(|left| left.saturating_sub(given));
                    let inner = this.inner.as_ref().as_pin_ref();
                    // Whoever has sent these does not ask whether there is more.
                    end.at_end =
                        frame.is_trailers() || inner.is_none_or(|inner| inner.is_end_stream());
                    if let Some(trailers) = frame.trailers_ref() {
                        let said = Outcome::of_trailers(&end.running.request, trailers);
                        end.outcome = said.unwrap_or_else(|| end.outcome.clone());
                    }
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
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> fmt::Debug for TokenBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBody").field("is_over", &self.end.is_none()).finish_non_exhaustive()
    }
}
