//! Operations as the page has them: short, for there may be ten thousand. Times are milliseconds
//! since 1970, and what is not there is not said.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::{CancelRequest, Operation, OperationId, Progress};

/// Without what depends on who reads it, and without its last brace.
pub(super) fn row(operation: &Operation) -> String {
    let mut row = Map::new();
    let mut says = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            row.insert(name.to_owned(), value);
        }
    };
    let tags = Some(&operation.tags).filter(|tags| !tags.is_empty());
    says("id", Some(operation.id.to_string().into()));
    says("seq", Some(operation.sequence.into()));
    says("kind", Some(operation.kind.as_str().into()));
    says("state", Some(operation.state.as_str().into()));
    says("version", Some(operation.version.into()));
    says("key", operation.key.as_deref().map(Value::from));
    says("tags", tags.map(|tags| json!(tags)));
    says("actor", operation.actor.as_deref().map(Value::from));
    says("attempt", Some(operation.attempt.into()));
    says("attempts", Some(operation.attempts.into()));
    says("ran_on", operation.ran_on.as_deref().map(Value::from));
    says("error", operation.error.as_deref().map(Value::from));
    says("created", Some(millis(operation.created_at)));
    says("run_at", Some(millis(operation.run_at)));
    says("started", operation.started_at.map(millis));
    says("ended", operation.finished_at.map(millis));
    says("progress", operation.progress.as_ref().map(progress));
    says("cancel", operation.cancel.as_ref().map(request));
    says("heard", operation.heard_at.map(millis));
    says("seen", operation.seen_at.map(millis));
    says("stop_at", operation.stop_at.map(millis));
    says("grace", Some(saturated(operation.grace.as_millis())));
    let mut text = Value::Object(row).to_string();
    text.pop();
    text
}

/// The rest of it.
pub(super) fn rest(parent: Option<OperationId>, may_cancel: bool) -> String {
    match parent {
        Some(parent) => format!(r#","parent":"{parent}","may_cancel":{may_cancel}}}"#),
        None => format!(r#","may_cancel":{may_cancel}}}"#),
    }
}

/// How long it took to stop, of one that was asked to and has ended.
pub(super) fn stopped(operation: &Operation) -> Option<String> {
    let (asked, stopped) = (operation.cancel.as_ref()?.at()?, operation.finished_at?);
    let stopped = json!({
        "id": operation.id.to_string(),
        "kind": operation.kind,
        "asked": millis(asked),
        "heard": operation.heard_at.map(millis),
        "seen": operation.seen_at.map(millis),
        "stopped": millis(stopped),
        "outcome": operation.state.as_str(),
    });
    Some(stopped.to_string())
}

fn progress(progress: &Progress) -> Value {
    let Progress { done, total, message, at } = progress;
    match total {
        Some(total) => {
            json!({ "done": done, "total": total, "message": message, "at": millis(*at) })
        }
        None => json!({ "done": done, "message": message, "at": millis(*at) }),
    }
}

fn request(request: &CancelRequest) -> Value {
    let mut said = Map::new();
    said.insert("mode".to_owned(), request.mode().as_str().into());
    said.insert("reason".to_owned(), request.reason().as_str().into());
    for (name, text) in [("message", request.told()), ("actor", request.by())] {
        if let Some(text) = text {
            said.insert(name.to_owned(), text.into());
        }
    }
    if let Some(at) = request.at() {
        said.insert("at".to_owned(), millis(at));
    }
    Value::Object(said)
}

pub(super) fn millis(time: SystemTime) -> Value {
    saturated(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis())
}

pub(super) fn saturated(millis: u128) -> Value {
    u64::try_from(millis).unwrap_or(u64::MAX).into()
}
