//! How long a request may take, and who says so.
//!
//! A client says how long it waits, in a header; what it says is a duration, so that
//! clocks that differ do not matter. Where it says nothing, the route has a time, or the
//! server. A cap bounds all of them, and there is one wherever there is any time. When that is over the token is
//! cancelled with [`Deadline`](desist::Reason::Deadline). A handler that heeds its token
//! answers then, with what it has by then if it wants, within the grace of its
//! [`Policy`](crate::Policy); one that does not is dropped, and 504 is the answer. The
//! same holds for a body that is still on its way.

mod route;
mod wire;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub use self::route::{DeadlineLayer, DeadlineService};
#[cfg_attr(not(any(feature = "reqwest", feature = "tonic")), allow(unused_imports))]
pub(crate) use self::wire::{Form, GRPC_TIMEOUT};

/// How long requests may take: what clients say, and the times of those that say nothing.
///
/// ```
/// use desist_http::{Deadlines, RequestLayer};
/// use desist_tokio::Stop;
/// use std::time::Duration;
///
/// let deadlines = Deadlines::new()
///     .otherwise(Duration::from_secs(30))
///     .at_most(Duration::from_secs(120))
///     .from_header(Deadlines::HEADER);
/// let _layer = RequestLayer::new(Stop::never()).deadlines(deadlines);
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until a layer or a server has it"]
pub struct Deadlines {
    otherwise: Option<Duration>,
    at_most: Option<Duration>,
    header: Option<HeaderName>,
    is_grpc: bool,
    refuses: bool,
}

/// Whose time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Client,
    Server,
}

/// What a route says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Route {
    time: Time,
    at_most: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Time {
    /// That of the server, and its cap.
    #[default]
    OfServer,
    /// None, and no cap but its own.
    Unlimited,
    /// At least so much of the server's cap.
    Is(Duration),
}

/// The time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) time: Duration,
    pub(crate) whose: Whose,
}

impl Deadlines {
    /// For [`from_header`](Self::from_header): milliseconds, as digits.
    ///
    /// ```
    /// assert_eq!(desist_http::Deadlines::HEADER.as_str(), "x-request-timeout-ms");
    /// ```
    pub const HEADER: HeaderName = HeaderName::from_static("x-request-timeout-ms");

    /// No request has a time.
    ///
    /// ```
    /// let _unlimited = desist_http::Deadlines::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The time of a request whose client says nothing, on a route that has none. It is
    /// for streams of events and WebSockets, too: their routes have
    /// [`DeadlineLayer::none`].
    ///
    /// Without [`at_most`](Self::at_most) no client has more, whatever it says.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let _deadlines = desist_http::Deadlines::new().otherwise(Duration::from_secs(30));
    /// ```
    pub fn otherwise(self, time: Duration) -> Self {
        Self { otherwise: Some(time), ..self }
    }

    /// Nobody has more than this, whatever is said or not; only a route may have.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let _deadlines = desist_http::Deadlines::new().at_most(Duration::from_secs(120));
    /// ```
    pub fn at_most(self, time: Duration) -> Self {
        Self { at_most: Some(time), ..self }
    }

    /// Clients say how long they wait in this header, in milliseconds.
    ///
    /// ```
    /// use desist_http::Deadlines;
    ///
    /// let _deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    /// ```
    pub fn from_header(self, name: HeaderName) -> Self {
        Self { header: Some(name), ..self }
    }

    /// Clients say how long they wait in `grpc-timeout`.
    ///
    /// ```
    /// let _deadlines = desist_http::Deadlines::new().from_grpc();
    /// ```
    pub fn from_grpc(self) -> Self {
        Self { is_grpc: true, ..self }
    }

    /// Whoever says something that is no time is answered 400. Otherwise it is as if that
    /// had not been said, and with the feature `tracing` there is a warning.
    ///
    /// ```
    /// let _deadlines = desist_http::Deadlines::new().from_grpc().refuse_malformed();
    /// ```
    pub fn refuse_malformed(self) -> Self {
        Self { refuses: true, ..self }
    }

    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    /// Nobody is asked, and nobody has a time.
    #[inline]
    pub(crate) fn is_nothing(&self) -> bool {
        let has_time = self.otherwise.or(self.at_most).is_some();
        !has_time && self.header.is_none() && !self.is_grpc
    }

