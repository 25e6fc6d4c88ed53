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
    /// Its time is over.
    over: Option<Cancelled>,
    /// It has its grace, or had it.
    has_grace: bool,
    /// What is left is an answer that came when its time was over: that has a grace,
    /// whoever gave it.
    is_late: bool,
}

impl Watch {
    pub(super) fn of(request: &Request) -> Self {
        // Not its token: a time that the handler has set itself is the handler's to heed.
        let time = request.time().unwrap_or_else(Token::never);
        Self {
            until: Box::pin(time.cancelled_owned()),
            over: None,
            has_grace: false,
            is_late: false,
        }
    }

    /// Of the answer, which goes on from where its handler was.
    #[cold]
    pub(super) fn of_answer(request: &Request, watch: Option<Box<Self>>) -> Box<Self> {
        let mut watch = watch.unwrap_or_else(|| Box::new(Self::of(request)));
        watch.is_late = request.cancellation().is_some_and(|why| why.reason() == Reason::Deadline);
        watch
    }

    /// Whether it has no more time at all. A stop for another reason is seen to elsewhere,
    /// and takes none of its time away, and adds none.
    #[cold]
    pub(super) fn is_over(&mut self, request: &Request, cx: &mut Context<'_>) -> bool {
        self.poll(request, cx).is_ready()
    }

    fn poll(&mut self, request: &Request, cx: &mut Context<'_>) -> Poll<()> {
        while self.over.is_none() {
            let why = ready!(self.until.as_mut().poll(cx));
            if why.reason() != Reason::Deadline {
                // A server that stops is seen to elsewhere.
                self.until = Box::pin(Token::never().cancelled_owned());
                continue;
            }
            self.over = Some(why);
            let grace = match request.policy() {
                Policy::Cooperate { grace } if self.is_late || request.is.taken.is_set() => grace,
                _ if self.is_late => Policy::GRACE,
                _ => return Poll::Ready(()),
            };
            self.until = Box::pin(Source::with_timeout(grace).token().cancelled_owned());
            self.has_grace = true;
        }
        if self.has_grace { self.until.as_mut().poll(cx).map(drop) } else { Poll::Ready(()) }
    }

    /// Whether it had a grace of its own by now.
    pub(super) fn had_grace(&self) -> bool {
        self.has_grace
    }

    /// What it is told.
    pub(super) fn why(&self, request: &Request) -> Option<Cancelled> {
        self.over.clone().or_else(|| request.cancellation())
    }
}

/// What a request is answered that has no handler any more.
pub(super) fn answer<B>(
    request: &Request,
    why: Option<Cancelled>,
    says: Option<fn(String) -> B>,
) -> Response<TokenBody<B>> {
    let Some(why) = why else { return Response::new(TokenBody::empty()) };
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
