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
    /// What that had before, if somebody had it before; never lengthened.
    before: Option<Instant>,
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    whose: Whose,
}

struct Signal {
    source: Source,
    token: Token,
    /// It is below the source that its time cancels.
    is_limited: bool,
    /// It got its time when somebody had its token already: then its source is what that
    /// cancels, and whoever takes it from then on has one below, to set times of its own.
    below: OnceLock<Box<(Source, Token)>>,
}

impl Signal {
    /// What its handler has.
    #[inline]
    fn lowest(&self) -> (&Source, &Token) {
        match self.below.get() {
            Some(below) => (&below.0, &below.1),
            None => (&self.source, &self.token),
        }
    }
}

/// A path that is longer is not kept for the next one.
const PATH: usize = 256;

/// What is so from some time on.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        self.set_to(true);
    }

    #[inline]
    pub(crate) fn set_to(&self, is_so: bool) {
        // Ordering: they are set by whoever has the request in hand, and read by whoever
        // has it next, or ends it; a report that sees one late is as good.
        self.0.store(is_so, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        // Ordering: as in `set_to`.
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
    /// The body of that has more, and is not asked for it: its client does not read.
    pub(crate) untaken: Flag,
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
            let limit = self.time();
            let source = limit.as_ref().unwrap_or(server).child();
            let (token, below) = (source.token(), OnceLock::new());
            Signal { token, source, is_limited: limit.is_some(), below }
        })
    }

    pub(crate) fn source(&self) -> &Source {
        self.signal().lowest().0
    }

    pub(crate) fn token(&self) -> &Token {
        self.signal().lowest().1
    }

    pub(crate) fn draining(&self) -> &Token {
        self.connection.server().stop.draining()
    }

    /// Why it was stopped, if it was.
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        match self.signal.get() {
            Some(signal) => signal.lowest().1.cancellation(),
            None => self.connection.server().stop.token().cancellation(),
        }
    }

    /// How long ago that was asked for.
    pub(crate) fn since(&self, asked: &Cancelled) -> Duration {
        let now = self.connection.server().stop.token().clock().now();
        now.saturating_duration_since(asked.at())
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

    /// It has so long, from its beginning; a route has another time than the server.
    pub(crate) fn limit(&self, limit: Limit) {
        let server = self.connection.server().stop.token();
        let mut rare = self.rare();
        let armed = rare.limit.get_or_insert_with(|| Armed {
            source: server.child(),
            before: None,
            whose: limit.whose,
        });
        armed.whose = limit.whose;
        drop(rare);
        let signal = self.signal();
        if !signal.is_limited {
            signal.below.get_or_init(|| {
                let before = signal.token.deadline();
                let source = signal.source.clone();
                self.rare().limit = Some(Armed { source, before, whose: limit.whose });
                let below = signal.source.child();
                let token = below.token();
                Box::new((below, token))
            });
        }
        self.is.limited.set();
        let Some((source, before)) = self.armed() else { return };
        let left = limit.time.saturating_sub(self.began.elapsed());
        let before = before.map(|before| before.saturating_duration_since(server.clock().now()));
        source.cancel_after(before.map_or(left, |before| before.min(left)));
    }

    /// It has no time, for its route has none.
    pub(crate) fn unlimit(&self) {
        if !self.is.limited.is_set() {
            return;
        }
        let Some((source, before)) = self.armed() else { return };
        match before {
            None => source.disarm(),
            Some(before) => source.cancel_at(before),
        }
    }

    /// What its time cancels, and what that had before.
    fn armed(&self) -> Option<(Source, Option<Instant>)> {
        self.rare().limit.as_ref().map(|limit| (limit.source.clone(), limit.before))
    }

    /// What is cancelled when its time is over, and only then or before; `None`: it has
    /// none.
    pub(crate) fn time(&self) -> Option<Token> {
        self.armed().map(|(source, _)| source.token())
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
        alone(|| self.signal().source.cancel_with(Reason::Disconnected));
    }

    /// Its time, if that is why it is dropped.
    #[cold]
    fn limit_that_is_over(&self) -> Option<Source> {
        let rare = self.rare();
        let limit = rare.limit.as_ref()?;
        // Not what is left to the token: its handler may have less time of its own.
        let left = limit.source.token().remaining()?;
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

    fn request(stop: &StopSource, began: Instant) -> Request {
        let connection = Connection::unknown(RequestLayer::new(stop.stop()).server());
        let request = http::Request::new(());
        let span = Span::of(&request, &connection);
        Request::new(connection, &request, span, began)
    }

    /// One that has no time, on a clock that stands still.
    fn on(clock: &ManualClock) -> Request {
        request(&StopSource::with_clock(clock.clock()), Instant::now())
    }

    fn server(time: Duration) -> Limit {
        Limit { time, whose: Whose::Server }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_that_goes_when_its_time_is_as_good_as_over_goes_because_of_that() {
        // It may take a while from its beginning to here.
        let (soon, late) = (SECOND / 200, SECOND * 5);
        for (whose, time, own, reason) in [
            (Whose::Client, soon, None, Reason::Deadline),
            (Whose::Client, late, None, Reason::Disconnected),
            (Whose::Server, late, None, Reason::Disconnected),
            // Its handler's own time is not its client's.
            (Whose::Client, late, Some(soon), Reason::Disconnected),
        ] {
            let request = on(&ManualClock::new());
            request.limit(Limit { time, whose });
            if let Some(own) = own {
                request.source().cancel_after(own);
            }
            assert_eq!(request.cancellation(), None);
            request.is_dropped();
            assert_eq!(request.cancellation().unwrap().reason(), reason, "{whose:?} {time:?}");
        }
    }

    /// Its timer may not have come to it by then.
    #[test]
    fn one_that_is_dropped_when_the_servers_time_is_over_is_late() {
        for _ in 0..50 {
            let request = request(&StopSource::new(), Instant::now());
            request.limit(server(SECOND / 1000));
            while request.token().remaining() != Some(Duration::ZERO) {
                std::hint::spin_loop();
            }
            request.is_dropped();
            assert_eq!(request.cancellation().unwrap().reason(), Reason::Deadline);
        }
    }

    #[test]
    fn a_time_counts_from_the_beginning() {
        let stop = StopSource::with_clock(ManualClock::new().clock());
        let request = request(&stop, Instant::now() - SECOND * 100);
        request.limit(server(SECOND * 150));
        assert!(request.token().remaining().unwrap() <= SECOND * 50);
    }

    /// Whoever had looked at its token when it got its time, and whoever has set another.
    #[test]
    fn no_handler_lengthens_its_time() {
        for looked in [false, true] {
            for times in [&[10][..], &[30, 10], &[10, 30]] {
                let clock = ManualClock::new();
                let request = on(&clock);
                let before = looked.then(|| request.token().clone());
                for time in times {
                    request.limit(server(SECOND * *time));
                }
                request.source().cancel_after(SECOND * 1000);
                let last = SECOND * *times.last().unwrap();
                clock.advance(last - SECOND);
                assert_eq!(request.cancellation(), None, "{looked} {times:?}");
                assert!(request.token().remaining().unwrap() <= SECOND);
                clock.advance(SECOND);
                let why = request.cancellation().unwrap();
                assert_eq!(why.reason(), Reason::Deadline);
                assert_eq!(request.time().unwrap().cancellation(), Some(why.clone()));
                assert!(before.is_none_or(|before| before.cancellation() == Some(why)));
            }
        }
    }

    #[test]
    fn whoever_had_its_token_before_has_its_own_time_and_hears_that_it_is_dropped() {
        let clock = ManualClock::new();
        let request = on(&clock);
        let before = request.token().clone();
        request.source().cancel_after(SECOND * 5);
        request.limit(server(SECOND * 10));
        request.limit(server(SECOND * 30));
        assert_eq!(request.token().remaining(), Some(SECOND * 5));
        request.unlimit();
        assert_eq!(request.token().remaining(), Some(SECOND * 5));
        request.is_dropped();
        for token in [&before, request.token()] {
            assert_eq!(token.reason(), Some(Reason::Disconnected));
        }
    }
}
