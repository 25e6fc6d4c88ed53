//! What is known of a request while it runs.
//!
//! Its token is made when somebody asks for it. Until then nobody can see it, so that a
//! request whose handler takes none costs none: whether it was stopped is whether the
//! server was. Whoever stops it makes the token first.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

#[cfg(feature = "axum")]
use axum::extract::MatchedPath;
use desist::{Cancelled, Reason, Source, Token};
use http::{Method, Version};

use super::grace::{GoesOn, Until};
use crate::alone::alone;
use crate::connection::Connection;
use crate::deadlines::{Limit, Whose};
use crate::layer::Rescued;
use crate::outcome::{self, Outcome, Span};
use crate::policy::Policy;

pub(crate) struct Request {
    connection: Arc<Connection>,
    /// Its place on the list of its connection, when it has one.
    place: AtomicUsize,
    signal: OnceLock<Signal>,
    pub(crate) method: Method,
    /// Its own, for one that is shared would keep what hyper has read.
    path: String,
    is_one_of_many: bool,
    /// The route, where the router told it.
    #[cfg(feature = "axum")]
    route: OnceLock<MatchedPath>,
    pub(crate) began: Instant,
    pub(crate) is: Flags,
    rare: Mutex<Rare>,
    pub(crate) span: Span,
}

/// What most never have.
#[derive(Default)]
struct Rare {
    /// That of its route, if that has one.
    policy: Option<Policy>,
    /// Without its client.
    goes_on: Option<GoesOn>,
    limit: Option<Armed>,
}

/// How long it may take, and who said so.
struct Armed {
    source: Source,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    whose: Whose,
}

struct Signal {
    source: Source,
    token: Token,
    /// It is below the source that its time cancels.
    is_limited: bool,
}

/// A path that is longer is not kept for the next one.
const PATH: usize = 256;

/// What is so from some time on.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        // Ordering: they are set by whoever has the request in hand, and read by whoever
        // has it next, or ends it; a report that sees one late is as good.
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        // Ordering: as in `set`.
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(crate) struct Flags {
    /// The handler has its token.
    pub(crate) taken: Flag,
    /// Its client is gone, and it goes on.
    pub(crate) rescued: Flag,
    /// It became a stream of many.
    pub(crate) ends_with_its_tokens: Flag,
    /// It has a time.
    pub(crate) limited: Flag,
    /// It is one of gRPC, as far as that was asked.
    pub(crate) grpc: Flag,
    /// The handler has answered; what is left is the body of that.
    pub(crate) answered: Flag,
}

/// A client that goes so short a time before its own is over goes because of that: it has
/// counted from before its request was here.
const AHEAD: Duration = Duration::from_millis(10);

