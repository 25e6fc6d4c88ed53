//! Connections, and the requests that run on each.
//!
//! A request is on the list of its connection from its begin to its end: until its
//! response's body has ended, or the handler that outlived its client has. So whoever
//! sees the client go tells those that run, and no others; a connection that is closed
//! after a request has ended is no news to it. A report of what still runs reads the
//! same lists.
//!
//! A connection is open as long as its stream is there, or a request runs; who keeps the
//! token of one for later keeps no connection open. One whose server does not tell has no
//! list, for nobody would read it.
//!
//! A request that became a stream of its own, a WebSocket, runs for as long as that: on
//! HTTP/1.1 that is the connection's stream, which is ours. On HTTP/2 it is one of many,
//! which is hyper's; there the request runs for as long as somebody holds its token.

mod list;
mod registry;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use self::list::{Entry, Requests};
#[cfg(feature = "axum")]
pub(crate) use self::registry::Left;
pub(crate) use self::registry::Registry;
use crate::alone::alone;
use crate::heard::Heard;
use crate::layer::Server;
use crate::outcome::{self, Outcome, Span};
use crate::request::Request;

pub(crate) struct Connection {
    server: Arc<Server>,
    listed: Option<Listed>,
}

/// What a connection has whose server tells.
struct Listed {
    place: usize,
    registry: Arc<Registry>,
    peer: Mutex<Box<dyn fmt::Debug + Send>>,
    runtime: Handle,
    requests: Mutex<Requests>,
    /// How many requests have begun, and how many run: for whoever polls the connection.
    begun: AtomicU64,
    running: AtomicUsize,
    heard: Heard,
    /// The request that its stream was upgraded from, which ends with it.
    upgraded: Mutex<Option<Running>>,
    is_upgraded: AtomicBool,
    is_gone: AtomicBool,
    /// How many of its handlers have a place, where places are counted by connection.
    admitted: Mutex<Vec<Admitted>>,
}

/// Where places are counted, and how many handlers have one there.
struct Admitted {
    place: usize,
    handlers: usize,
}

/// An answer that nobody has for so long is not on its way any more.
const LATELY: Duration = Duration::from_secs(60);

impl Listed {
    fn new(place: usize, registry: Arc<Registry>, peer: Box<dyn fmt::Debug + Send>) -> Self {
        Self {
            place,
            registry,
            peer: Mutex::new(peer),
            runtime: Handle::current(),
            requests: Mutex::default(),
            begun: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            heard: Heard::nothing(),
            upgraded: Mutex::new(None),
            is_upgraded: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            admitted: Mutex::default(),
        }
    }

    #[inline]
    fn begun(&self) -> u64 {
        // Ordering: as in `Connection::begin`.
        self.begun.load(Ordering::Relaxed)
    }

    #[inline]
    fn is_busy(&self) -> bool {
        // Ordering: as in `Connection::begin`.
        self.running.load(Ordering::Relaxed) > 0
    }

    /// There is less of it, and perhaps nothing that keeps it open.
    fn less<T>(&self, change: impl FnOnce(&mut Requests) -> T) -> T {
        let mut requests = lock(&self.requests);
        let changed = change(&mut requests);
        // Ordering: as in `Connection::begin`.
        self.running.store(requests.len(), Ordering::Relaxed);
        let ends = requests.ends();
        drop(requests);
        if ends {
            self.registry.remove(self.place);
        }
        changed
    }

    /// Nothing runs, no body of a request is on its way, and no answer.
    fn is_idle(&self) -> bool {
        !self.is_busy() && !self.heard.is_in_a_body() && !self.heard.is_blocked()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Of a server that does not tell.
    pub(crate) fn unknown(server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self { server, listed: None })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// One more of its handlers has a place there, if there are fewer than so many.
    /// `None`: it is not known which requests are of one connection.
    pub(crate) fn admit(&self, place: usize, most: usize) -> Option<bool> {
        let mut admitted = lock(&self.listed.as_ref()?.admitted);
        let Some(there) = admitted.iter_mut().find(|there| there.place == place) else {
            admitted.push(Admitted { place, handlers: 1 });
            return Some(true);
        };
        let is_free = there.handlers < most;
        there.handlers += usize::from(is_free);
        Some(is_free)
    }

    /// One of them has its place no longer.
    pub(crate) fn leave(&self, place: usize) {
        let Some(listed) = &self.listed else { return };
        let mut admitted = lock(&listed.admitted);
        let Some(at) = admitted.iter().position(|there| there.place == place) else { return };
        admitted[at].handlers -= 1;
        if admitted[at].handlers == 0 {
            admitted.swap_remove(at);
        }
    }

    /// Where its handlers go on, if that is known.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        self.listed.as_ref().map(|listed| &listed.runtime)
    }

