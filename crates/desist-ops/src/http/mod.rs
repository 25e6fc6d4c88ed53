//! Operations over HTTP: start, list, show, cancel and watch.
//!
//! Start with [`Routes`], and a hook that says who may do what ([`Routes::authorize`]).
//!
//! | route | does | verb |
//! |---|---|---|
//! | `POST /` | starts one: `{"kind", "input", "tags", "parent", "key", "delay_ms"}` | `Start` |
//! | `GET /` | lists, the newest first: `?kind=&state=&tag=&parent=&tree=&actor=&reason=&cancelled_by=&before=&limit=` | `List`, and `Show` of each |
//! | `GET /overdue` | those that do not stop | `List`, and `Show` of each |
//! | `POST /cancel` | cancels by tag: `{"tag", "mode", "reason", "message", "dry_run"}` | `CancelTagged` |
//! | `GET /{id}` | shows one | `Show` |
//! | `GET /{id}/history` | what happened to it | `Show` |
//! | `GET /{id}/watch` | the same as server-sent events, as it happens | `Watch` |
//! | `POST /{id}/cancel` | cancels it: `{"mode", "reason", "message", "tree", "dry_run", "wait_ms"}` | `Cancel`, `CancelTree` |
//!
//! With `dry_run` those with a tag, or in a tree, are counted that would be stopped, and none is.
//!
//! Nothing is changed or told before the hook has said so, and nobody learns from an answer whether
//! an operation exists that they may not see; a key that somebody else has is refused, and the
//! `sequence` of one's own tells how many there are between. Errors are `application/problem+json`.

mod access;
mod ask;
mod changes;
mod guard;
mod json;
mod loopback;
mod members;
mod problem;
mod reads;
mod watch;
mod watchers;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::{get, post};
use desist::Token;
use desist_http::RequestToken;
use desist_tokio::Stop;

pub use self::access::{Access, Ask, Verb};
#[cfg(feature = "console")]
pub(crate) use self::problem::Problem;

use self::watchers::Watchers;
use crate::Operations;
use crate::store::Store;

