//! A server with handlers that say what becomes of them, and clients that misbehave.
#![allow(dead_code, unused_imports)] // Not every binary uses all of it.

mod client;
pub(crate) mod frames;
mod handlers;
mod http2;
mod late;
#[cfg(unix)]
mod proxy;
#[cfg(feature = "metrics")]
mod sums;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use desist_http::{Serve, ServeReport};
use desist_tokio::StopSource;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) use self::client::Client;
pub(crate) use self::handlers::{Handler, Probe, Said, app, app_of, left};
pub(crate) use self::http2::{Http2, PREFACE, next_of};
pub(crate) use self::late::Late;
#[cfg(unix)]
pub(crate) use self::proxy::{Proxy, find};
#[cfg(feature = "metrics")]
pub(crate) use self::sums::Sums;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for what must not.
pub(crate) const WHILE: Duration = Duration::from_millis(300);

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// There is no event for it.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    in_time(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// The beginning of a WebSocket, at `/socket`.
pub(crate) const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) stop: StopSource,
    pub(crate) said: mpsc::UnboundedReceiver<Said>,
    serves: JoinHandle<Option<ServeReport>>,
}

pub(crate) type TcpServe = Serve<TcpListener, Router, Router>;

impl Server {
    /// Ours, set up by `set_up`.
    pub(crate) async fn start_with(set_up: impl FnOnce(TcpServe) -> TcpServe) -> Self {
        let (app, said) = app();
        Self::of(app, said, set_up).await
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(|serve| serve).await
    }

    pub(crate) async fn of(
        app: Router,
        said: mpsc::UnboundedReceiver<Said>,
        set_up: impl FnOnce(TcpServe) -> TcpServe,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let serve = set_up(desist_http::serve(listener, app).until(stop.stop()));
        let serves = tokio::spawn(async move { Some(serve.await) });
        Self { addr, stop, said, serves }
    }

    /// The same handlers on `axum::serve`, to show what that does.
    pub(crate) async fn of_axum() -> Self {
        let (app, said) = app();
        Self::of_axum_with(app, said).await
    }

    pub(crate) async fn of_axum_with(app: Router, said: mpsc::UnboundedReceiver<Said>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let draining = stop.stop().draining().clone();
        let serves = axum::serve(listener, app).with_graceful_shutdown(async move {
            draining.cancelled().await;
        });
        let serves = tokio::spawn(async move {
            serves.await.unwrap();
            None
        });
        Self { addr, stop, said, serves }
    }

    /// Whatever serves on that listener until it is stopped.
    pub(crate) async fn of_other<F>(
        said: mpsc::UnboundedReceiver<Said>,
        serves: impl FnOnce(TcpListener, &StopSource) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let serves = serves(listener, &stop);
        let serves = tokio::spawn(async move {
            serves.await;
            None
        });
        Self { addr, stop, said, serves }
    }

    pub(crate) async fn hears(&mut self, said: Said) {
        let heard = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        assert_eq!(heard.unwrap_or_else(|_| panic!("nobody says {said:?}")), Some(said));
    }

    /// All of these, in any order, and nothing between.
    pub(crate) async fn hears_all<const N: usize>(&mut self, all: [Said; N]) {
        let mut missing = all.to_vec();
        while !missing.is_empty() {
            let heard = tokio::time::timeout(PATIENCE, self.said.recv()).await;
            let heard = heard.unwrap_or_else(|_| panic!("nobody says {missing:?}")).unwrap();
            let place = missing.iter().position(|said| *said == heard);
            missing.remove(place.unwrap_or_else(|| panic!("{heard:?}, and not {missing:?}")));
        }
    }

    pub(crate) async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(WHILE, self.said.recv()).await;
        assert!(heard.is_err(), "somebody says {:?}", heard.unwrap());
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::to(self.addr).await
    }

    /// A client whose request has come to its handler.
    pub(crate) async fn begins(&mut self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.get(path).await;
        self.hears(Said::Begun).await;
        client
    }

    /// Waits for the end of the server.
    pub(crate) async fn ends(self) -> Option<ServeReport> {
        let ended = tokio::time::timeout(PATIENCE, self.serves).await;
        ended.expect("the server ends").unwrap()
    }

    /// It is stopped, and goes on all the same.
    pub(crate) async fn does_not_end(&mut self) {
        let ended = tokio::time::timeout(WHILE * 2, &mut self.serves).await;
        assert!(ended.is_err(), "the server has ended");
    }

    /// Drops the server in the middle.
    pub(crate) fn abort(&self) {
        self.serves.abort();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.serves.is_finished()
    }
}
