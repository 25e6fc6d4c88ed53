//! A server that notices when its clients go, and stops within bounds.

mod closing;
mod drive;
mod incoming;
mod io;
mod ready;
mod report;
mod requests;
mod upload;

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::serve::Listener;
use desist::{FutureExt, Reason, Source};
use desist_tokio::{Stop, StopSource, timeout};
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::Semaphore;
use tower_service::Service;

use self::closing::{TcpOf, is_tcp_itself};
use self::drive::Serving;
pub use self::incoming::Incoming;
pub use self::report::{Running, ServeReport};
use crate::connection::Registry;
use crate::layer::RequestLayer;
use crate::policy::Policy;

/// How long those that are aborted have to go.
const SETTLE: Duration = Duration::from_secs(1);

/// Serves an app of axum: takes what [`axum::serve()`] takes, notices when a client goes,
/// and stops when it is asked to, within bounds.
///
/// Each request has a token, which its handler takes as
/// [`RequestToken`](crate::RequestToken). It is cancelled with
/// [`Disconnected`](Reason::Disconnected) when the client is gone, also where hyper alone
/// does not see it: with a body that nobody reads, and with a further request waiting
/// behind. What stays unseen: a client that has sent more than [`read_ahead`] and the
/// kernel hold, and goes; one whose cable was cut, until the keepalive finds out; and
/// behind a proxy whatever the proxy does not pass on.
///
/// Asked to [drain](Stop::draining) it accepts nothing more, tells idle connections, and
/// lets requests end, for [`drain_for`](Serve::drain_for) at most; then, or when the stop
/// comes first, their tokens are cancelled with [`Shutdown`](Reason::Shutdown), they have
/// [`grace`](Serve::grace), and what is left then is dropped and reported.
///
/// [`read_ahead`]: Serve::read_ahead
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use desist_http::{RequestToken, Stopped, serve};
/// use std::time::Duration;
///
/// async fn long_running_task(token: RequestToken) -> Result<&'static str, Stopped> {
///     for _ in 1..=20 {
///         desist_tokio::sleep(Duration::from_secs(1), &token).await?;
///     }
///     Ok("long-running task completed")
/// }
///
/// # #[tokio::main]
/// # async fn main() {
/// let app = Router::new().route("/longrunningtask", get(long_running_task));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await.unwrap();
/// let report = serve(listener, app).until(desist_tokio::signals()).await;
/// assert!(report.is_clean(), "{report}");
/// # }
/// ```
pub fn serve<L, M, S>(listener: L, make_service: M) -> Serve<L, M, S>
where
    L: Listener,
    L::Addr: fmt::Debug,
    M: for<'a> Service<Incoming<'a, L>, Error = Infallible, Response = S>,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    Serve {
        listener,
        make_service,
        settings: Settings {
            stop: Stop::never(),
            drain: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            policy: Policy::default(),
            max_rescued: RequestLayer::MAX_RESCUED,
            head_timeout: Duration::from_secs(30),
            half_close: false,
            read_ahead: 1024 * 1024,
            max_connections: None,
            keepalive: Some(Duration::from_secs(60)),
            tcp_of: is_tcp_itself(),
        },
        service: PhantomData,
    }
}

/// A server that is not started yet: await it. See [`serve`].
#[must_use = "it serves when it is awaited"]
pub struct Serve<L, M, S> {
    listener: L,
    make_service: M,
    settings: Settings,
    service: PhantomData<fn() -> S>,
}

struct Settings {
    stop: Stop,
    drain: Duration,
    grace: Duration,
    policy: Policy,
    max_rescued: usize,
    head_timeout: Duration,
    half_close: bool,
    read_ahead: usize,
    max_connections: Option<usize>,
    keepalive: Option<Duration>,
    tcp_of: TcpOf,
}

impl<L, M, S> Serve<L, M, S> {
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
    /// # Panics
    ///
    /// Outside a tokio runtime.
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
        let source = StopSource::new();
        let stop = source.stop();
        tokio::spawn(async move {
            signal.await;
            source.drain();
        });
        self.until(stop)
    }

    /// So long requests may go on by themselves when it drains; as it is made, 10 s.
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

    /// So long requests have after they were asked to stop; as it is made, 5 s.
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

    /// So many handlers may go on at once without their clients.
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

    /// So long a client may take for the head of a request, and for its first byte; as it
    /// is made, 30 s.
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
    /// they send is not their going, which shows only when they are written to.
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
    /// nothing, so that the client's going is seen behind them; as it is made, 1 MB, and
    /// only what is there takes memory.
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

    /// So many connections are open at once at most; others wait to be accepted.
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
    /// there, and closes the connection if it says nothing; as it is made, 60 s.
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
}

