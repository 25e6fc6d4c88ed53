//! The layer that gives each request its token.

mod body;
mod future;
mod over;
mod rescue;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use desist_tokio::Stop;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::TokenBody;
pub use self::future::ResponseFuture;
pub(crate) use self::over::BoxError;
pub(crate) use self::rescue::Rescued;
use self::rescue::Rescues;
use crate::connection::{Connection, Running};
use crate::deadlines::{Deadlines, Malformed, Route};
use crate::outcome;
use crate::policy::Policy;
use crate::request::RequestToken;
use crate::rpc::is_grpc;

/// Gives each request a token below that of the server, for whatever tower service is
/// inside: the handler takes it as [`RequestToken`].
///
/// It is the outermost layer: what is inside of it goes on with a handler that outlives
/// its client, and holds its permits until then; what is outside is gone by then.
/// [`serve`](crate::serve()) puts one around the app by itself; a second one inside
/// changes nothing.
///
/// ```
/// use desist_http::{RequestLayer, RequestToken};
/// use desist_tokio::StopSource;
/// use tower_layer::Layer;
/// use tower_service::Service;
///
/// # #[derive(Clone)] struct App;
/// # impl Service<http::Request<()>> for App {
/// #     type Response = http::Response<http_body_util::Empty<bytes::Bytes>>;
/// #     type Error = std::convert::Infallible;
/// #     type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;
/// #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> { std::task::Poll::Ready(Ok(())) }
/// #     fn call(&mut self, request: http::Request<()>) -> Self::Future {
/// #         let token = RequestToken::of(request.extensions()).unwrap();
/// #         assert!(!token.is_cancelled());
/// #         Box::pin(async { Ok(http::Response::new(http_body_util::Empty::new())) })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let server = StopSource::new();
/// let mut app = RequestLayer::new(server.stop()).layer(App);
/// let response = app.call(http::Request::new(())).await.unwrap();
/// assert_eq!(response.status(), 200);
/// # }
/// ```
#[derive(Clone)]
pub struct RequestLayer {
    server: Arc<Server>,
}

/// What all requests of a server have in common.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) stop: Stop,
    pub(crate) policy: Policy,
    pub(crate) deadlines: Deadlines,
    pub(crate) rescues: Rescues,
}

impl RequestLayer {
    /// So many handlers go on at once without their clients, if nothing is set.
    ///
    /// ```
    /// assert_eq!(desist_http::RequestLayer::MAX_RESCUED, 1024);
    /// ```
    pub const MAX_RESCUED: usize = 1024;

    /// Every request's token is below this one's.
    ///
    /// ```
    /// use desist_http::RequestLayer;
    /// use desist_tokio::Stop;
    ///
    /// let _layer = RequestLayer::new(Stop::never());
    /// ```
    #[must_use]
    pub fn new(stop: impl Into<Stop>) -> Self {
        outcome::describe();
        let server = Server {
            stop: stop.into(),
            policy: Policy::default(),
            deadlines: Deadlines::new(),
            rescues: Rescues::at_most(Self::MAX_RESCUED),
        };
        Self { server: Arc::new(server) }
    }

    fn with(self, change: impl FnOnce(&mut Server)) -> Self {
        let mut server = Arc::unwrap_or_clone(self.server);
        change(&mut server);
        Self { server: Arc::new(server) }
    }

    /// The policy of routes that set none.
    ///
    /// ```
    /// use desist_http::{Policy, RequestLayer};
    /// use desist_tokio::Stop;
    ///
    /// let _layer = RequestLayer::new(Stop::never()).policy(Policy::Drop);
    /// ```
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        self.with(|server| server.policy = policy)
    }

    /// How long requests may take.
    ///
    /// ```
    /// use desist_http::{Deadlines, RequestLayer};
    /// use desist_tokio::Stop;
    /// use std::time::Duration;
    ///
    /// let deadlines = Deadlines::new().otherwise(Duration::from_secs(30));
    /// let _layer = RequestLayer::new(Stop::never()).deadlines(deadlines);
    /// ```
    #[must_use]
    pub fn deadlines(self, deadlines: Deadlines) -> Self {
        self.with(|server| server.deadlines = deadlines)
    }

    /// So many handlers may go on at once without their clients; those beyond are
    /// dropped, and counted.
    ///
    /// ```
    /// use desist_http::RequestLayer;
    /// use desist_tokio::Stop;
    ///
    /// let _layer = RequestLayer::new(Stop::never()).max_rescued(100);
    /// ```
    #[must_use]
    pub fn max_rescued(self, most: usize) -> Self {
        self.with(|server| server.rescues = Rescues::at_most(most))
    }
}

#[cfg(feature = "axum")]
impl RequestLayer {
    /// From then on nobody is let go on.
    pub(crate) fn aborted_by(self, source: &desist::Source) -> Self {
        self.with(|server| server.rescues = server.rescues.clone().aborted_by(source.token()))
    }

    /// For connections that tell.
    pub(crate) fn server(self) -> Arc<Server> {
        self.server
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        RequestService { inner, connection: Connection::unknown(Arc::clone(&self.server)) }
    }
}

impl std::fmt::Debug for RequestLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLayer").field("policy", &self.server.policy).finish_non_exhaustive()
    }
}

/// What [`RequestLayer`] makes.
#[derive(Clone)]
pub struct RequestService<S> {
    inner: S,
    connection: Arc<Connection>,
}

impl<S, A, B> Service<Request<A>> for RequestService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<TokenBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<Pin<Box<S::Future>>, B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        if request.extensions().get::<RequestToken>().is_some() {
            // Another layer has seen to it.
            return ResponseFuture::passed(Box::pin(self.inner.call(request)));
        }
        let running = match begin(&self.connection, &mut request, true) {
            Ok(running) => running,
            Err((running, malformed)) => return ResponseFuture::refused(running, malformed, None),
        };
        let in_span = running.request.span.enter();
        let work = Box::pin(self.inner.call(request));
        drop(in_span);
        ResponseFuture::new(work, running, None)
    }
}

/// A request begins on that connection, and has its token from then on.
#[inline]
pub(crate) fn begin<B>(
    connection: &Arc<Connection>,
    request: &mut Request<B>,
    has_body: bool,
) -> Result<Running, (Running, Box<Malformed>)> {
    let running = connection.begin(request, has_body);
    if !connection.server().deadlines.is_nothing() {
        if let Err(malformed) = limit(&running, request.version(), request.headers()) {
            return Err((running, Box::new(malformed)));
        }
    }
    request.extensions_mut().insert(RequestToken::new(Arc::clone(&running.request)));
    Ok(running)
}

/// It gets its time, before anybody has its token.
fn limit(running: &Running, version: Version, headers: &HeaderMap) -> Result<(), Malformed> {
    let deadlines = &running.request.connection().server().deadlines;
    if is_grpc(version, headers) {
        running.request.is.grpc.set();
    }
    let (said, malformed) = deadlines.said(headers);
    if let Some(malformed) = malformed {
        if deadlines.refuses() {
            return Err(malformed);
        }
        outcome::ignored(&malformed);
    }
    if let Some(limit) = deadlines.limit(said, Route::default()) {
        running.request.limit(limit);
    }
    Ok(())
}

impl<S> std::fmt::Debug for RequestService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestService")
            .field("policy", &self.connection.server().policy)
            .finish_non_exhaustive()
    }
}
