//! How requests end, in one place: counted, timed and told.

use std::time::Duration;

use desist::{Cancelled, Reason};
use http::{HeaderMap, Response};

pub(crate) use self::span::Span;
use crate::deadlines::Malformed;
use crate::request::Request;
use crate::rpc::{self, Ended};
use crate::stopped::Stopped;

#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// It was answered.
    Completed,
    /// It was answered with a failure, or not at all.
    Failed,
    /// It was stopped, whatever its handler said then.
    Cancelled(Cancelled),
}

impl Outcome {
    /// Of an answer: an error after a stop is no failure, and a part of it that was
    /// stopped, by a deadline of its own perhaps, is none either.
    pub(crate) fn of<B>(request: &Request, response: &Response<B>) -> Self {
        let status = response.status();
        let has_failed = if status.is_client_error() || status.is_server_error() {
            status.is_server_error()
        } else if request.may_be_grpc() {
            match rpc::ended(response.headers()) {
                None | Some(Ended::Well) => return Self::Completed,
                Some(ended) => ended == Ended::Failed,
            }
        } else {
            return Self::Completed;
        };
        if let Some(cancelled) = request.cancellation() {
            return Self::Cancelled(cancelled);
        }
        match stop_in(response).filter(|stop| stop.reason() != Reason::SiblingFailed) {
            Some(cancelled) => Self::Cancelled(cancelled.clone()),
            None if has_failed => Self::Failed,
            None => Self::Completed,
        }
    }

    /// Of what comes after a body, if that says it: of gRPC it is only then that there is
    /// a status.
    pub(crate) fn of_trailers(request: &Request, trailers: &HeaderMap) -> Option<Self> {
        let ended = if request.may_be_grpc() { rpc::ended(trailers)? } else { return None };
        Some(match (ended, request.cancellation()) {
            (Ended::Well, _) | (Ended::Refused, None) => Self::Completed,
            (Ended::Refused | Ended::Failed, Some(cancelled)) => Self::Cancelled(cancelled),
            (Ended::Failed, None) => Self::Failed,
        })
    }

    /// Of a request that has no answer, or half of one.
    pub(crate) fn of_stop(request: &Request) -> Self {
        request.cancellation().map_or(Self::Failed, Self::Cancelled)
    }

    /// Of a request that became a stream of its own.
    pub(crate) fn of_stream(request: &Request) -> Self {
        request.cancellation().map_or(Self::Completed, Self::Cancelled)
    }

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// The stop, and the time from when it was asked for to now.
    fn stop(&self, request: &Request) -> Option<(&Cancelled, Duration)> {
        let Self::Cancelled(cancelled) = self else { return None };
        Some((cancelled, request.since(cancelled)))
    }
}

/// The stop that an answer says that it is of.
fn stop_in<B>(response: &Response<B>) -> Option<&Cancelled> {
    let said = response.extensions();
    let stop = said.get::<Stopped>().map(Stopped::cancelled);
    #[cfg(feature = "tonic")]
    let stop = stop.or_else(|| desist::find_cancelled(said.get::<tonic::Status>()?));
    stop
}

/// What is counted, in words, for the recorder that is there by now.
pub(crate) fn describe() {
    #[cfg(feature = "metrics")]
    counted::describe();
}

/// The handler, and its answer, are over.
pub(crate) fn ended(request: &Request, outcome: &Outcome) {
    let stop = outcome.stop(request);
    #[cfg(feature = "metrics")]
    counted::ended(request, outcome, stop);
    request.span.ended(request, outcome, stop);
}

/// A client said something that is no time.
pub(crate) fn ignored(malformed: &Malformed) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "desist", "as if that were not said: {malformed}");
    let _ = malformed;
}

/// A handler goes on without its client.
pub(crate) fn rescued() {
    #[cfg(feature = "metrics")]
    metrics::counter!("desist_http_rescued_total").increment(1);
}

/// A handler that went on did not end within its grace, or there was no room for it.
pub(crate) fn abandoned(why: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("desist_http_abandoned_total", "why" => why).increment(1);
    let _ = why;
}

#[cfg(feature = "metrics")]
mod counted {
    use std::time::Duration;

    use desist::{Cancelled, Reason};
    use metrics::{Unit, describe_counter, describe_histogram};

    use super::Outcome;
    use crate::request::Request;

    pub(super) fn describe() {
        describe_counter!(
            "desist_http_requests_total",
            "requests that have ended, by outcome, and by the reason of the stop"
        );
        describe_histogram!(
            "desist_http_cancel_latency_seconds",
            Unit::Seconds,
            "from the request to stop to the end of the handler and its answer"
        );
        describe_counter!(
            "desist_http_deadlines_total",
            "requests that were stopped because a time was over, by whose it was"
        );
        describe_counter!(
            "desist_http_rescued_total",
            "handlers that went on without their clients"
        );
        describe_counter!(
            "desist_http_abandoned_total",
            "handlers that were to go on, and were dropped"
        );
    }

