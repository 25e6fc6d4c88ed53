//! What is measured and told, through the facades that one has.
//!
//! | name | what | labels |
//! |---|---|---|
//! | `desist_ops_ended_total` | runs that ended | `kind`, `outcome` |
//! | `desist_ops_run_seconds` | how long they took | `kind`, `outcome` |
//! | `desist_ops_running` | runs now | `kind` |
//! | `desist_ops_overdue` | runs now that do not stop within their grace | `kind` |
//! | `desist_ops_cancel_heard_seconds` | from the request until its process had heard | `kind` |
//! | `desist_ops_cancel_seen_seconds` | from then until its token was cancelled | `kind` |
//! | `desist_ops_cancel_stopped_seconds` | from then until its end was written | `kind` |
//! | `desist_ops_cancel_seconds` | the whole of it | `kind` |
//! | `desist_ops_push` | 1 if pushes come to this process | |
//! | `desist_ops_push_seconds` | how long its call to itself takes | |
//! | `desist_ops_taken_over_total` | operations of dead processes | |
//! | `desist_ops_leases_lost_total` | leases that this process could not keep | |
//! | `desist_ops_trouble_total` | requests to the database that failed | `doing` |

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::hints::{Hints, Push};
use crate::protocol::{Finished, TakenOver};
use crate::worker::Live;
use crate::{Error, State};

#[cfg(feature = "metrics")]
mod meters {
    use std::time::Duration;

    pub(super) fn count(name: &'static str, labels: &[(&'static str, String)], by: u64) {
        metrics::counter!(name, labels).increment(by);
    }

    pub(super) fn time(name: &'static str, labels: &[(&'static str, String)], time: Duration) {
        metrics::histogram!(name, labels).record(time.as_secs_f64());
    }

    #[allow(clippy::cast_precision_loss)] // Nobody runs that many.
    pub(super) fn is(name: &'static str, labels: &[(&'static str, String)], now: usize) {
        metrics::gauge!(name, labels).set(now as f64);
    }
}

#[cfg(not(feature = "metrics"))]
mod meters {
    use std::time::Duration;

    pub(super) fn count(_: &'static str, _: &[(&'static str, String)], _: u64) {}
    pub(super) fn time(_: &'static str, _: &[(&'static str, String)], _: Duration) {}
    pub(super) fn is(_: &'static str, _: &[(&'static str, String)], _: usize) {}
}

use meters::{count, is, time};

fn kind(live: &Live) -> [(&'static str, String); 1] {
    [("kind", live.kind.clone())]
}

/// A request has been heard.
pub(crate) fn heard(live: &Live) {
    if let Some((after, since)) = live.heard() {
        time("desist_ops_cancel_heard_seconds", &kind(live), after);
        if let Some(seen) = live.seen() {
            time("desist_ops_cancel_seen_seconds", &kind(live), since.saturating_sub(seen));
        }
    }
    #[cfg(feature = "tracing")]
    if let Some(request) = live.intent() {
        let mode = request.mode().as_str();
        tracing::info!(id = %live.id, kind = live.kind, mode, "asked to stop: {request}");
    }
}

/// A run has ended, and that is written.
pub(crate) fn ended(live: &Live, finished: Finished, ran: Duration) {
    let outcome = match finished {
        Finished::Is(State::Finished(outcome)) | Finished::Was(State::Finished(outcome)) => {
            outcome.as_str()
        }
        Finished::Fenced => "lost",
        _ if live.is_given_back() => "given_back",
        _ => "retried",
    };
    let labels = [("kind", live.kind.clone()), ("outcome", outcome.to_owned())];
    count("desist_ops_ended_total", &labels, 1);
    time("desist_ops_run_seconds", &labels, ran);
    if let Some((after, since)) = live.heard() {
        let seen = live.seen().unwrap_or(since);
        time("desist_ops_cancel_stopped_seconds", &kind(live), seen);
        time("desist_ops_cancel_seconds", &kind(live), after + since);
    }
    #[cfg(feature = "tracing")]
    tracing::info!(id = %live.id, kind = live.kind, outcome, took = ?ran, "ended");
}

/// What runs now, by kind: those that run, and those of them that do not stop.
#[derive(Debug, Default)]
pub(crate) struct Running(BTreeMap<String, (usize, usize)>);

impl Running {
    pub(crate) fn are(&mut self, all: &[Arc<Live>]) {
        if cfg!(not(feature = "metrics")) {
            return;
        }
        // Of a kind of which none runs any more it is to be said that none does.
        self.0.values_mut().for_each(|counts| *counts = (0, 0));
        for live in all {
            let counts = self.0.entry(live.kind.clone()).or_default();
            counts.0 += 1;
            counts.1 += usize::from(live.is_overdue());
        }
        for (kind, (running, overdue)) in &self.0 {
            let labels = [("kind", kind.clone())];
            is("desist_ops_running", &labels, *running);
            is("desist_ops_overdue", &labels, *overdue);
        }
    }
}

/// Nobody runs any of these here any more.
pub(crate) fn nothing_runs<'a>(kinds: impl Iterator<Item = &'a str>) {
    for kind in kinds {
        let labels = [("kind", kind.to_owned())];
        is("desist_ops_running", &labels, 0);
        is("desist_ops_overdue", &labels, 0);
    }
}