impl<L, M, S> IntoFuture for Serve<L, M, S>
where
    L: Listener,
    L::Addr: fmt::Debug,
    M: for<'a> Service<Incoming<'a, L>, Error = Infallible, Response = S> + Send + 'static,
    for<'a> <M as Service<Incoming<'a, L>>>::Future: Send,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Output = ServeReport;
    type IntoFuture = Pin<Box<dyn Future<Output = ServeReport> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<L, M, S>(serve: Serve<L, M, S>) -> ServeReport
where
    L: Listener,
    L::Addr: fmt::Debug,
    M: for<'a> Service<Incoming<'a, L>, Error = Infallible, Response = S> + Send + 'static,
    for<'a> <M as Service<Incoming<'a, L>>>::Future: Send,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let Serve { mut listener, mut make_service, settings, .. } = serve;
    let source = settings.stop.child();
    let stop = source.stop();
    let registry = Arc::new(Registry::default());
    let aborting = Source::new();
    let server = RequestLayer::new(&stop)
        .policy(settings.policy)
        .max_rescued(settings.max_rescued)
        .aborted_by(&aborting)
        .server();
    let serving = Arc::new(Serving {
        builder: builder(&settings),
        stop: stop.clone(),
        abort: aborting.token(),
        head_timeout: settings.head_timeout,
        half_close: settings.half_close,
        read_ahead: settings.read_ahead,
        tcp_of: Arc::clone(&settings.tcp_of),
    });
    // Whoever drops this leaves nobody behind.
    let _abort = aborting.guard();
    let room = settings.max_connections.map(|most| Arc::new(Semaphore::new(most)));
    let draining = stop.draining();
    loop {
        let room = match &room {
            Some(room) => match Arc::clone(room).acquire_owned().or_cancelled(draining).await {
                Ok(room) => room.ok(),
                Err(_) => break,
            },
            None => None,
        };
        let Ok((io, addr)) = listener.accept().or_cancelled(draining).await else { break };
        let ready = poll_fn(|cx| make_service.poll_ready(cx)).or_cancelled(draining).await;
        let Ok(Ok(())) = ready else { break };
        let app = make_service.call(Incoming::new(&io, &addr)).or_cancelled(draining).await;
        let Ok(Ok(app)) = app else { break };
        tune(&io, &settings);
        let connection = registry.connect(Arc::clone(&server), addr);
        let serves = Arc::clone(&serving).connection(io, connection, app);
        tokio::spawn(async move {
            serves.await;
            drop(room);
        });
    }
    drop(listener);
    let drained = timeout(settings.drain, stop.token(), |_| registry.until_empty()).await;
    let asked = drained.err().map(|_| {
        source.cancel_with(Reason::Shutdown);
        stop.token().clone()
    });
    if asked.is_some() {
        let never = desist::Token::never();
        let _ended = timeout(settings.grace, &never, |_| registry.until_empty()).await;
    }
    let asked = asked.and_then(|token| token.cancellation());
    let report = ServeReport::of(asked, registry.left());
    aborting.cancel_with(Reason::Shutdown);
    if !report.is_clean() {
        let never = desist::Token::never();
        let _gone = timeout(SETTLE, &never, |_| registry.until_empty()).await;
    }
    report
}

fn builder(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Whoever drives the connection sees to heads that do not come: it needs no timer
        // for those that do.
        .header_read_timeout(None)
        .half_close(settings.half_close);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keepalive)
        .enable_connect_protocol();
    builder
}

/// What can be set on a TCP connection: small answers at once, and a peer that is gone
/// without a word is found out.
fn tune(io: &dyn Any, settings: &Settings) {
    let Some(stream) = (settings.tcp_of)(io) else { return };
    // A connection that is broken already says so by itself.
    let _set = stream.set_nodelay(true);
    if let Some(time) = settings.keepalive {
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(time / 6).with_retries(3);
        let _set = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    }
}

impl<L, M, S> fmt::Debug for Serve<L, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("stop", &self.settings.stop).finish_non_exhaustive()
    }
}
