//! A request that runs, as it is told of.

use std::cmp::Reverse;
use std::fmt;
use std::time::{Duration, Instant};

use desist::Cancelled;

use crate::connection::Left;
use crate::request::Request;

/// A request that ran when somebody looked: when the server gave up waiting, or whoever
/// has an [`InFlight`](crate::InFlight) asked.
///
/// It is what was seen then, and keeps neither the request nor its connection.
///
/// ```
/// use desist_http::ServeReport;
///
/// fn log(report: &ServeReport) {
///     for request in report.running() {
///         eprintln!("{} {} from {:?} for {:?}", request.method(), request.route(), request.peer(), request.age());
///     }
/// }
/// # let _ = log;
/// ```
#[derive(Debug, Clone)]
pub struct Running {
    method: http::Method,
    route: String,
    peer: Option<String>,
    age: Duration,
    rescued: bool,
    untaken: bool,
    told: Option<Told>,
}

/// What it was told, and how long ago.
#[derive(Debug, Clone)]
struct Told {
    why: Cancelled,
    ago: Duration,
}

impl Running {
    /// All of those, the oldest first.
    pub(super) fn all(left: &[Left]) -> Vec<Self> {
        // One instant for all: else one that was looked at later would look older.
        let now = Instant::now();
        let mut running = Vec::new();
        for Left { peer, requests } in left {
            running.extend(requests.iter().map(|request| Self::of(request, peer.as_deref(), now)));
        }
        running.sort_by_key(|request| Reverse(request.age));
        running
    }

    fn of(request: &Request, peer: Option<&str>, now: Instant) -> Self {
        let told = request.cancellation();
        Self {
            method: request.method.clone(),
            route: request.name().to_owned(),
            peer: peer.map(ToOwned::to_owned),
            age: now.saturating_duration_since(request.began),
            rescued: request.is.rescued.is_set(),
            untaken: request.is.untaken.is_set(),
            told: told.map(|why| Told { ago: request.since(&why), why }),
        }
    }

    /// Its method.
    ///
    /// ```
    /// fn is_upload(request: &desist_http::Running) -> bool {
    ///     *request.method() == "POST"
    /// }
    /// # let _ = is_upload;
    /// ```
    #[must_use]
    pub fn method(&self) -> &http::Method {
        &self.method
    }

    /// Its route, where its handler took the token of an axum app, else its path.
    ///
    /// ```
    /// fn is_export(request: &desist_http::Running) -> bool {
    ///     request.route() == "/export/{id}"
    /// }
    /// # let _ = is_export;
    /// ```
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Who asked.
    ///
    /// ```
    /// fn peer(request: &desist_http::Running) -> &str {
    ///     request.peer().unwrap_or("somebody")
    /// }
    /// # let _ = peer;
    /// ```
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// How long ago it began.
    ///
    /// ```
    /// fn is_old(request: &desist_http::Running) -> bool {
    ///     request.age().as_secs() > 60
    /// }
    /// # let _ = is_old;
    /// ```
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Whether its client had gone before.
    ///
    /// ```
    /// fn mattered(request: &desist_http::Running) -> bool {
    ///     !request.is_rescued()
    /// }
    /// # let _ = mattered;
    /// ```
    #[must_use]
    pub fn is_rescued(&self) -> bool {
        self.rescued
    }

    /// Whether it waited for its client: its answer has more, and the client does not take what
    /// it was sent already. No handler can do anything about that.
    ///
    /// ```
    /// fn is_ours(request: &desist_http::Running) -> bool {
    ///     !request.is_untaken()
    /// }
    /// # let _ = is_ours;
    /// ```
    #[must_use]
    pub fn is_untaken(&self) -> bool {
        self.untaken
    }

    /// Why it was asked to stop, if it was: its client is gone, its time is over, the server
    /// stops. One under [`Policy::Detach`](crate::Policy::Detach) is not told that its
    /// client is gone.
    ///
    /// ```
    /// use desist::Reason;
    ///
    /// fn is_late(request: &desist_http::Running) -> bool {
    ///     request.told().is_some_and(|why| why.reason() == Reason::Deadline)
    /// }
    /// # let _ = is_late;
    /// ```
    #[must_use]
    pub fn told(&self) -> Option<&Cancelled> {
        self.told.as_ref().map(|told| &told.why)
    }

    /// How long ago that was, by the clock of the server's stop.
    ///
    /// ```
    /// fn is_deaf(request: &desist_http::Running) -> bool {
    ///     request.told_ago().is_some_and(|ago| ago.as_secs() > 5)
    /// }
    /// # let _ = is_deaf;
    /// ```
    #[must_use]
    pub fn told_ago(&self) -> Option<Duration> {
        self.told.as_ref().map(|told| told.ago)
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, route, age, .. } = self;
        write!(f, "{method} {route}, for {age:.1?}")?;
        if let Some(peer) = &self.peer {
            write!(f, ", from {peer}")?;
        }
        if self.rescued {
            f.write_str(", whose client has gone")?;
        }
        if self.untaken {
            f.write_str(", whose client did not take its answer")?;
        }
        Ok(())
    }
}
