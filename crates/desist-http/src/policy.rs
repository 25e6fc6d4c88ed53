//! What becomes of a handler whose client is gone.

use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::request::RequestToken;

/// What becomes of a handler whose client is gone: hyper drops its future, in the
/// middle of whatever it does.
///
/// ```
/// use desist_http::Policy;
/// use std::time::Duration;
///
/// assert_eq!(Policy::default(), Policy::Cooperate { grace: Duration::from_secs(5) });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// If it took the token it goes on, with its token cancelled, until it ends or so
    /// much time has passed. One that did not take the token is dropped.
    Cooperate {
        /// The time that it has.
        grace: Duration,
    },
    /// It is dropped, with its token cancelled, as hyper does.
    Drop,
    /// It goes on to its end and is told nothing: the client's going is no reason to
    /// stop. A deadline or a stop of the server still is. Its answer, which nobody reads,
    /// is dropped.
    Detach,
}

impl Policy {
    /// That of those that name none.
    pub(crate) const GRACE: Duration = Duration::from_secs(5);
}

impl Default for Policy {
    fn default() -> Self {
        Self::Cooperate { grace: Self::GRACE }
    }
}

/// Sets the [`Policy`] of the routes that it is around.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// use axum::{Router, routing::post};
/// use desist_http::{Policy, PolicyLayer};
///
/// let import = Router::<()>::new()
///     .route("/import", post(|| async { "imported" }))
///     .route_layer(PolicyLayer::new(Policy::Detach));
/// # let _ = import;
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PolicyLayer {
    policy: Policy,
}

impl PolicyLayer {
    /// That policy.
    ///
    /// ```
    /// use desist_http::{Policy, PolicyLayer};
    /// use tower_layer::Layer;
    ///
    /// let _service = PolicyLayer::new(Policy::Drop).layer(());
    /// ```
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { policy }
    }
}

impl<S> Layer<S> for PolicyLayer {
    type Service = PolicyService<S>;

    fn layer(&self, inner: S) -> PolicyService<S> {
        PolicyService { inner, policy: self.policy }
    }
}

/// What [`PolicyLayer`] makes.
#[derive(Debug, Clone, Copy)]
pub struct PolicyService<S> {
    inner: S,
    policy: Policy,
}

impl<S, B> Service<Request<B>> for PolicyService<S>
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
            token.request().set_policy(self.policy);
        }
        self.inner.call(request)
    }
}