/// Who says what may be done.
#[derive(Clone)]
enum Rule {
    Nothing,
    Hook(Arc<dyn Fn(&Ask<'_>) -> Access + Send + Sync>),
    /// Whoever is on this machine may do everything, under this name.
    Loopback(String),
}

/// Routes for operations, to be nested into a router of one's own.
///
/// ```
/// use desist_ops::http::{Access, Routes, Verb};
/// use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let routes = Routes::new(operations).authorize(|ask| {
///     // A middleware in front has found out who it is.
///     let Some(user) = ask.request().extensions.get::<String>() else { return Access::Unknown };
///     let own = ask.operation().is_none_or(|operation| operation.actor.as_ref() == Some(user));
///     match ask.verb() {
///         Verb::CancelTagged | Verb::Process => Access::Denied,
///         _ if own => Access::granted(user),
///         _ => Access::Denied,
///     }
/// });
/// let app: axum::Router = axum::Router::new().nest("/operations", routes.into_router());
/// # let _ = app;
/// # Ok(())
/// # }
/// ```
#[must_use = "it becomes a router by `into_router`"]
pub struct Routes<S> {
    operations: Operations<S>,
    rule: Rule,
    max_watching: usize,
    stop: Stop,
}

impl<S: Store> Routes<S> {
    /// For these. Until it is said who may do what, nobody may do anything.
    pub fn new(operations: Operations<S>) -> Self {
        Self { operations, rule: Rule::Nothing, max_watching: 1000, stop: Stop::never() }
    }

    /// Asks this, before anything is done, whether it may be. It should not block: what takes time,
    /// as finding out who asks, belongs into a middleware in front, which leaves it in the
    /// extensions of the request.
    pub fn authorize(mut self, hook: impl Fn(&Ask<'_>) -> Access + Send + Sync + 'static) -> Self {
        self.rule = Rule::Hook(Arc::new(hook));
        self
    }

    /// Lets whoever is on this machine do everything, under this name: for development, and for what
    /// is reached through a tunnel. It takes the place of a hook.
    ///
    /// The app has to know from where a connection comes:
    /// `into_make_service_with_connect_info::<SocketAddr>()`. Refused are other machines; another name
    /// than `localhost` or an address of this machine in `Host`, for a page of another site could have
    /// its own name point here; what such a page asks for in the background; and what says that it
    /// came through a proxy, by one of the usual headers or by HTTP/1.0.
    ///
    /// A proxy on this machine that says nothing of that, or passes bytes on, cannot be told from
    /// somebody who is here. Where there may be one, [`authorize`](Self::authorize) instead.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// use desist_ops::http::Routes;
    /// use std::net::SocketAddr;
    ///
    /// let routes = Routes::new(operations).open_to_loopback("developer");
    /// let app = axum::Router::new().nest("/operations", routes.into_router());
    /// let app = app.into_make_service_with_connect_info::<SocketAddr>();
    /// # let _ = app;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_to_loopback(mut self, actor: impl Into<String>) -> Self {
        self.rule = Rule::Loopback(actor.into());
        self
    }

    /// How many may watch, or wait for what they cancelled, at a time; 1000, if nothing is said. Each
    /// of them asks the database twice a second.
    pub fn max_watching(mut self, most: usize) -> Self {
        self.max_watching = most;
        self
    }

    /// Ends what is watched when this drains. A server of `desist-http` tells that by itself; another
    /// one, as `axum::serve`, would wait for those who watch when it is to stop.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// use desist_ops::http::Routes;
    ///
    /// let stop = desist_tokio::StopSource::new();
    /// let routes = Routes::new(operations).open_to_loopback("developer").until(&stop.stop());
    /// # let _ = routes;
    /// # Ok(())
    /// # }
    /// ```
    pub fn until(mut self, stop: impl Into<Stop>) -> Self {
        self.stop = stop.into();
        self
    }

    /// As a router.
    pub fn into_router<T: Clone + Send + Sync + 'static>(self) -> Router<T> {
        let served = self.into_served(None);
        Router::new()
            .route("/", get(reads::list::<S>).post(changes::start::<S>))
            .route("/overdue", get(reads::overdue::<S>))
            .route("/cancel", post(changes::cancel_tagged::<S>))
            .route("/{id}", get(reads::show::<S>))
            .route("/{id}/history", get(reads::history::<S>))
            .route("/{id}/watch", get(watch::watch::<S>))
            .route("/{id}/cancel", post(changes::cancel::<S>))
            .method_not_allowed_fallback(problem::no_such_method)
            .with_state(Arc::new(served))
    }

    /// What a page asks for, and with what it cancels.
    #[cfg(feature = "console")]
    pub(crate) fn for_a_page<T: Clone + Send + Sync + 'static>(
        served: &Arc<Served<S>>,
        path: &str,
    ) -> Router<T> {
        Router::new()
            .route(&format!("{path}/"), get(reads::list::<S>))
            .route(&format!("{path}/{{id}}/history"), get(reads::history::<S>))
            .route(&format!("{path}/{{id}}/cancel"), post(changes::cancel::<S>))
            .method_not_allowed_fallback(problem::no_such_method)
            .with_state(Arc::clone(served))
    }

    pub(crate) fn into_served(self, reads_only: Option<&'static str>) -> Served<S> {
        let watchers = Watchers::new(self.max_watching);
        let Self { operations, rule, stop, .. } = self;
        Served { operations, rule, watchers, reads_only, stop }
    }
}

/// What every route needs.
pub(crate) struct Served<S> {
    pub(crate) operations: Operations<S>,
    rule: Rule,
    pub(crate) watchers: Watchers,
    /// Nothing is changed, whatever the hook says, and this is why.
    pub(crate) reads_only: Option<&'static str>,
    stop: Stop,
}

impl<S> Served<S> {
    /// A server that stops does not wait for those who watch, or wait for others.
    pub(crate) fn draining(&self, request: &Parts) -> Token {
        let own = self.stop.draining();
        match RequestToken::peek(&request.extensions) {
            Ok(token) => Token::any([own, token.draining()]),
            Err(_) => own.clone(),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("operations", &self.operations)
            .field("has_a_hook", &!matches!(self.rule, Rule::Nothing))
            .finish_non_exhaustive()
    }
}
