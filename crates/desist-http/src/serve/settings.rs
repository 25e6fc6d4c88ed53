//! What can be set on a server.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use desist_tokio::Stop;
use tokio::net::TcpStream;

use super::closing::{TcpOf, is_tcp_itself};
use super::in_flight::InFlight;
use crate::deadlines::Deadlines;
use crate::layer::RequestLayer;
use crate::policy::Policy;

/// A server that is not started yet: await it. See [`serve`](crate::serve()).
#[must_use = "it serves when it is awaited"]
pub struct Serve<L, M, S> {
    pub(super) listener: L,
    pub(super) make_service: M,
    pub(super) settings: Settings,
    service: PhantomData<fn() -> S>,
}

pub(super) struct Settings {
    pub(super) stop: Stop,
    pub(super) signal: Option<Signal>,
    pub(super) drain: Duration,
    pub(super) grace: Duration,
    pub(super) policy: Policy,
    pub(super) deadlines: Deadlines,
    pub(super) max_rescued: usize,
    pub(super) head_timeout: Duration,
    pub(super) half_close: bool,
    pub(super) read_ahead: usize,
    pub(super) max_connections: Option<usize>,
    pub(super) keepalive: Option<Duration>,
    pub(super) user_timeout: Option<Duration>,
    pub(super) tcp_of: TcpOf,
    pub(super) in_flight: Option<InFlight>,
}

/// When it has come, the server drains.
pub(super) type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            stop: Stop::never(),
            signal: None,
            drain: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            policy: Policy::default(),
            deadlines: Deadlines::new(),
            max_rescued: RequestLayer::MAX_RESCUED,
            head_timeout: Duration::from_secs(30),
            half_close: false,
            read_ahead: 1024 * 1024,
            max_connections: None,
            keepalive: Some(Duration::from_secs(60)),
            user_timeout: None,
            tcp_of: is_tcp_itself(),
            in_flight: None,
        }
    }
}

