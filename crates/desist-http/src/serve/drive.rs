//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use desist::{Token, WhenCancelled};
use desist_tokio::Stop;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::closing::TcpOf;
use super::io::Stream;
use super::parting::Parting;
use super::requests::Requests;
use crate::connection::Connection;

/// What all connections of a server have in common.
pub(super) struct Serving {
    pub(super) builder: auto::Builder<TokioExecutor>,
    pub(super) stop: Stop,
    /// Nobody is waited for any more.
    pub(super) abort: Token,
    pub(super) head_timeout: Duration,
    pub(super) half_close: bool,
    pub(super) read_ahead: usize,
    pub(super) tcp_of: TcpOf,
}

impl Serving {
    pub(super) async fn connection<I, S>(
        self: Arc<Self>,
        stream: Stream<I>,
        connection: Arc<Connection>,
        app: S,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
    {
        let requests = Requests::new(app, Arc::clone(&connection));
        let serves = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), requests);
        let mut serves = pin!(serves);
        let mut draining = pin!(Waking::on(self.stop.draining()));
        let mut aborted = pin!(Waking::on(&self.abort));
        let mut is_told = false;
        // A client that says nothing, or half a head: armed while it has to say something.
        let mut patience: Option<Pin<Box<Sleep>>> = None;
        let mut linger = Linger::default();
        let mut parting = Parting::default();
        poll_fn(|cx| {
            if !is_told && draining.as_mut().is_cancelled(cx) {
                is_told = true;
                serves.as_mut().graceful_shutdown();
            }
            // No server gives up waiting before it drains.
            if is_told && aborted.as_mut().is_cancelled(cx) {
                return Poll::Ready(());
            }
            connection.begin_poll();
            // How a connection ends is seen by those that run on it.
            if serves.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if connection.is_gone() && parting.is_over(&connection, cx) {
                return Poll::Ready(());
            }
            if is_told && linger.is_over(&connection, cx) {
                return Poll::Ready(());
            }
            if !connection.is_owed_a_head() {
                patience = None;
                return Poll::Pending;
            }
            let patience = patience.get_or_insert_with(|| Box::pin(sleep(self.head_timeout)));
            patience.as_mut().poll(cx)
        })
        .await;
    }
}

/// When the server drains, a connection on which nothing runs is there for its goodbye,
/// and for what was sent before that came. So often it is looked whether nothing does: a
/// request may end in another task, which tells nobody here.
const LOOK: Duration = Duration::from_millis(500);

/// On HTTP/1.1 it is idle at so many looks in a row.
const LOOKS: u32 = 2;

/// On HTTP/2 the goodbye is a question, which a client answers by itself when it comes to
/// it, after a round trip; from then on its connection ends with its last stream. It may
/// lie behind an answer that takes longer: whoever has had one lately has the whole drain.
const ROUND_TRIP_LOOKS: u32 = 6;

#[derive(Default)]
struct Linger {
    next: Option<Pin<Box<Sleep>>>,
    /// It was idle at so many looks, and after so many requests.
    idle: (u32, Option<u64>),
    /// It has said something since the goodbye, and so is there.
    has_answered: bool,
}

impl Linger {
    /// It was idle at some looks, and nothing had come between them.
    fn is_over(&mut self, connection: &Connection, cx: &mut Context<'_>) -> bool {
        let is_http2 = connection.speaks_http2();
        self.has_answered |= is_http2 && connection.is_fresh();
        // hyper ends it: what is not taken yet of an answer, and streams that became
        // something else, only hyper knows of.
        if self.has_answered {
            return false;
        }
        loop {
            let next = self.next.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            if next.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.next = None;
            let (looks, before) = self.idle;
            let idle = connection.idle_after();
            let looks = if idle.is_some() && idle == before { looks + 1 } else { 1 };
            self.idle = (looks, idle);
            let enough = if is_http2 { ROUND_TRIP_LOOKS } else { LOOKS };
            if idle.is_some() && looks >= enough && !connection.has_answered_lately() {
                return true;
            }
        }
    }
}

pin_project! {
    /// A token that one task waits for among other things: it is registered once, and
    /// then looked at, which is one load.
    struct Waking<'a> {
        token: &'a Token,
        #[pin]
        cancelled: WhenCancelled<'a>,
        is_registered: bool,
    }
}

impl<'a> Waking<'a> {
    fn on(token: &'a Token) -> Self {
        Self { token, cancelled: token.cancelled(), is_registered: false }
    }

    #[inline]
    fn is_cancelled(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        if *this.is_registered {
            return this.token.is_cancelled();
        }
        *this.is_registered = true;
        this.cancelled.poll(cx).is_ready()
    }
}
