//! What is known of a request while it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use desist::{Reason, Source, Token};
use desist_tokio::Stop;
use http::{Method, Uri};

use crate::policy::Policy;

pub(crate) struct Request {
    source: Source,
    token: Token,
    draining: Token,
    pub(crate) method: Method,
    uri: Uri,
    /// The route, where the router told it.
    route: OnceLock<String>,
    pub(crate) began: Instant,
    /// The handler has its token.
    taken: AtomicBool,
    policy: Mutex<Policy>,
}

impl Request {
    pub(crate) fn new(stop: &Stop, policy: Policy, method: Method, uri: Uri) -> Self {
        let source = stop.token().child();
        Self {
            token: source.token(),
            source,
            draining: stop.draining().clone(),
            method,
            uri,
            route: OnceLock::new(),
            began: Instant::now(),
            taken: AtomicBool::new(false),
            policy: Mutex::new(policy),
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    pub(crate) fn draining(&self) -> &Token {
        &self.draining
    }

    /// The route if it is known, else the path.
    pub(crate) fn name(&self) -> &str {
        self.route.get().map_or(self.uri.path(), String::as_str)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn set_route(&self, route: &str) {
        self.route.get_or_init(|| route.to_owned());
    }

    pub(crate) fn take(&self) {
        // Ordering: it is read by whoever drops the handler, after its last poll.
        self.taken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_taken(&self) -> bool {
        // Ordering: as in `take`.
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn policy(&self) -> Policy {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// The client is gone, which does not matter to every handler.
    #[track_caller]
    pub(crate) fn disconnected(&self) {
        if self.policy() != Policy::Detach {
            self.source.cancel_with(Reason::Disconnected);
        }
    }
}
