//! How long a request may take, and who says so.
//!
//! A client says how long it waits, in a header; what it says is a duration, so that
//! clocks that differ do not matter, and it is never more than the server's cap. Where it
//! says nothing, the route has a time, or the server. When that is over the token is
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
    otherwise: Option<Duration>,
    at_most: Option<Duration>,
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

    /// The time of a request whose client says nothing, on a route that has none.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let _deadlines = desist_http::Deadlines::new().otherwise(Duration::from_secs(30));
    /// ```
    pub fn otherwise(self, time: Duration) -> Self {
        Self { otherwise: Some(time), ..self }
    }

    /// A client that says more has this.
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

    /// Whoever says something that is no time is answered 400. Otherwise it is as if they
    /// had said nothing, and with the feature `tracing` there is a warning.
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
        self.otherwise.is_none() && self.header.is_none() && !self.is_grpc
    }

    /// The time of a request whose client said that, on a route that has these.
    pub(crate) fn limit(&self, said: Option<Duration>, route: Route) -> Option<Limit> {
        let Some(time) = said else {
            let otherwise = route.otherwise.or(self.otherwise);
            return otherwise.map(|time| Limit { time, whose: Whose::Server });
        };
        Some(match route.at_most.or(self.at_most) {
            Some(most) if most < time => Limit { time: most, whose: Whose::Server },
            _ => Limit { time, whose: Whose::Client },
        })
    }

    /// The least of what a client says, if it says anything.
    pub(crate) fn said(&self, headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
        let grpc = self.is_grpc.then_some((&GRPC_TIMEOUT, Form::Grpc));
        let own = self.header.as_ref().map(|name| (name, Form::Milliseconds));
        let mut least: Option<Duration> = None;
        for (name, form) in grpc.into_iter().chain(own) {
            for value in headers.get_all(name) {
                let time = form.read(value).ok_or_else(|| Malformed::of(name, value))?;
                least = Some(least.map_or(time, |least| least.min(time)));
            }
        }
        Ok(least)
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
    fn what_a_client_says_is_capped_and_what_it_does_not_say_is_not() {
        let deadlines = Deadlines::new()
            .otherwise(SECOND * 600)
            .at_most(SECOND * 60)
            .from_header(Deadlines::HEADER)
            .from_grpc();
        for (said, limit) in [
            (&[][..], server(SECOND * 600)),
            (&[("x-request-timeout-ms", "1000")], client(SECOND)),
            (&[("x-request-timeout-ms", "60000")], client(SECOND * 60)),
            (&[("x-request-timeout-ms", "60001")], server(SECOND * 60)),
            (&[("grpc-timeout", "99999999H")], server(SECOND * 60)),
            // The least of all.
            (&[("x-request-timeout-ms", "3000"), ("grpc-timeout", "2S")], client(SECOND * 2)),
            (&[("grpc-timeout", "5S"), ("grpc-timeout", "4S")], client(SECOND * 4)),
        ] {
            let time = deadlines.said(&headers(said)).unwrap();
            assert_eq!(deadlines.limit(time, Route::default()), Some(limit), "{said:?}");
        }
        // Nobody is asked.
        let said = headers(&[("x-request-timeout-ms", "nonsense"), ("grpc-timeout", "1S")]);
        assert_eq!(Deadlines::new().said(&said), Ok(None));
    }

    #[test]
    fn what_is_no_time_is_said_with_what_would_be_one() {
        let deadlines = Deadlines::new().from_header(Deadlines::HEADER).from_grpc();
        let malformed = |name, value| deadlines.said(&headers(&[(name, value)])).unwrap_err();
        assert_eq!(
            malformed("x-request-timeout-ms", "-5").to_string(),
            "the header x-request-timeout-ms is no time: \"-5\"; send milliseconds, as digits"
        );
        assert!(malformed("grpc-timeout", "5").to_string().contains("one of H, M, S"));
    }
}
