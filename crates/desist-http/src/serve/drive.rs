//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use desist::Token;
use desist_tokio::Stop;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

use super::io::watched;
use super::ready::WhenReady;
use crate::connection::Connection;
use crate::layer::RequestLayer;

/// What all connections of a server have in common.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) layer: RequestLayer,
    pub(super) builder: auto::Builder<TokioExecutor>,
    pub(super) stop: Stop,
    /// Nobody is waited for any more.
    pub(super) abort: Token,
    pub(super) head_timeout: Duration,
    pub(super) half_close: bool,
    pub(super) read_ahead: usize,
}

impl Serving {
    pub(super) async fn connection<I, S>(self, io: I, connection: Arc<Connection>, service: S)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let (stream, watch) =
            watched(io, Arc::clone(&connection), self.half_close, self.read_ahead);
        let service = self.layer.layer(WhenReady(service)).on(connection);
        let hyper_service = service_fn(move |request: Request<Incoming>| {
            service.clone().call(request.map(Body::new))
        });
        let serves =
            self.builder.serve_connection_with_upgrades(TokioIo::new(stream), hyper_service);
        let mut serves = pin!(serves);
        let mut draining = pin!(self.stop.draining().cancelled());
        let mut aborted = pin!(self.abort.cancelled());
        let mut is_told = false;
        // A client that says nothing, or half a head: armed while it has to say something.
        let mut patience: Option<Pin<Box<Sleep>>> = None;
        poll_fn(|cx| {
            if aborted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if !is_told && draining.as_mut().poll(cx).is_ready() {
                is_told = true;
                serves.as_mut().graceful_shutdown();
            }
            watch.begin();
            // How a connection ends is seen by those that run on it.
            if serves.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            watch.look(cx);
            if !watch.is_owed_a_head() {
                patience = None;
                return Poll::Pending;
            }
            let patience = patience.get_or_insert_with(|| Box::pin(sleep(self.head_timeout)));
            patience.as_mut().poll(cx)
        })
        .await;
    }
}