    /// The time of a request whose client said that, on a route that has these.
    pub(crate) fn limit(&self, said: Option<Duration>, route: Route) -> Option<Limit> {
        let (otherwise, most) = match route.time {
            Time::OfServer => (self.otherwise, self.at_most.or(self.otherwise)),
            Time::Unlimited => (None, None),
            Time::Is(time) => (Some(time), Some(self.at_most.map_or(time, |most| most.max(time)))),
        };
        let most = route.at_most.or(most);
        let (time, whose) = match said {
            Some(time) => (Some(time), Whose::Client),
            None => (otherwise, Whose::Server),
        };
        match (time, most) {
            (Some(time), Some(most)) if most < time => {
                Some(Limit { time: most, whose: Whose::Server })
            }
            (Some(time), _) => Some(Limit { time, whose }),
            (None, most) => most.map(|time| Limit { time, whose: Whose::Server }),
        }
    }

    /// The least of what a client says, if it says anything, and the first of it that is
    /// no time.
    pub(crate) fn said(&self, headers: &HeaderMap) -> (Option<Duration>, Option<Malformed>) {
        let grpc = self.is_grpc.then_some((&GRPC_TIMEOUT, Form::Grpc));
        let own = self.header.as_ref().map(|name| (name, Form::Milliseconds));
        let (mut least, mut malformed) = (None::<Duration>, None);
        for (name, form) in grpc.into_iter().chain(own) {
            for value in headers.get_all(name) {
                match form.read(value) {
                    Some(time) => least = Some(least.map_or(time, |least| least.min(time))),
                    None => malformed = malformed.or_else(|| Some(Malformed::of(name, value))),
                }
            }
        }
        (least, malformed)
    }
}

/// It is no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    name: HeaderName,
    value: HeaderValue,
}