impl<L, M, S> Serve<L, M, S> {
    pub(super) fn new(listener: L, make_service: M) -> Self {
        Self { listener, make_service, settings: Settings::default(), service: PhantomData }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// It serves until that; as it is made, for ever.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let stop = desist_tokio::StopSource::new();
    /// stop.cancel();
    /// let report = desist_http::serve(listener, Router::<()>::new()).until(stop.stop()).await;
    /// assert!(report.is_clean());
    /// # }
    /// ```
    pub fn until(self, stop: impl Into<Stop>) -> Self {
        self.with(|settings| settings.stop = stop.into())
    }

    /// It drains when `signal` has come, as with axum's method of this name; what does
    /// not end by itself is stopped after [`drain_for`](Self::drain_for) all the same.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let app = Router::<()>::new();
    /// let report = desist_http::serve(listener, app).with_graceful_shutdown(async {}).await;
    /// assert!(report.is_clean());
    /// # }
    /// ```
    pub fn with_graceful_shutdown<F>(self, signal: F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.with(|settings| settings.signal = Some(Box::pin(signal)))
    }

    /// At most this long requests go on by themselves when it drains. Default: 10 s.
    ///
    /// ```
    /// # use axum::Router;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).drain_for(Duration::ZERO);
    /// # drop(server);
    /// # }
    /// ```
    pub fn drain_for(self, time: Duration) -> Self {
        self.with(|settings| settings.drain = time)
    }

    /// At most this long requests go on after they were asked to stop; what is left then is
    /// dropped, and has a second to go. Default: 5 s.
    ///
    /// ```
    /// # use axum::Router;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).grace(Duration::from_secs(20));
    /// # drop(server);
    /// # }
    /// ```
    pub fn grace(self, time: Duration) -> Self {
        self.with(|settings| settings.grace = time)
    }

    /// What becomes of a handler whose client is gone, where its route says nothing.
    /// Default: [`Policy::Cooperate`], with 5 s.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// use desist_http::Policy;
    ///
    /// let server = desist_http::serve(listener, Router::<()>::new()).policy(Policy::Drop);
    /// # drop(server);
    /// # }
    /// ```
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|settings| settings.policy = policy)
    }

    /// How long requests may take. Default: any time.
    ///
    /// ```
    /// # use axum::Router;
    /// # use desist_http::Deadlines;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let deadlines = Deadlines::new().otherwise(Duration::from_secs(30)).from_grpc();
    /// let server = desist_http::serve(listener, Router::<()>::new()).deadlines(deadlines);
    /// # drop(server);
    /// # }
    /// ```
    pub fn deadlines(self, deadlines: Deadlines) -> Self {
        self.with(|settings| settings.deadlines = deadlines)
    }

    /// At most so many handlers go on at once without their clients. Default: 1024.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).max_rescued(100);
    /// # drop(server);
    /// # }
    /// ```
    pub fn max_rescued(self, most: usize) -> Self {
        self.with(|settings| settings.max_rescued = most)
    }

    /// At most this long a client takes for the head of a request, and for its first.
    /// Default: 30 s.
    ///
    /// ```
    /// # use axum::Router;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).head_timeout(Duration::from_secs(5));
    /// # drop(server);
    /// # }
    /// ```
    pub fn head_timeout(self, time: Duration) -> Self {
        self.with(|settings| settings.head_timeout = time)
    }

    /// Whether clients may close their side and wait for the answer: then the end of what
    /// they send is not their going, which shows only when they are written to. On HTTP/2
    /// nobody closes one side alone: there it is the end in any case. Default: no.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).half_close(true);
    /// # drop(server);
    /// # }
    /// ```
    pub fn half_close(self, allowed: bool) -> Self {
        self.with(|settings| settings.half_close = allowed)
    }

    /// So many bytes of a connection are read ahead, while a request runs that reads
    /// nothing, so that the client's going is seen behind them. Only what is there takes
    /// memory, but each connection may have that much. Default: 1 MB.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).read_ahead(64 * 1024);
    /// # drop(server);
    /// # }
    /// ```
    pub fn read_ahead(self, most: usize) -> Self {
        self.with(|settings| settings.read_ahead = most)
    }

    /// At most so many connections are open at once, WebSockets among them; others wait to
    /// be accepted. An idle one keeps its place. Default: any number.
    ///
    /// # Panics
    ///
    /// If it is zero.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).max_connections(10_000);
    /// # drop(server);
    /// # }
    /// ```
    #[track_caller]
    pub fn max_connections(self, most: usize) -> Self {
        assert!(most > 0, "a server of no connections serves nobody; give it at least 1");
        self.with(|settings| settings.max_connections = Some(most))
    }

    /// After so long without a byte the system asks whether a client on TCP is still
    /// there, and closes the connection if it says nothing for half as long again; so does
    /// HTTP/2, by pings, while a request runs. Less than a second is taken for one.
    /// Default: 60 s.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new()).tcp_keepalive(None);
    /// # drop(server);
    /// # }
    /// ```
    pub fn tcp_keepalive(self, time: Option<Duration>) -> Self {
        self.with(|settings| settings.keepalive = time)
    }

    /// A client on TCP that takes nothing of what is on its way to it for so long is given
    /// up, on Linux: it is gone, or has paused, a film say, which nobody tells apart.
    /// Default: it is waited for until the system tires of sending the same again to
    /// somebody who does not answer, after a quarter of an hour.
    ///
    /// ```
    /// # use axum::Router;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new())
    ///     .tcp_user_timeout(Some(Duration::from_secs(120)));
    /// # drop(server);
    /// # }
    /// ```
    pub fn tcp_user_timeout(self, time: Option<Duration>) -> Self {
        self.with(|settings| settings.user_timeout = time)
    }

    /// Where the TCP connection is within the streams of this listener, if they are not
    /// that themselves: below TLS, say. There the keepalive is set, and there it is seen
    /// that a client is gone behind more bytes than are read ahead.
    ///
    /// ```
    /// # use axum::Router;
    /// # use tokio::net::{TcpListener, TcpStream};
    /// # struct Encrypted(TcpStream);
    /// # struct Encrypts(TcpListener);
    /// # impl tokio::io::AsyncRead for Encrypted {
    /// #     fn poll_read(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>, read: &mut tokio::io::ReadBuf<'_>) -> std::task::Poll<std::io::Result<()>> { std::pin::Pin::new(&mut self.0).poll_read(cx, read) }
    /// # }
    /// # impl tokio::io::AsyncWrite for Encrypted {
    /// #     fn poll_write(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>, bytes: &[u8]) -> std::task::Poll<std::io::Result<usize>> { std::pin::Pin::new(&mut self.0).poll_write(cx, bytes) }
    /// #     fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { std::pin::Pin::new(&mut self.0).poll_flush(cx) }
    /// #     fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> { std::pin::Pin::new(&mut self.0).poll_shutdown(cx) }
    /// # }
    /// # impl axum::serve::Listener for Encrypts {
    /// #     type Io = Encrypted;
    /// #     type Addr = std::net::SocketAddr;
    /// #     async fn accept(&mut self) -> (Encrypted, Self::Addr) { let (stream, addr) = self.0.accept().await.unwrap(); (Encrypted(stream), addr) }
    /// #     fn local_addr(&self) -> std::io::Result<Self::Addr> { self.0.local_addr() }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = Encrypts(TcpListener::bind("127.0.0.1:0").await.unwrap());
    /// let server = desist_http::serve(listener, Router::<()>::new())
    ///     .tcp_of(|Encrypted(tcp): &Encrypted| Some(tcp));
    /// # drop(server);
    /// # }
    /// ```
    pub fn tcp_of(self, tcp_of: fn(&L::Io) -> Option<&TcpStream>) -> Self
    where
        L: Listener,
    {
        let tcp_of: TcpOf = Arc::new(move |io| tcp_of(io.downcast_ref()?));
        self.with(|settings| settings.tcp_of = tcp_of)
    }

    /// That tells what it is doing from when it begins, beside other servers that it was
    /// given to.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// use desist_http::InFlight;
    ///
    /// let in_flight = InFlight::new();
    /// let server = desist_http::serve(listener, Router::<()>::new()).in_flight(&in_flight);
    /// assert!(in_flight.is_empty(), "it has not begun");
    /// # drop(server);
    /// # }
    /// ```
    pub fn in_flight(self, in_flight: &InFlight) -> Self {
        self.with(|settings| settings.in_flight = Some(in_flight.clone()))
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// That of the system.
    ///
    /// ```
    /// # use axum::Router;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    /// let server = desist_http::serve(listener, Router::<()>::new());
    /// assert_ne!(server.local_addr().unwrap().port(), 0);
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<L::Addr>
    where
        L: Listener,
    {
        self.listener.local_addr()
    }
}

impl<L, M, S> fmt::Debug for Serve<L, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("stop", &self.settings.stop).finish_non_exhaustive()
    }
}
