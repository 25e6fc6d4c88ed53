//! A request on its way, and the answer on its way back, in one allocation.
//!
//! Behaviours are around requests of every type, so what they hand on has none. What it is
//! about lies in an envelope:
//!
//! | state | holds | left by |
//! |---|---|---|
//! | waiting | the request | the first poll of the handler, or an answer given without it |
//! | running | the handler's future | its end |
//! | done | the response, until it is taken | – |
//!
//! The future of a handler has its place in it from the start, so that an allocation for
//! each behaviour is all that is added to this one.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use desist::Token;
use pin_project_lite::pin_project;

use crate::behaviour::Step;
use crate::{BoxError, Invalid, Request};

pub(crate) trait Envelope: Send {
    /// Of the request.
    fn key(&self) -> TypeId;

    /// The behaviour at this place, as long as its handler has not begun.
    fn step(&self, place: usize) -> Option<Arc<dyn Step>>;

    fn validate(&self) -> Result<(), Invalid>;

    /// As long as its handler has not begun.
    fn request(&self) -> Option<&dyn Any>;

    fn request_mut(self: Pin<&mut Self>) -> Option<&mut dyn Any>;

    /// Runs the handler, which has the token from its first poll on.
    fn poll_handler(
        self: Pin<&mut Self>,
        token: &Token,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BoxError>>;

    /// Takes a response out of an `Option` of its type; whether it was one.
    fn answer(self: Pin<&mut Self>, response: &mut dyn Any) -> bool;

    fn response(&self) -> Option<&dyn Any>;

    fn response_mut(self: Pin<&mut Self>) -> Option<&mut dyn Any>;

    /// Puts the response in an `Option` of its type; whether there was one.
    fn take_response(self: Pin<&mut Self>, response: &mut dyn Any) -> bool;
}

/// A handler, and what is around it: of each kind of request there is one.
pub(crate) struct Entry<H> {
    pub(crate) handler: H,
    pub(crate) steps: Vec<Arc<dyn Step>>,
}

pin_project! {
    pub(crate) struct Sealed<R: Request, H, F> {
        begin: fn(Arc<Entry<H>>, Token, R) -> F,
        #[pin]
        state: State<R, H, F>,
    }
}

pin_project! {
    #[project = Here]
    enum State<R: Request, H, F> {
        Waiting { request: Option<(R, Arc<Entry<H>>)> },
        Running { #[pin] future: F },
        Done { response: Option<R::Response> },
    }
}

impl<R, H, F> Sealed<R, H, F>
where
    R: Request,
    H: Send + Sync,
    F: Future<Output = Result<R::Response, BoxError>> + Send,
{
    pub(crate) fn new(
        request: R,
        entry: Arc<Entry<H>>,
        begin: fn(Arc<Entry<H>>, Token, R) -> F,
    ) -> Self {
        Self { begin, state: State::Waiting { request: Some((request, entry)) } }
    }
}

impl<R, H, F> Envelope for Sealed<R, H, F>
where
    R: Request,
    H: Send + Sync,
    F: Future<Output = Result<R::Response, BoxError>> + Send,
{
    fn key(&self) -> TypeId {
        TypeId::of::<R>()
    }

    fn step(&self, place: usize) -> Option<Arc<dyn Step>> {
        match &self.state {
            State::Waiting { request: Some((_, entry)) } => entry.steps.get(place).cloned(),
            _ => None,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match &self.state {
            State::Waiting { request: Some((request, _)) } => request.validate(),
            _ => Ok(()),
        }
    }

    fn request(&self) -> Option<&dyn Any> {
        match &self.state {
            State::Waiting { request: Some((request, _)) } => Some(request),
            _ => None,
        }
    }

    fn request_mut(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        match self.project().state.project() {
            Here::Waiting { request: Some((request, _)) } => Some(request),
            _ => None,
        }
    }

    fn poll_handler(
        self: Pin<&mut Self>,
        token: &Token,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BoxError>> {
        let this = self.project();
        let mut state = this.state;
        loop {
            match state.as_mut().project() {
                Here::Waiting { request } => match request.take() {
                    Some((request, entry)) => {
                        let future = (this.begin)(entry, token.clone(), request);
                        state.set(State::Running { future });
                    }
                    None => panic!("a handler polled after it had panicked"),
                },
                Here::Running { future } => {
                    let response = ready!(future.poll(cx));
                    let (response, result) = match response {
                        Ok(response) => (Some(response), Ok(())),
                        Err(error) => (None, Err(error)),
                    };
                    state.set(State::Done { response });
                    return Poll::Ready(result);
                }
                Here::Done { .. } => return Poll::Ready(Ok(())),
            }
        }
    }

    fn answer(self: Pin<&mut Self>, response: &mut dyn Any) -> bool {
        let Some(response) = response.downcast_mut::<Option<R::Response>>() else { return false };
        let response = response.take();
        self.project().state.set(State::Done { response });
        true
    }

    fn response(&self) -> Option<&dyn Any> {
        match &self.state {
            State::Done { response: Some(response) } => Some(response),
            _ => None,
        }
    }

    fn response_mut(self: Pin<&mut Self>) -> Option<&mut dyn Any> {
        match self.project().state.project() {
            Here::Done { response: Some(response) } => Some(response),
            _ => None,
        }
    }

    fn take_response(self: Pin<&mut Self>, wanted: &mut dyn Any) -> bool {
        match (self.project().state.project(), wanted.downcast_mut::<Option<R::Response>>()) {
            (Here::Done { response }, Some(wanted)) => {
                *wanted = response.take();
                wanted.is_some()
            }
            _ => false,
        }
    }
}
