//! Requests whose time is over.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use desist::{Cancelled, Reason, Source, Token, WhenCancelled};
use http::{Response, StatusCode};

use super::body::TokenBody;
use crate::connection::Running;
use crate::deadlines::Malformed;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::request::Request;
use crate::rpc;
use crate::stopped::Stopped;

/// What a body's error is, whatever the body.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Waits for the end of a request's time, and then for the grace of whoever heeds it.
pub(super) struct Watch {
    until: Pin<Box<WhenCancelled<'static>>>,
    /// Its time is over: it has its grace.
    over: Option<Cancelled>,
    /// What is left is an answer that came when its time was over: that has a grace,
    /// whoever gave it.
    is_late: bool,
}

impl Watch {
    pub(super) fn of(request: &Request) -> Self {
        Self {
            until: Box::pin(request.token().clone().cancelled_owned()),
            over: None,
            is_late: false,
        }
    }

    /// Of the answer, which goes on from where its handler was.
    #[cold]
    pub(super) fn of_answer(request: &Request, watch: Option<Box<Self>>) -> Box<Self> {
        let mut watch = watch.unwrap_or_else(|| Box::new(Self::of(request)));
        watch.is_late = request.cancellation().is_some();
        watch
    }

    /// Whether it has no more time at all; `false` also where it was stopped for another
    /// reason, which is seen to elsewhere.
    #[cold]
    pub(super) fn is_over(&mut self, request: &Request, cx: &mut Context<'_>) -> bool {
        self.poll(request, cx).is_ready()
    }

    fn poll(&mut self, request: &Request, cx: &mut Context<'_>) -> Poll<()> {
        if self.over.is_none() {
            let why = ready!(self.until.as_mut().poll(cx));
            let grace = match request.policy() {
                _ if why.reason() != Reason::Deadline => Token::never(),
                Policy::Cooperate { grace } if self.is_late || request.is.taken.is_set() => {
                    Source::with_timeout(grace).token()
                }
                _ if self.is_late => Source::with_timeout(Policy::GRACE).token(),
                _ => return Poll::Ready(()),
            };
            self.until = Box::pin(grace.cancelled_owned());
            self.over = Some(why);
        }
        self.until.as_mut().poll(cx).map(drop)
    }

    /// Whether it had a grace of its own by now.
    pub(super) fn had_grace(&self) -> bool {
        self.over.is_some()
    }
}

/// What a request is answered that has no handler any more.
pub(super) fn answer<B>(
    request: &Request,
    says: Option<fn(String) -> B>,
) -> Response<TokenBody<B>> {
    let Some(why) = request.cancellation() else { return Response::new(TokenBody::empty()) };
    if request.is.grpc.is_set() {
        return rpc::answer(rpc::status_of(why.reason()), TokenBody::empty());
    }
    let body = |text| says.map_or_else(TokenBody::empty, |says| TokenBody::passed(says(text)));
    Stopped::from(why).into_response_with(body)
}

/// What a request is answered whose client said something that is no time.
pub(super) fn refusal<B>(
    running: Option<Running>,
    malformed: &Malformed,
    says: Option<fn(String) -> B>,
) -> Response<TokenBody<B>> {
    let is_grpc = running.as_ref().is_some_and(|running| running.request.is.grpc.is_set());
    if let Some(mut running) = running {
        running.ends(&Outcome::Completed);
    }
    if is_grpc {
        return rpc::answer(rpc::malformed(&malformed.to_string()), TokenBody::empty());
    }
    let text = format!("{malformed}\n");
    let body = says.map_or_else(TokenBody::empty, |says| TokenBody::passed(says(text)));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
