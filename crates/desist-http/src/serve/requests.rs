//! The requests of a connection, as hyper hands them over.
//!
//! A handler may have to move, when it outlives its client, and so is put in a box. Any
//! service may have to be waited for, but not a router: that is told apart once for each
//! connection, and called at once.

use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::future::RouteFuture;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tower_service::Service;

use super::ready::ReadyCall;
use super::upload::Upload;
use crate::connection::Connection;
use crate::layer::{ResponseFuture, TokenBody, begin};

/// The app, on one connection.
pub(super) struct Requests<S> {
    app: App<S>,
    connection: Arc<Connection>,
}

enum App<S> {
    /// One connection has it for itself; nothing that it calls comes back here.
    Router(RefCell<Router>),
    Other(S),
}

impl<S: Clone + 'static> Requests<S> {
    pub(super) fn new(app: S, connection: Arc<Connection>) -> Self {
        let app = match (&app as &dyn Any).downcast_ref::<Router>() {
            Some(router) => App::Router(RefCell::new(router.clone())),
            None => App::Other(app),
        };
        Self { app, connection }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<TokenBody<Body>>;
    type Error = Infallible;
    type Future = ResponseFuture<Answer<S>, Body, Infallible>;

    #[inline]
    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let running = match begin(&self.connection, &mut request, has_body) {
            Ok(running) => running,
            Err((running, malformed)) => {
                return ResponseFuture::refused(running, malformed, Some(Body::from));
            }
        };
        let request = request.map(|incoming| {
            // One that is empty needs no box.
            if !has_body {
                return Body::empty();
            }
            Body::new(Upload::new(incoming, Arc::clone(&running.request)))
        });
        let in_span = running.request.span.enter();
        let answer = match &self.app {
            App::Router(router) => Answer::Routed(Box::new(router.borrow_mut().call(request))),
            App::Other(app) => Answer::Other(Box::pin(ReadyCall::to(app.clone(), request))),
        };
        drop(in_span);
        ResponseFuture::new(answer, running, Some(Body::from))
    }
}

/// What the app answers.
pub(super) enum Answer<S>
where
    S: Service<Request<Body>>,
{
    Routed(Box<RouteFuture<Infallible>>),
    Other(Pin<Box<ReadyCall<S, Body>>>),
}

impl<S> Future for Answer<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Output = Result<Response<Body>, Infallible>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Routed(answer) => Pin::new(answer).poll(cx),
            Self::Other(answer) => answer.as_mut().poll(cx),
        }
    }
}
