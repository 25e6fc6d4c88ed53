//! A server that notices when its clients go, and stops within bounds.

mod closing;
mod drive;
mod in_flight;
mod incoming;
mod io;
mod parting;
mod ready;
mod report;
mod requests;
mod running;
mod settings;
mod upload;

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::serve::Listener;
use desist::{Cancelled, Cause, FutureExt, Reason, Source, Token};
use desist_tokio::{StopSource, timeout};
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::sync::Semaphore;
use tower_service::Service;

use self::drive::Serving;
pub use self::in_flight::InFlight;
pub use self::incoming::Incoming;
use self::io::Stream;
pub use self::report::ServeReport;
pub use self::running::Running;
pub use self::settings::Serve;
use self::settings::Settings;
use crate::alone::alone;
use crate::connection::Registry;
use crate::layer::RequestLayer;

/// What a system takes for the time after which it asks.
const LONGEST: Duration = Duration::from_secs(32_767);

/// So often a peer is asked that says nothing.
const PROBES: u32 = 3;

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
/// kernel hold, and closes; one whose cable was cut, until the keepalive finds out; and
/// behind a proxy whatever the proxy does not pass on.
///
/// Asked to [drain](desist_tokio::Stop::draining) it accepts nothing more, tells idle
/// connections, and lets requests end, for [`drain_for`](Serve::drain_for) at most; then,
/// or when the stop comes first, their tokens are cancelled with
/// [`Shutdown`](Reason::Shutdown), they have [`grace`](Serve::grace), and what is left then
/// is dropped and reported. The stream of a WebSocket fails from then on. A reason of
/// one's own to stop is the detail of that.
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
    Serve::new(listener, make_service)
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
    let Serve { mut listener, mut make_service, mut settings, .. } = serve;
    // Its own, so that whatever the reason is, to its clients it is that it stops.
    let source = StopSource::with_clock(settings.stop.token().clock());
    let stop = source.stop();
    let (drains, stops) = (source.clone(), source.clone());
    let _draining = settings.stop.draining().on_cancel(move |why| {
        drains.drain_with(why.clone());
    });
    let _stopping = settings.stop.token().on_cancel(move |why| {
        stops.cancel_with(as_shutdown(why));
    });
    let registry = Arc::new(Registry::default());
    if let Some(in_flight) = &settings.in_flight {
        in_flight.tells_of(&registry);
    }
    let aborting = Source::new();
    let server = RequestLayer::new(&stop)
        .policy(settings.policy)
        .deadlines(settings.deadlines.clone())
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
    let leaving = Leaving { source: source.clone(), aborting: aborting.clone(), is_dropped: true };
    if let Some(signal) = settings.signal.take() {
        let source = source.clone();
        tokio::spawn(aborting.token().run_owned(async move {
            signal.await;
            source.drain();
        }));
    }
    let room = settings.max_connections.map(|most| most.min(Semaphore::MAX_PERMITS));
    let room = room.map(|most| Arc::new(Semaphore::new(most)));
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
        // Where one of these panics there is no app for this connection.
        let ready = polled_alone(|cx| make_service.poll_ready(cx)).or_cancelled(draining).await;
        let Ok(ready) = ready else { break };
        let Some(Ok(())) = ready else { continue };
        let making = alone(|| make_service.call(Incoming::new(&io, &addr)));
        let Ok(app) = made(making).or_cancelled(draining).await else { break };
        let Some(app) = app else { continue };
        alone(|| tune(&io, &settings));
        let connection = registry.connect(Arc::clone(&server), addr);
        let stream = Stream::new(io, Arc::clone(&connection), Arc::clone(&serving), room);
        tokio::spawn(Arc::clone(&serving).connection(stream, connection, app));
    }
    drop(listener);
    let never = Token::never();
    let drained = timeout(settings.drain, stop.token(), |_| registry.until_empty()).await;
    let asked = drained.err().map(|_| {
        alone(|| _ = source.cancel_with(Reason::Shutdown));
        stop.token().clone()
    });
    if asked.is_some() {
        let _ended = timeout(settings.grace, &never, |_| registry.until_empty()).await;
    }
    let asked = asked.and_then(|token| token.cancellation());
    let report = ServeReport::of(asked, &registry.left());
    leaving.ends();
    if !report.is_clean() {
        let _gone = timeout(SETTLE, &never, |_| registry.until_empty()).await;
    }
    report
}

/// The reason why a server stops is a detail of that.
fn as_shutdown(why: &Cancelled) -> Cause {
    match why.reason() {
        Reason::Shutdown => why.clone().into(),
        _ => Reason::Shutdown.with(why.clone()),
    }
}

/// Whoever drops a server leaves nobody behind.
struct Leaving {
    source: StopSource,
    aborting: Source,
    is_dropped: bool,
}

impl Leaving {
    /// Whoever is left now was told before.
    fn ends(mut self) {
        self.is_dropped = false;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if self.is_dropped {
            alone(|| _ = self.source.cancel_with(Reason::Dropped));
        }
        alone(|| _ = self.aborting.cancel_with(Reason::Shutdown));
    }
}

/// The app for a connection; `None`: making it has panicked.
async fn made<S>(making: Option<impl Future<Output = Result<S, Infallible>>>) -> Option<S> {
    let mut making = pin!(making?);
    let Ok(app) = polled_alone(|cx| making.as_mut().poll(cx)).await?;
    Some(app)
}

async fn polled_alone<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| match alone(|| poll(cx)) {
        Some(polled) => polled.map(Some),
        None => Poll::Ready(None),
    })
    .await
}

fn builder(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let keepalive = settings.keepalive.map(in_reach);
    builder
        .http1()
        // Whoever drives the connection sees to heads that do not come: it needs no timer
        // for those that do.
        .header_read_timeout(None)
        .half_close(settings.half_close);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(keepalive)
        .keep_alive_timeout(keepalive.unwrap_or_default() / 2)
        .enable_connect_protocol();
    builder
}

/// The system counts in seconds, and not for ever.
fn in_reach(time: Duration) -> Duration {
    time.clamp(Duration::from_secs(1), LONGEST)
}

/// What can be set on a TCP connection: small answers at once, and a peer that is gone
/// without a word is found out.
fn tune(io: &dyn Any, settings: &Settings) {
    let Some(stream) = (settings.tcp_of)(io) else { return };
    // A connection that is broken already says so by itself.
    let _set = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    if let Some(time) = settings.keepalive.map(in_reach) {
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(in_reach(time / 6));
        let _set = socket.set_tcp_keepalive(&keepalive.with_retries(PROBES));
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(time) = settings.user_timeout {
        let _set = socket.set_tcp_user_timeout(Some(time.min(LONGEST)));
    }
}
