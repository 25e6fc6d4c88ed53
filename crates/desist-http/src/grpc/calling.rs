use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use desist::Cancelled;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tonic::Status;

use super::Receiving;
use super::status::{failed, status_of};
use crate::layer::BoxError;
use crate::outgoing::Wanted;
use crate::until::Until;

pin_project! {
    /// The future of a [`TokenChannel`](crate::TokenChannel): the head of the answer.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Calling<F> {
        #[pin]
        now: Now<F>,
        // `None`: it was refused, or has ended.
        until: Option<(Until, Wanted)>,
    }
}

pin_project! {
    #[project = NowPinned]
    enum Now<F> {
        Refused { status: Option<Status> },
        Called { #[pin] call: F },
        Ended,
    }
}

impl<F> Calling<F> {
    pub(super) fn new(call: F, until: Until, wanted: Wanted) -> Self {
        Self { now: Now::Called { call }, until: Some((until, wanted)) }
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
        let (until, _) = this.until.as_mut().expect("polled after its end");
        let why = match until.poll(cx) {
            Poll::Ready(why) => why,
            Poll::Pending => {
                let NowPinned::Called { call } = this.now.as_mut().project() else {
                    unreachable!("it has neither been refused nor ended")
                };
                let answered = ready!(call.poll(cx));
                let Some(why) = until.over(cx) else {
                    let (until, wanted) = this.until.take().expect("it was just looked at");
                    return Poll::Ready(match answered {
                        Ok(answer) => Ok(answer.map(|body| Receiving::new(body, until, wanted))),
                        Err(error) => Err(failed(error.into())),
                    });
                };
                why
            }
        };
        // The call is dropped, and with it its stream.
        this.now.set(Now::Ended);
        *this.until = None;
        Poll::Ready(Err(status_of(&why).into()))
    }
}

impl<F> fmt::Debug for Calling<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calling").field("has_ended", &self.until.is_none()).finish_non_exhaustive()
    }
}