    /// A request begins, and gets its place on the list.
    #[inline]
    pub(crate) fn begin<B>(self: &Arc<Self>, head: &http::Request<B>, has_body: bool) -> Running {
        let (span, began) = (Span::of(head, self), Instant::now());
        let new = |span| Arc::new(Request::new(Arc::clone(self), head, span, began));
        let Some(listed) = &self.listed else {
            return Running { request: new(span), is_over: false };
        };
        let mut requests = lock(&listed.requests);
        let mut kept = None;
        let request = match requests.over.take() {
            Some(mut over) => match Arc::get_mut(&mut over) {
                Some(request) => {
                    request.renew(head, span, began);
                    over
                }
                // Somebody has looked at it, and perhaps still does.
                None => {
                    kept = Some(over);
                    new(span)
                }
            },
            None => new(span),
        };
        requests.insert(&request);
        // Ordering: whoever polls the connection begins requests and looks at these; that
        // they end shows at its next look.
        listed.running.store(requests.len(), Ordering::Relaxed);
        listed.begun.store(listed.begun() + 1, Ordering::Relaxed);
        drop(requests);
        // Not under the lock: it may be the last one that has it.
        drop(kept);
        if has_body {
            listed.heard.body_begins();
        }
        if request.is_one_of_many() {
            listed.heard.hear_frames();
        }
        Running { request, is_over: false }
    }

    /// The request at that place is over.
    pub(crate) fn end(&self, place: usize) {
        let Some(listed) = &self.listed else { return };
        // On HTTP/1.1 it shows by itself whether an answer is taken.
        let answered = listed.heard.is_of_frames().then(Instant::now);
        let entry = listed.less(|requests| {
            requests.answered = answered.or(requests.answered);
            requests.remove(place)
        });
        drop(entry);
    }

    /// Who is at the other end, if that is known.
    pub(crate) fn peer(&self) -> Option<String> {
        let listed = self.listed.as_ref()?;
        alone(|| format!("{:?}", lock(&listed.peer)))
    }

    /// Whoever polls the connection begins to: what somebody waits for shows from now.
    pub(crate) fn begin_poll(&self) {
        if let Some(listed) = &self.listed {
            listed.heard.set_awaited(false);
            listed.heard.set_fresh(false);
        }
    }

    /// Somebody waits for more of its stream, or does not.
    #[inline]
    pub(crate) fn set_awaited(&self, is_awaited: bool) {
        if let Some(listed) = &self.listed {
            listed.heard.set_awaited(is_awaited);
        }
    }

    /// Its client has said something: the body of the request that runs, or the beginning
    /// of the next one.
    #[inline]
    pub(crate) fn hear(&self) {
        let Some(listed) = &self.listed else { return };
        listed.heard.set_fresh(true);
        if !listed.heard.is_in_a_body() {
            listed.heard.hear(listed.begun());
        }
    }

