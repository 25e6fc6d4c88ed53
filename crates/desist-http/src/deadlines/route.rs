use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{Route, Time};
use crate::request::RequestToken;
use crate::rpc::is_grpc;

/// The time of a route, in the place of the server's.
///
/// It counts from when the request began. Where the client says how long it waits, and
/// the server asks, that is its time: up to the cap of the server or the time of the route,
/// whichever is more, or up to [`at_most`](Self::at_most).
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::post};
/// use desist_http::DeadlineLayer;
/// use std::time::Duration;
///
/// async fn export() {}
///
/// let long = DeadlineLayer::new(Duration::from_secs(600));
/// let app = Router::<()>::new().route("/export", post(export).route_layer(long));
/// # let _ = app;
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    route: Route,
}

impl DeadlineLayer {
    /// Requests of this route have so long.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let _layer = desist_http::DeadlineLayer::new(Duration::from_secs(600));
    /// ```
    #[must_use]
    pub const fn new(time: Duration) -> Self {
        Self { route: Route { time: Time::Is(time), at_most: None } }
    }

    /// Requests of this route have no time but what their clients say: they are streams of
    /// events, or WebSockets, which take as long as they take.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::{Router, routing::get};
    /// use desist_http::DeadlineLayer;
    ///
    /// async fn events() {}
    ///
    /// let events = get(events).route_layer(DeadlineLayer::none());
    /// let app = Router::<()>::new().route("/events", events);
    /// # let _ = app;
    /// # }
    /// ```
    #[must_use]
    pub const fn none() -> Self {
        Self { route: Route { time: Time::Unlimited, at_most: None } }
    }

    /// Nobody has more than this here, whatever the cap of the server is.
    ///
    /// ```
    /// use desist_http::DeadlineLayer;
    /// use std::time::Duration;
    ///
    /// let time = Duration::from_secs(600);
    /// let _layer = DeadlineLayer::new(time).at_most(time);
    /// ```
    #[must_use]
    pub const fn at_most(self, time: Duration) -> Self {
        Self { route: Route { at_most: Some(time), ..self.route } }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> DeadlineService<S> {
        DeadlineService { inner, route: self.route }
    }
}

/// What [`DeadlineLayer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineService<S> {
    inner: S,
    route: Route,
}

impl<S, B> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(token) = request.extensions().get::<RequestToken>() {
            let begun = token.request();
            let deadlines = &begun.connection().server().deadlines;
            // What is no time has been refused by now, or is as if it were not said.
            let (said, _) = deadlines.said(request.headers());
            if let Some(limit) = deadlines.limit(said, self.route) {
                if is_grpc(request.version(), request.headers()) {
                    begun.is.grpc.set();
                }
                begun.limit(limit);
            } else {
                begun.unlimit();
            }
        }
        self.inner.call(request)
    }
}