impl Request {
    pub(crate) fn new<B>(
        connection: Arc<Connection>,
        request: &http::Request<B>,
        span: Span,
        began: Instant,
    ) -> Self {
        Self {
            connection,
            place: AtomicUsize::new(usize::MAX),
            signal: OnceLock::new(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            is_one_of_many: request.version() == Version::HTTP_2,
            #[cfg(feature = "axum")]
            route: OnceLock::new(),
            began,
            is: Flags::default(),
            rare: Mutex::default(),
            span,
        }
    }

    /// The next one on its connection, in the place of one that is over.
    #[inline]
    pub(crate) fn renew<B>(&mut self, request: &http::Request<B>, span: Span, began: Instant) {
        // All of it but what is so of all on one connection.
        let Self { connection: _, place, signal, method, path, .. } = self;
        *place.get_mut() = usize::MAX;
        *signal = OnceLock::new();
        request.method().clone_into(method);
        path.clear();
        path.push_str(request.uri().path());
        #[cfg(feature = "axum")]
        {
            self.route = OnceLock::new();
        }
        self.began = began;
        self.is = Flags::default();
        self.rare = Mutex::default();
        self.span = span;
    }

    /// There is nothing in it that has to be let go with it: nobody has looked at it.
    #[inline]
    pub(crate) fn is_as_new(&self) -> bool {
        self.signal.get().is_none() && self.span.is_nobodys() && self.path.capacity() <= PATH
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

    /// What it is answered may say how it ended in the way of gRPC.
    #[inline]
    pub(crate) fn may_be_grpc(&self) -> bool {
        self.is_one_of_many || self.is.grpc.is_set()
    }

    fn signal(&self) -> &Signal {
        self.signal.get_or_init(|| {
            let server = self.connection.server().stop.token();
            let limit = self.rare().limit.as_ref().map(|limit| limit.source.token());
            let source = limit.as_ref().unwrap_or(server).child();
            Signal { token: source.token(), source, is_limited: limit.is_some() }
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
        &self.path
    }

    #[cfg(feature = "axum")]
    pub(crate) fn set_route(&self, route: &MatchedPath) {
        self.route.get_or_init(|| {
            self.span.route(route.as_str());
            route.clone()
        });
    }

    pub(crate) fn policy(&self) -> Policy {
        self.rare().policy.unwrap_or(self.connection.server().policy)
    }

    fn rare(&self) -> MutexGuard<'_, Rare> {
        self.rare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its client is gone, and it goes on for so long, or for as long as it was let the
    /// first time; `None`: there is no place for it.
    pub(crate) fn goes_on(
        &self,
        grace: Option<Duration>,
        place: impl FnOnce() -> Option<Rescued>,
    ) -> Option<Until> {
        let mut rare = self.rare();
        if let Some(goes_on) = &rare.goes_on {
            return Some(goes_on.until);
        }
        let until = Until::over(grace);
        rare.goes_on = Some(GoesOn { until, _place: place()? });
        drop(rare);
        self.is.rescued.set();
        outcome::rescued();
        Some(until)
    }

    /// It has so long, from its beginning.
    pub(crate) fn limit(&self, limit: Limit) {
        let server = self.connection.server().stop.token();
        let armed = Armed { source: server.child(), whose: limit.whose };
        // A route has another time than the server.
        let source = self.rare().limit.get_or_insert(armed).source.clone();
        let signal = self.signal();
        // Somebody has had its token before: then its own source is what is cancelled.
        let source = if signal.is_limited { source } else { signal.source.clone() };
        self.rare().limit = Some(Armed { source: source.clone(), whose: limit.whose });
        self.is.limited.set();
        source.cancel_after(limit.time.saturating_sub(self.began.elapsed()));
    }

    /// Whose time was over.
    #[cfg(feature = "metrics")]
    pub(crate) fn whose(&self, deadline: &Cancelled) -> &'static str {
        let rare = self.rare();
        let limit = rare.limit.as_ref();
        match limit.filter(|limit| limit.source.token().cancellation().as_ref() == Some(deadline)) {
            Some(Armed { whose: Whose::Client, .. }) => "client",
            Some(Armed { whose: Whose::Server, .. }) => "server",
            None => "handler",
        }
    }

    /// It goes on no longer, if it did.
    pub(crate) fn is_over(&self) {
        if self.is.rescued.is_set() {
            let goes_on = self.rare().goes_on.take();
            drop(goes_on);
        }
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        self.rare().policy = Some(policy);
    }

    /// The client is gone, which does not matter to every handler.
    #[track_caller]
    pub(crate) fn disconnected(&self) {
        if self.policy() != Policy::Detach {
            self.is_dropped();
        }
    }

    /// The client is gone, and nothing of it goes on, whatever the policy: whoever works
    /// for it elsewhere is told.
    #[track_caller]
    pub(crate) fn is_dropped(&self) {
        if self.is.limited.is_set() {
            if let Some(limit) = self.limit_that_is_over() {
                alone(|| limit.cancel_with(Reason::Deadline));
            }
        }
        alone(|| self.source().cancel_with(Reason::Disconnected));
    }

    /// Its time, if that is why it is dropped.
    #[cold]
    fn limit_that_is_over(&self) -> Option<Source> {
        let left = self.token().remaining()?;
        let rare = self.rare();
        let limit = rare.limit.as_ref()?;
        let is_over = match limit.whose {
            Whose::Client => left <= AHEAD,
            Whose::Server => left.is_zero(),
        };
        is_over.then(|| limit.source.clone())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.is.ends_with_its_tokens.is_set() {
            outcome::ended(self, &Outcome::of_stream(self));
            self.connection.end(self.place());
        }
    }
}

#[cfg(all(test, feature = "axum"))]
mod tests {
    use desist::testing::ManualClock;
    use desist_tokio::StopSource;

    use super::*;
    use crate::layer::RequestLayer;

    /// One that has so long, on a clock that stands still.
    fn with_time(whose: Whose, time: Duration) -> Request {
        let stop = StopSource::with_clock(ManualClock::new().clock()).stop();
        let connection = Connection::unknown(RequestLayer::new(stop).server());
        let request = http::Request::new(());
        let span = Span::of(&request, &connection);
        let request = Request::new(connection, &request, span, Instant::now());
        request.limit(Limit { time, whose });
        request
    }

    #[test]
    fn a_client_that_goes_when_its_time_is_as_good_as_over_goes_because_of_that() {
        // It may take a while from its beginning to here.
        let (soon, late) = (AHEAD, AHEAD * 10_000);
        for (whose, time, reason) in [
            (Whose::Client, soon, Reason::Deadline),
            (Whose::Client, late, Reason::Disconnected),
            (Whose::Server, late, Reason::Disconnected),
        ] {
            let request = with_time(whose, time);
            assert_eq!(request.cancellation(), None);
            request.is_dropped();
            assert_eq!(request.cancellation().unwrap().reason(), reason, "{whose:?} {time:?}");
        }
    }
}
