//! Operations as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{CancelAnswer, CancelRequest, Event, Operation, Progress};

pub(super) fn operation(operation: &Operation) -> Value {
    json!({
        "id": operation.id.to_string(),
        "sequence": operation.sequence,
        "kind": operation.kind,
        "state": operation.state.as_str(),
        "finished": operation.state.is_finished(),
        "version": operation.version,
        "parent": operation.parent.map(|id| id.to_string()),
        "key": operation.key,
        "tags": operation.tags,
        "actor": operation.actor,
        "traceparent": operation.traceparent,
        "attempt": operation.attempt,
        "attempts": operation.attempts,
        "ran_on": operation.ran_on,
        "output": operation.output.as_deref().map(given),
        "error": operation.error,
        "created_at": time(operation.created_at),
        "run_at": time(operation.run_at),
        "started_at": operation.started_at.map(time),
        "finished_at": operation.finished_at.map(time),
        "progress": operation.progress.as_ref().map(progress),
        "cancel": operation.cancel.as_ref().map(request),
        "heard_at": operation.heard_at.map(time),
        "seen_at": operation.seen_at.map(time),
        "stop_at": operation.stop_at.map(time),
        "grace_ms": operation.grace.as_millis() as u64,
        "stopping_for_ms": operation.stopping_for().map(|time| time.as_millis() as u64),
        "overdue": operation.is_overdue(),
        "in_spite_of_a_cancel": operation.succeeded_in_spite_of_a_cancel(),
        "cancelled_before_start": operation.cancelled_before_start(),
        "read_at": time(operation.read_at),
    })
}

fn progress(progress: &Progress) -> Value {
    json!({
        "done": progress.done,
        "total": progress.total,
        "message": progress.message,
        "at": time(progress.at),
    })
}

fn request(request: &CancelRequest) -> Value {
    json!({
        "mode": request.mode().as_str(),
        "reason": request.reason().as_str(),
        "message": request.told(),
        "actor": request.by(),
        "at": request.at().map(time),
    })
}

pub(super) fn answer(answer: &CancelAnswer) -> Value {
    let (outcome, first) = match answer {
        CancelAnswer::AlreadyFinished(outcome) => (Some(outcome.as_str()), None),
        CancelAnswer::AlreadyRequested(first) => (None, Some(request(first))),
        _ => (None, None),
    };
    json!({ "answer": answer.as_str(), "outcome": outcome, "first": first })
}

pub(super) fn event(event: &Event) -> Value {
    json!({
        "number": event.number,
        "at": time(event.at),
        "what": event.what,
        "detail": given(&event.detail),
    })
}

/// It was JSON when it was kept.
fn given(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// As RFC 3339 has it, in UTC, to the millisecond.
fn time(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let milli = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// So many days after 1970-01-01, in the Gregorian calendar. Years begin in March here, so that
/// the day that is not in each of them is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_written_as_everybody_reads_them() {
        let at = |millis| super::time(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(at(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
        assert_eq!(at(4_107_542_399_000), "2100-02-28T23:59:59.000Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }
}