/// Whether pushes come, and how long the last call to itself took, if that is news.
pub(crate) fn push(hints: &Hints, last: &mut Option<Duration>) {
    let (push, _, round) = hints.push();
    is("desist_ops_push", &[], usize::from(push == Push::Works));
    if *last != round {
        *last = round;
        if let Some(round) = round {
            time("desist_ops_push_seconds", &[], round);
        }
    }
}

/// A run does not stop.
pub(crate) fn overdue(live: &Live) {
    live.is_late();
    #[cfg(feature = "tracing")]
    tracing::warn!(id = %live.id, kind = live.kind, grace = ?live.grace, last = live.last_said(), "does not stop");
}

/// Operations of the dead.
pub(crate) fn taken_over(taken: &TakenOver) {
    let all = taken.again.len() + taken.ended.len();
    if all > 0 {
        count("desist_ops_taken_over_total", &[], all as u64);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            again = taken.again.len(),
            ended = taken.ended.len(),
            "operations of a process that is dead or cut off were taken over"
        );
    }
}

/// A callback of a handler has panicked as its token was cancelled; the panic hook has told of it.
pub(crate) fn callback_panicked() {
    count("desist_ops_trouble_total", &[("doing", "call back".to_owned())], 1);
    #[cfg(feature = "tracing")]
    tracing::error!("a callback on the token of an operation has panicked");
}

pub(crate) fn lease_lost() {
    count("desist_ops_leases_lost_total", &[], 1);
    #[cfg(feature = "tracing")]
    tracing::warn!("the lease is lost; whatever ran here is told to stop");
}

/// The database did not do what it was asked.
pub(crate) fn trouble(doing: &'static str, error: &Error) {
    count("desist_ops_trouble_total", &[("doing", doing.to_owned())], 1);
    #[cfg(feature = "tracing")]
    tracing::warn!(doing, error = crate::error::chain(error), "asked again later");
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}

/// In a span of its own.
#[cfg(feature = "tracing")]
pub(crate) fn in_span<F: Future>(live: &Live, work: F) -> impl Future<Output = F::Output> + use<F> {
    use tracing::Instrument as _;

    let span = tracing::info_span!(
        "operation",
        id = %live.id,
        kind = live.kind,
        attempt = live.attempt,
        traceparent = live.traceparent,
    );
    work.instrument(span)
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn in_span<F: Future>(_: &Live, work: F) -> impl Future<Output = F::Output> + use<F> {
    work
}