impl Malformed {
    fn of(name: &HeaderName, value: &HeaderValue) -> Self {
        Self { name: name.clone(), value: value.clone() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = if self.name == GRPC_TIMEOUT {
            "at most eight digits and one of H, M, S, m, u, n"
        } else {
            "milliseconds, as digits"
        };
        write!(f, "the header {} is no time: {:?}; send {form}", self.name, self.value)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn client(time: Duration) -> Limit {
        Limit { time, whose: Whose::Client }
    }

    fn server(time: Duration) -> Limit {
        Limit { time, whose: Whose::Server }
    }

    #[test]
    fn the_least_is_what_counts_up_to_the_cap() {
        let deadlines = Deadlines::new()
            .otherwise(SECOND * 600)
            .at_most(SECOND * 60)
            .from_header(Deadlines::HEADER)
            .from_grpc();
        for (said, limit) in [
            (&[][..], server(SECOND * 60)),
            (&[("x-request-timeout-ms", "1000")], client(SECOND)),
            (&[("x-request-timeout-ms", "60000")], client(SECOND * 60)),
            (&[("x-request-timeout-ms", "60001")], server(SECOND * 60)),
            (&[("grpc-timeout", "99999999H")], server(SECOND * 60)),
            // The least of all.
            (&[("x-request-timeout-ms", "3000"), ("grpc-timeout", "2S")], client(SECOND * 2)),
            (&[("grpc-timeout", "5S"), ("grpc-timeout", "4S")], client(SECOND * 4)),
        ] {
            let (time, malformed) = deadlines.said(&headers(said));
            assert_eq!(malformed, None);
            assert_eq!(deadlines.limit(time, Route::default()), Some(limit), "{said:?}");
        }
        // Nobody is asked.
        let said = headers(&[("x-request-timeout-ms", "nonsense"), ("grpc-timeout", "1S")]);
        assert_eq!(Deadlines::new().said(&said), (None, None));
    }

    /// Of the server and the route, each with a time and a cap: what is the time of who
    /// says nothing, and of who says a billion.
    #[test]
    fn a_cap_bounds_everybody_and_is_there_where_there_is_any_time() {
        let of = |time: Option<u32>| time.map(|time| SECOND * time);
        let own = |time| Route { time, at_most: None };
        let (of_server, none) = (Route::default(), own(Time::Unlimited));
        let is = |time: u32| own(Time::Is(SECOND * time));
        let most = |route: Route, most: u32| Route { at_most: Some(SECOND * most), ..route };
        for (otherwise, at_most, route, silent, greedy) in [
            (None, None, of_server, None, None),
            (Some(30), None, of_server, Some(30), Some(30)),
            (None, Some(60), of_server, Some(60), Some(60)),
            (Some(30), Some(60), of_server, Some(30), Some(60)),
            (Some(90), Some(60), of_server, Some(60), Some(60)),
            // A route that takes longer than others, or less long.
            (None, None, is(600), Some(600), Some(600)),
            (Some(30), None, is(600), Some(600), Some(600)),
            (Some(30), Some(60), is(600), Some(600), Some(600)),
            (Some(30), Some(60), is(10), Some(10), Some(60)),
            (Some(30), None, is(10), Some(10), Some(10)),
            // One with a cap of its own.
            (Some(30), Some(60), most(is(600), 900), Some(600), Some(900)),
            (Some(30), Some(60), most(is(10), 20), Some(10), Some(20)),
            (None, None, most(is(600), 300), Some(300), Some(300)),
            // One without any time.
            (Some(30), Some(60), none, None, None),
            (Some(30), Some(60), most(none, 900), Some(900), Some(900)),
        ] {
            let mut deadlines = Deadlines::new().from_header(Deadlines::HEADER);
            (deadlines.otherwise, deadlines.at_most) = (of(otherwise), of(at_most));
            let why = format!("{otherwise:?} {at_most:?} {route:?}");
            assert_eq!(deadlines.limit(None, route), of(silent).map(server), "{why}");
            let billion = SECOND * 1_000_000_000;
            let limit = of(greedy).map_or(client(billion), server);
            assert_eq!(deadlines.limit(Some(billion), route), Some(limit), "{why}");
            assert_eq!(deadlines.limit(Some(SECOND), route), Some(client(SECOND)), "{why}");
        }
    }

    #[test]
    fn where_there_is_a_cap_there_is_a_time() {
        assert!(Deadlines::new().is_nothing());
        for some in [
            Deadlines::new().at_most(SECOND),
            Deadlines::new().otherwise(SECOND),
            Deadlines::new().from_grpc(),
            Deadlines::new().from_header(Deadlines::HEADER),
        ] {
            assert!(!some.is_nothing(), "{some:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_said_with_what_would_be_one() {
        let deadlines = Deadlines::new().from_header(Deadlines::HEADER).from_grpc();
        let malformed = |name, value| deadlines.said(&headers(&[(name, value)])).1.unwrap();
        assert_eq!(
            malformed("x-request-timeout-ms", "-5").to_string(),
            "the header x-request-timeout-ms is no time: \"-5\"; send milliseconds, as digits"
        );
        assert!(malformed("grpc-timeout", "5").to_string().contains("one of H, M, S"));
    }

    #[test]
    fn what_is_no_time_takes_nothing_from_what_is_one() {
        let deadlines = Deadlines::new().from_header(Deadlines::HEADER).from_grpc();
        for said in [
            [("x-request-timeout-ms", "1000"), ("grpc-timeout", "soon")],
            [("x-request-timeout-ms", "soon"), ("grpc-timeout", "1S")],
            [("grpc-timeout", "soon"), ("grpc-timeout", "1S")],
        ] {
            let (time, malformed) = deadlines.said(&headers(&said));
            assert_eq!(time, Some(SECOND), "{said:?}");
            assert!(malformed.unwrap().to_string().contains("soon"));
        }
    }
}
