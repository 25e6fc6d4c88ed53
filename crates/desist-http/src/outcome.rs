//! How requests end, in one place.

use std::time::Duration;

use desist::{Cancelled, Reason};
use http::StatusCode;

use crate::request::Request;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Completed,
    /// It was answered with a failure, or not at all.
    Failed,
    /// It was stopped, whatever its handler said then.
    Cancelled(Reason),
}

impl Outcome {
    /// Of an answer; a failure after a stop is no failure.
    pub(crate) fn of(request: &Request, status: StatusCode, says_stopped: bool) -> Self {
        let cancelled = request.token().cancellation();
        match cancelled {
            Some(cancelled) if says_stopped || is_failure(status) => {
                Self::Cancelled(cancelled.reason())
            }
            _ if status.is_server_error() => Self::Failed,
            _ => Self::Completed,
        }
    }

    pub(crate) fn of_stop(request: &Request) -> Self {
        request.token().reason().map_or(Self::Failed, Self::Cancelled)
    }

    #[cfg(any(feature = "metrics", feature = "tracing"))]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

fn is_failure(status: StatusCode) -> bool {
    status.is_server_error() || status.as_u16() == 499
}

/// From the request to stop to now, by the clock on which it was.
fn since(request: &Request, cancelled: &Cancelled) -> Duration {
    request.token().clock().now().saturating_duration_since(cancelled.at())
}

/// The handler, and its answer, are over.
pub(crate) fn ended(request: &Request, outcome: Outcome) {
    let cancelled = request.token().cancellation();
    let latency = cancelled.as_ref().map(|cancelled| since(request, cancelled));
    #[cfg(feature = "metrics")]
    counted::ended(outcome, latency);
    #[cfg(feature = "tracing")]
    told::ended(request, outcome, cancelled.as_ref(), latency);
    let _ = (outcome, latency);
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

    use super::Outcome;

    pub(super) fn ended(outcome: Outcome, latency: Option<Duration>) {
        if outcome == Outcome::Completed {
            // The one that is common has a key that is made once.
            let completed = metrics::counter!(
                "desist_http_requests_total", "outcome" => "completed", "reason" => ""
            );
            return completed.increment(1);
        }
        let reason = match outcome {
            Outcome::Cancelled(reason) => reason.as_str(),
            _ => "",
        };
        metrics::counter!(
            "desist_http_requests_total", "outcome" => outcome.word(), "reason" => reason
        )
        .increment(1);
        if let (Some(latency), Outcome::Cancelled(_)) = (latency, outcome) {
            metrics::histogram!("desist_http_cancel_latency_seconds", "reason" => reason)
                .record(latency.as_secs_f64());
        }
    }
}

#[cfg(feature = "tracing")]
mod told {
    use std::time::Duration;

    use desist::Cancelled;
    use tracing::debug;

    use super::Outcome;
    use crate::request::Request;

    pub(super) fn ended(
        request: &Request,
        outcome: Outcome,
        cancelled: Option<&Cancelled>,
        latency: Option<Duration>,
    ) {
        debug!(
            target: "desist",
            method = %request.method,
            route = request.name(),
            outcome = outcome.word(),
            reason = cancelled.map(|cancelled| tracing::field::display(cancelled.reason())),
            origin = cancelled.map(|cancelled| tracing::field::display(cancelled.origin())),
            latency = latency.map(tracing::field::debug),
            took = ?request.began.elapsed(),
            "request ended",
        );
    }
}