    /// Its requests are frames.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.heard.is_of_frames())
    }

    /// Its first bytes; what they say of it is known from then on.
    #[cold]
    pub(crate) fn begins_with(&self, bytes: &[u8]) {
        if let Some(listed) = &self.listed {
            listed.heard.begins_with(bytes);
        }
    }

    /// An answer was given, on HTTP/2, and may be on its way.
    pub(crate) fn has_answered_lately(&self) -> bool {
        let Some(listed) = &self.listed else { return false };
        lock(&listed.requests).answered.is_some_and(|last| last.elapsed() < LATELY)
    }

    /// Something was read since it was polled.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.heard.is_fresh())
    }

    /// The body of a request has been read to its end, or nobody reads it any more.
    pub(crate) fn body_ends(&self) {
        if let Some(listed) = &self.listed {
            listed.heard.body_ends();
        }
    }

    /// It takes what is written, or has not taken all of it.
    #[inline]
    pub(crate) fn set_blocked(&self, is_blocked: bool) {
        if let Some(listed) = &self.listed {
            listed.heard.set_blocked(is_blocked);
        }
    }

    /// How many requests have begun, if that is known.
    pub(crate) fn begun(&self) -> Option<u64> {
        self.listed.as_ref().map(Listed::begun)
    }

    /// If nothing runs, and nothing is on its way: after how many requests.
    pub(crate) fn idle_after(&self) -> Option<u64> {
        let listed = self.listed.as_ref()?;
        listed.is_idle().then(|| listed.begun())
    }

    /// Its stream has been given away by hyper.
    #[inline]
    pub(crate) fn is_upgraded(&self) -> bool {
        // Ordering: whoever is given the stream is given it after that.
        self.listed.as_ref().is_some_and(|listed| listed.is_upgraded.load(Ordering::Relaxed))
    }

    /// Whether nothing runs, and its client has said nothing yet, or something that is no
    /// request yet.
    #[inline]
    pub(crate) fn is_owed_a_head(&self) -> bool {
        self.listed
            .as_ref()
            .is_some_and(|listed| listed.heard.is_owed_a_head(listed.begun()) && listed.is_idle())
    }

    /// A request runs, and nobody waits for what its client says next: nobody would see
    /// that it is gone.
    #[inline]
    pub(crate) fn is_unread(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.is_busy() && !listed.heard.is_awaited())
    }

    /// Its client is gone: those that run are told. Where hyper does not find out, see
    /// `parting`.
    pub(crate) fn gone(&self) {
        let Some(listed) = &self.listed else { return };
        // Ordering: whoever sees it polls the connection, and looks at this after.
        listed.is_gone.store(true, Ordering::Relaxed);
        for request in self.running() {
            request.disconnected();
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        // Ordering: as in `gone`.
        self.listed.as_ref().is_some_and(|listed| listed.is_gone.load(Ordering::Relaxed))
    }

    /// Those that run here.
    pub(crate) fn running(&self) -> Vec<Arc<Request>> {
        let Some(listed) = &self.listed else { return Vec::new() };
        let requests = lock(&listed.requests);
        requests.entries().filter_map(Entry::request).collect()
    }

    /// How many there are of them.
    pub(crate) fn count(&self) -> usize {
        // Ordering: for whoever looks from elsewhere; what is seen a little late is as good.
        self.listed.as_ref().map_or(0, |listed| listed.running.load(Ordering::Relaxed))
    }

    /// Its stream is gone, whatever it was in the end.
    pub(crate) fn stream_is_gone(&self) {
        let Some(listed) = &self.listed else { return };
        let upgraded = lock(&listed.upgraded).take();
        if let Some(mut running) = upgraded {
            let outcome = Outcome::of_stream(&running.request);
            running.ends(&outcome);
        }
        let over = listed.less(|requests| {
            requests.closed = true;
            requests.over.take()
        });
        drop(over);
        // Streams that became something else are not told by hyper.
        for request in self.running() {
            request.disconnected();
        }
    }
}

/// A request on the list of its connection, until this is dropped.
pub(crate) struct Running {
    pub(crate) request: Arc<Request>,
    is_over: bool,
}

impl Running {
    /// How it has ended; whoever drops it without a word has failed, or was stopped.
    pub(crate) fn ends(&mut self, outcome: &Outcome) {
        self.is_over = true;
        outcome::ended(&self.request, outcome);
    }

    /// It has no answer, or half of one.
    pub(crate) fn breaks_off(&mut self) {
        let outcome = Outcome::of_stop(&self.request);
        self.ends(&outcome);
    }

    /// It runs for as long as the stream that it was upgraded to; back, if nobody sees
    /// that end.
    pub(crate) fn until_the_stream_ends(self) -> Option<Self> {
        let Some(listed) = &self.request.connection().listed else { return Some(self) };
        if self.request.is_one_of_many() {
            self.request.is.ends_with_its_tokens.set();
            let mut requests = lock(&listed.requests);
            if let Some(entry) = requests.get_mut(self.request.place()) {
                *entry = Entry::Upgraded(Arc::downgrade(&self.request));
            }
        } else {
            let connection = Arc::clone(self.request.connection());
            let Some(listed) = &connection.listed else { return Some(self) };
            *lock(&listed.upgraded) = Some(self);
            // Ordering: as in `is_upgraded`.
            listed.is_upgraded.store(true, Ordering::Relaxed);
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.request.is.ends_with_its_tokens.is_set() {
            return;
        }
        if !self.is_over {
            outcome::ended(&self.request, &Outcome::of_stop(&self.request));
        }
        self.request.is_over();
        self.request.connection().end(self.request.place());
    }
}
