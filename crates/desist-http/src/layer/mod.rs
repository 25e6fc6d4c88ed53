//! The layer that gives each request its token.

mod body;
mod future;
mod rescue;

use std::sync::Arc;
use std::task::{Context, Poll};

use desist_tokio::Stop;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::TokenBody;
pub use self::future::ResponseFuture;
use self::rescue::Rescues;
use crate::connection::Connection;
use crate::policy::Policy;
use crate::request::{self, RequestToken};

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
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    stop: Stop,
    policy: Policy,
    rescues: Rescues,
    /// Where the server does not tell.
    connection: Arc<Connection>,
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
        let shared = Shared {
            stop: stop.into(),
            policy: Policy::default(),
            rescues: Rescues::at_most(Self::MAX_RESCUED),
            connection: Connection::unknown(),
        };
        Self { shared: Arc::new(shared) }
    }

    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared);
        Self { shared: Arc::new(shared) }
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
        self.with(|shared| shared.policy = policy)
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
        self.with(|shared| shared.rescues = Rescues::at_most(most))
    }
}

impl RequestLayer {
    /// From then on nobody is let go on.
    #[cfg(feature = "axum")]
    pub(crate) fn aborted_by(self, source: &desist::Source) -> Self {
        self.with(|shared| shared.rescues = shared.rescues.clone().aborted_by(source.token()))
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> RequestService<S> {
        let shared = Arc::clone(&self.shared);
        RequestService { inner, connection: Arc::clone(&shared.connection), shared }
    }
}

impl std::fmt::Debug for RequestLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLayer").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}

/// What [`RequestLayer`] makes.
#[derive(Clone)]
pub struct RequestService<S> {
    inner: S,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

#[cfg(feature = "axum")]
impl<S> RequestService<S> {
    /// Its requests are on that connection.
    pub(crate) fn on(self, connection: Arc<Connection>) -> Self {
        Self { connection, ..self }
    }
}

impl<S, A, B> Service<Request<A>> for RequestService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
{
    type Response = Response<TokenBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        if request.extensions().get::<RequestToken>().is_some() {
            // Another layer has seen to it.
            return ResponseFuture::passed(self.inner.call(request));
        }
        let shared = &self.shared;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let state = Arc::new(request::Request::new(&shared.stop, shared.policy, method, uri));
        let running = self.connection.begin(Arc::clone(&state));
        request.extensions_mut().insert(RequestToken::new(state));
        ResponseFuture::new(self.inner.call(request), running, shared.rescues.clone())
    }
}

impl<S> std::fmt::Debug for RequestService<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestService")
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}
