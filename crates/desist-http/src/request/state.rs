//! What is known of a request while it runs.
//!
//! Its token is made when somebody asks for it. Until then nobody can see it, so that a
//! request whose handler takes none costs none: whether it was stopped is whether the
//! server was. Whoever stops it makes the token first.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

#[cfg(feature = "axum")]
use axum::extract::MatchedPath;
use desist::{Cancelled, Reason, Source, Token};
use http::uri::PathAndQuery;
use http::{Method, Version};

use crate::connection::Connection;
use crate::outcome::{self, Outcome, Span};
use crate::policy::Policy;

pub(crate) struct Request {
    connection: Arc<Connection>,
    /// Its place on the list of its connection, when it has one.
    place: AtomicUsize,
    signal: OnceLock<Signal>,
    pub(crate) method: Method,
    path: Option<PathAndQuery>,
    is_one_of_many: bool,
    /// The route, where the router told it.
    #[cfg(feature = "axum")]
    route: OnceLock<MatchedPath>,
    pub(crate) began: Instant,
    flags: AtomicU8,
    /// That of its route, if that has one.
    policy: Mutex<Option<Policy>>,
    pub(crate) span: Span,
}

struct Signal {
    source: Source,
    token: Token,
}

/// The handler has its token.
const TAKEN: u8 = 1;
/// Its client is gone, and it goes on.
const RESCUED: u8 = 2;
/// It became a stream of many.
const ENDS_WITH_ITS_TOKENS: u8 = 4;
/// The handler has answered; what is left is the body of that.
const ANSWERED: u8 = 8;
/// It had its grace, on its connection.
const OVERDUE: u8 = 16;

impl Request {
    #[inline]
    pub(crate) fn new<B>(connection: Arc<Connection>, request: &http::Request<B>) -> Self {
        let span = Span::of(request, &connection);
        Self {
            connection,
            place: AtomicUsize::new(usize::MAX),
            signal: OnceLock::new(),
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            is_one_of_many: request.version() == Version::HTTP_2,
            #[cfg(feature = "axum")]
            route: OnceLock::new(),
            began: Instant::now(),
            flags: AtomicU8::new(0),
            policy: Mutex::new(None),
            span,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn place(&self) -> usize {
        // Ordering: whoever has the request has it from where that was set.
        self.place.load(Ordering::Relaxed)
    }

    pub(crate) fn set_place(&self, place: usize) {
        // Ordering: as in `place`.
        self.place.store(place, Ordering::Relaxed);
    }

    /// Its connection has other requests at the same time.
    pub(crate) fn is_one_of_many(&self) -> bool {
        self.is_one_of_many
    }

    fn signal(&self) -> &Signal {
        self.signal.get_or_init(|| {
            let source = self.connection.server().stop.token().child();
            Signal { token: source.token(), source }
        })
    }

    pub(crate) fn source(&self) -> &Source {
        &self.signal().source
    }

    pub(crate) fn token(&self) -> &Token {
        &self.signal().token
    }

    pub(crate) fn draining(&self) -> &Token {
        self.connection.server().stop.draining()
    }

    /// Why it was stopped, if it was.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        match self.signal.get() {
            Some(signal) => signal.token.cancellation(),
            None => self.connection.server().stop.token().cancellation(),
        }
    }

    /// The route if it is known, else the path.
    pub(crate) fn name(&self) -> &str {
        #[cfg(feature = "axum")]
        if let Some(route) = self.route.get() {
            return route.as_str();
        }
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn set_route(&self, route: &MatchedPath) {
        self.route.get_or_init(|| {
            self.span.route(route.as_str());
            route.clone()
        });
    }

    fn set(&self, flag: u8) {
        // Ordering: they are set by whoever has the request in hand, and read by whoever
        // has it next, or ends it; a report that sees one late is as good.
        self.flags.fetch_or(flag, Ordering::Relaxed);
    }

    fn is(&self, flag: u8) -> bool {
        // Ordering: as in `set`.
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub(crate) fn take(&self) {
        self.set(TAKEN);
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.is(TAKEN)
    }

    pub(crate) fn set_rescued(&self) {
        self.set(RESCUED);
    }

    pub(crate) fn is_rescued(&self) -> bool {
        self.is(RESCUED)
    }

    pub(crate) fn set_answered(&self) {
        self.set(ANSWERED);
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.is(ANSWERED)
    }

    pub(crate) fn set_overdue(&self) {
        self.set(OVERDUE);
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.is(OVERDUE)
    }

    pub(crate) fn set_ends_with_its_tokens(&self) {
        self.set(ENDS_WITH_ITS_TOKENS);
    }

    pub(crate) fn ends_with_its_tokens(&self) -> bool {
        self.is(ENDS_WITH_ITS_TOKENS)
    }

    pub(crate) fn policy(&self) -> Policy {
        let of_route = *self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        of_route.unwrap_or(self.connection.server().policy)
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Some(policy);
    }

    /// The client is gone, which does not matter to every handler.
    #[track_caller]
    pub(crate) fn disconnected(&self) {
        if self.policy() != Policy::Detach {
            self.source().cancel_with(Reason::Disconnected);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.ends_with_its_tokens() {
            outcome::ended(self, &Outcome::of_stream(self));
            self.connection.end(self.place());
        }
    }
}
