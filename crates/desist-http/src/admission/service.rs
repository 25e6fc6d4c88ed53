#[cfg(feature = "axum")]
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use desist::{Cancelled, Reason, Token, WhenCancelled};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::places::{Found, OfConnection, Place, Places, Waiting};
use crate::request::RequestToken;
use crate::rpc::{self, is_grpc};
use crate::stopped::Stopped;

/// What [`AdmissionLayer`](crate::AdmissionLayer) makes.
#[derive(Clone)]
pub struct AdmissionService<S> {
    inner: S,
    per_connection: Option<usize>,
    places: Arc<Places>,
}

impl<S> AdmissionService<S> {
    pub(super) fn new(inner: S, per_connection: Option<usize>, places: Arc<Places>) -> Self {
        Self { inner, per_connection, places }
    }

    fn find(&self, token: Option<&RequestToken>) -> Found {
        let Some((most, token)) = self.per_connection.zip(token) else {
            return self.places.find(None);
        };
        match OfConnection::one_of(token.request().connection(), &self.places, most) {
            Some(of_connection) => self.places.find(of_connection),
            None => Found::Nothing,
        }
    }
}

impl<S, A, B> Service<Request<A>> for AdmissionService<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone,
    B: Default + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = AdmissionFuture<S, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> AdmissionFuture<S, A> {
        let token = RequestToken::peek(request.extensions()).ok();
        let state = match self.find(token.as_ref()) {
            Found::Place(place) => State::Runs { runs: self.inner.call(request), place },
            Found::Queue(waiting) => {
                // The one that is ready goes on, and another is there for who comes next.
                let clone = self.inner.clone();
                let service = mem::replace(&mut self.inner, clone);
                let stopped = token.map(|token| Box::pin((*token).clone().cancelled_owned()));
                State::Waits { waiting, stopped, next: Some((service, request)) }
            }
            Found::Nothing => State::over(overload(), &request),
        };
        AdmissionFuture { state }
    }
}

fn overload() -> Option<Cancelled> {
    Token::cancelled_with(Reason::Overload).cancellation()
}

/// What is answered in the place of a handler.
fn answer<B: Default + 'static>(why: Cancelled, is_grpc: bool) -> Response<B> {
    let stopped = Stopped::from(why);
    if !is_grpc {
        return stopped.into_response_with(says);
    }
    let mut answer = rpc::answer(rpc::status_of(stopped.cancelled().reason()), B::default());
    answer.extensions_mut().insert(stopped);
    answer
}

/// In a body of axum's; others, tonic's among them, cannot be made of words.
fn says<B: Default + 'static>(text: String) -> B {
    #[cfg(feature = "axum")]
    {
        let mut body = Some(axum::body::Body::from(text));
        if let Some(body) = (&mut body as &mut dyn Any).downcast_mut::<Option<B>>() {
            return body.take().unwrap_or_default();
        }
    }
    #[cfg(not(feature = "axum"))]
    drop(text);
    B::default()
}

impl<S: fmt::Debug> fmt::Debug for AdmissionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdmissionService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`AdmissionService`]: it has its place until it is dropped, wherever
    /// that is.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct AdmissionFuture<S, A>
    where
        S: Service<Request<A>>,
    {
        #[pin]
        state: State<S, A>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<S, A>
    where
        S: Service<Request<A>>,
    {
        Waits {
            waiting: Waiting,
            stopped: Option<Pin<Box<WhenCancelled<'static>>>>,
            next: Option<(S, Request<A>)>,
        },
        Runs {
            #[pin]
            runs: S::Future,
            place: Place,
        },
        Over {
            why: Option<Cancelled>,
            is_grpc: bool,
        },
    }
}

impl<S, A> State<S, A>
where
    S: Service<Request<A>>,
{
    fn over(why: Option<Cancelled>, request: &Request<A>) -> Self {
        Self::Over { why, is_grpc: is_grpc(request.version(), request.headers()) }
    }
}

impl<S, A, B> Future for AdmissionFuture<S, A>
where
    S: Service<Request<A>, Response = Response<B>>,
    B: Default + 'static,
{
    type Output = Result<Response<B>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                Projected::Runs { runs, .. } => return runs.poll(cx),
                Projected::Over { why, is_grpc } => {
                    let Some(why) = why.take() else { unreachable!("it is not polled again") };
                    return Poll::Ready(Ok(answer(why, *is_grpc)));
                }
                Projected::Waits { waiting, stopped, next } => {
                    let why = match stopped {
                        Some(stopped) => stopped.as_mut().poll(cx),
                        None => Poll::Pending,
                    };
                    let Some((mut service, request)) = next.take() else {
                        unreachable!("it goes on, or is over")
                    };
                    if let Poll::Ready(why) = why {
                        State::over(Some(why), &request)
                    } else {
                        match waiting.poll_place(cx) {
                            Poll::Ready(Some(place)) => {
                                State::Runs { runs: service.call(request), place }
                            }
                            Poll::Ready(None) => State::over(overload(), &request),
                            Poll::Pending => {
                                *next = Some((service, request));
                                return Poll::Pending;
                            }
                        }
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S, A> fmt::Debug for AdmissionFuture<S, A>
where
    S: Service<Request<A>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.state, State::Waits { .. });
        f.debug_struct("AdmissionFuture").field("waits", &waits).finish_non_exhaustive()
    }
}