    pub(super) fn ended(
        request: &Request,
        outcome: &Outcome,
        stop: Option<(&Cancelled, Duration)>,
    ) {
        if matches!(outcome, Outcome::Completed) {
            // The one that is common has a key that is made once.
            let completed = metrics::counter!(
                "desist_http_requests_total", "outcome" => "completed", "reason" => ""
            );
            return completed.increment(1);
        }
        let reason = stop.map_or("", |(cancelled, _)| cancelled.reason().as_str());
        metrics::counter!(
            "desist_http_requests_total", "outcome" => outcome.word(), "reason" => reason
        )
        .increment(1);
        if let Some((cancelled, _)) = stop.filter(|_| reason == Reason::Deadline.as_str()) {
            let whose = request.whose(cancelled);
            metrics::counter!("desist_http_deadlines_total", "whose" => whose).increment(1);
        }
        if let Some((_, latency)) = stop {
            metrics::histogram!("desist_http_cancel_latency_seconds", "reason" => reason)
                .record(latency.as_secs_f64());
        }
    }
}

#[cfg(feature = "tracing")]
mod span {
    use std::time::Duration;

    use desist::Cancelled;
    use tracing::field::{Empty, debug, display};

    use super::Outcome;
    use crate::connection::Connection;
    use crate::request::Request;

    /// That of a request, in which its handler runs; `None`: nobody listens.
    pub(crate) struct Span(Option<Box<tracing::Span>>);

    impl Span {
        #[inline]
        pub(crate) fn of<B>(request: &http::Request<B>, connection: &Connection) -> Self {
            if !tracing::span_enabled!(target: "desist", tracing::Level::INFO) {
                return Self(None);
            }
            Self::heard(request, connection)
        }

        #[cold]
        fn heard<B>(request: &http::Request<B>, connection: &Connection) -> Self {
            let span = tracing::info_span!(
                target: "desist",
                "request",
                method = %request.method(),
                path = request.uri().path(),
                peer = Empty,
                route = Empty,
                outcome = Empty,
                reason = Empty,
                origin = Empty,
                latency = Empty,
            );
            if span.is_disabled() {
                return Self(None);
            }
            span.record("peer", connection.peer());
            Self(Some(Box::new(span)))
        }

        #[inline]
        pub(crate) fn is_nobodys(&self) -> bool {
            self.0.is_none()
        }

        #[cfg(feature = "axum")]
        pub(crate) fn route(&self, route: &str) {
            if let Some(span) = &self.0 {
                span.record("route", route);
            }
        }

        #[inline]
        #[must_use]
        pub(crate) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
            self.0.as_deref().map(tracing::Span::enter)
        }

        pub(super) fn ended(
            &self,
            request: &Request,
            outcome: &Outcome,
            stop: Option<(&Cancelled, Duration)>,
        ) {
            if let Some(span) = &self.0 {
                span.record("outcome", outcome.word());
                if let Some((cancelled, latency)) = stop {
                    span.record("reason", cancelled.reason().as_str());
                    span.record("origin", display(cancelled.origin()));
                    span.record("latency", debug(latency));
                }
            }
            tracing::debug!(
                target: "desist",
                parent: self.0.as_deref().and_then(tracing::Span::id),
                method = %request.method,
                route = request.name(),
                outcome = outcome.word(),
                reason = stop.map(|(cancelled, _)| cancelled.reason().as_str()),
                origin = stop.map(|(cancelled, _)| display(cancelled.origin())),
                latency = stop.map(|(_, latency)| debug(latency)),
                took = ?request.began.elapsed(),
                "request ended",
            );
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod span {
    use std::time::Duration;

    use desist::Cancelled;

    use super::Outcome;
    use crate::connection::Connection;
    use crate::request::Request;

    /// Nobody is told.
    pub(crate) struct Span;

    /// Within no span, until this is dropped.
    pub(crate) struct Nowhere;

    impl Drop for Nowhere {
        fn drop(&mut self) {}
    }

    impl Span {
        pub(crate) fn of<B>(_: &http::Request<B>, _: &Connection) -> Self {
            Self
        }

        pub(crate) fn is_nobodys(&self) -> bool {
            true
        }

        #[cfg(feature = "axum")]
        pub(crate) fn route(&self, _: &str) {}

        #[must_use]
        pub(crate) fn enter(&self) -> Nowhere {
            Nowhere
        }

        pub(super) fn ended(&self, _: &Request, _: &Outcome, _: Option<(&Cancelled, Duration)>) {}
    }
}
