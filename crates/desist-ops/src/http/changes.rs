//! What changes something.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use desist::Token;
use desist_http::RequestToken;
use serde_json::{Value, json};

use super::access::{Ask, Verb};
use super::members::Members;
use super::problem::Problem;
use super::{Served, json};
use crate::store::Store;
use crate::{CancelAnswer, Duplicates, Filter, OperationId};

/// Beside the input: tags, a key, names.
const BESIDE: usize = 64 * 1024;
/// Whoever cancels waits for the end so long at most.
const WAIT: Duration = Duration::from_secs(60);

pub(super) async fn start<S: Store>(
    State(served): State<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    let most = served.operations.shared().settings.max_input + BESIDE;
    served.may_be_asked(&request)?;
    let mut members = Members::read(&request, body, most).await?;
    let kind = members.text("kind")?.ok_or_else(|| Problem::bad("`kind` is missing"))?;
    let input = members.0.remove("input").unwrap_or(Value::Null).to_string();
    let tags = members.texts("tags")?;
    let parent = members.id("parent")?;
    let key = members.text("key")?;
    let delay = members.millis("delay_ms")?;
    members.nothing_else()?;
    let above = match parent {
        Some(id) => Some(served.operations.get(id).await?.ok_or_else(Problem::not_found)?),
        None => None,
    };
    if above.as_ref().is_some_and(|above| !served.may_see(&request, above)) {
        return Err(Problem::not_found());
    }
    let verb = Verb::Start;
    let operation = above.as_ref();
    let ask = Ask { verb, request: &request, operation, kind: Some(&kind), tag: None };
    let actor = served.may(&ask)?;
    let kinds = &served.operations.shared().kinds;
    let policy = kinds.get(&kind).map(|kind| kind.settings.duplicates);
    if let Some(key) = key.as_ref().filter(|_| policy == Some(Duplicates::Superseded)) {
        // Starting one must not stop what they may not stop.
        let other = served.operations.find(&kind, key).await?;
        let is_theirs = other
            .is_some_and(|other| !other.state.is_finished() && !served.may_stop(&request, &other));
        if is_theirs {
            let says = "there is one with this key already, and it is not yours";
            return Err(Problem::new(StatusCode::CONFLICT, says));
        }
    }
    let mut start = served.operations.start_json(&kind, input).delay(delay);
    for tag in tags {
        start = start.tag(tag);
    }
    if let Some(parent) = parent {
        start = start.parent(parent);
    }
    if let Some(key) = key {
        start = start.key(key);
    }
    if let Some(actor) = actor {
        start = start.actor(actor);
    }
    let trace = request.headers.get("traceparent").and_then(|trace| trace.to_str().ok());
    if let Some(trace) = trace {
        start = start.traceparent(trace);
    }
    let started = start.await?;
    let operation = served.operations.get(started.id()).await?.ok_or_else(Problem::not_found)?;
    if started.is_joined() && !served.may_see(&request, &operation) {
        let says = "there is one with this key already, and it is not yours";
        return Err(Problem::new(StatusCode::CONFLICT, says));
    }
    let status = if started.is_joined() { StatusCode::OK } else { StatusCode::CREATED };
    let place = place(&request, started.id());
    let body = json!({
        "id": started.id().to_string(),
        "joined": started.is_joined(),
        "operation": json::operation(&operation),
    });
    Ok((status, [(header::LOCATION, place)], Json(body)).into_response())
}

/// Where it is, below wherever these routes are nested.
fn place(request: &Parts, id: OperationId) -> String {
    let uri = request.extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.clone());
    let path = uri.as_ref().unwrap_or(&request.uri).path().trim_end_matches('/').to_owned();
    format!("{path}/{id}")
}

pub(super) async fn cancel<S: Store>(
    State(served): State<Arc<Served<S>>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    let (mut actor, operation) = served.may_with(Verb::Cancel, &request, &id).await?;
    let mut members = Members::read(&request, body, BESIDE).await?;
    let mut asked = members.request()?;
    let is_tree = members.flag("tree")?;
    let wait = members.millis("wait_ms")?.min(WAIT);
    members.nothing_else()?;
    if is_tree {
        let (verb, operation) = (Verb::CancelTree, Some(&operation));
        actor = served.may(&Ask { verb, request: &request, operation, kind: None, tag: None })?;
    }
    if let Some(actor) = actor {
        asked = asked.actor(actor);
    }
    let (answer, all) = if is_tree {
        let answers = served.operations.cancel_tree(operation.id, asked).await?;
        let own = answers.iter().find(|(id, _)| *id == operation.id);
        let own = own.map_or(CancelAnswer::NotFound, |(_, answer)| answer.clone());
        (own, Some(answers))
    } else {
        (served.operations.cancel(operation.id, asked).await?, None)
    };
    if answer == CancelAnswer::NotFound {
        return Err(Problem::not_found());
    }
    let waits = served.operations.wait(operation.id, wait);
    let draining = RequestToken::peek(&request.extensions).ok();
    let draining = draining.map_or_else(Token::never, |token| token.draining().clone());
    let operation = match draining.run(waits).await {
        Ok(operation) => operation?,
        // A server that stops does not wait for others.
        Err(_) => served.operations.wait(operation.id, Duration::ZERO).await?,
    };
    let mut body = json::answer(&answer);
    body["operation"] = json::operation(&operation);
    if let Some(all) = all {
        body["tree"] = summary(&all);
    }
    let ended = operation.state.is_finished();
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(body)).into_response())
}

pub(super) async fn cancel_tagged<S: Store>(
    State(served): State<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    served.may_be_asked(&request)?;
    let mut members = Members::read(&request, body, BESIDE).await?;
    let tag = members.text("tag")?.ok_or_else(|| Problem::bad("`tag` is missing"))?;
    let mut asked = members.request()?;
    let is_dry = members.flag("dry_run")?;
    members.nothing_else()?;
    let verb = Verb::CancelTagged;
    let ask = Ask { verb, request: &request, operation: None, kind: None, tag: Some(&tag) };
    let actor = served.may(&ask)?;
    if is_dry {
        let open = |state| Filter::new().tag(tag.as_str()).state(state);
        let waiting = served.operations.count(&open(crate::State::Waiting)).await?;
        let running = served.operations.count(&open(crate::State::Running)).await?;
        return Ok(Json(json!({ "waiting": waiting, "running": running })).into_response());
    }
    if let Some(actor) = actor {
        asked = asked.actor(actor);
    }
    let answers = served.operations.cancel_tagged(&tag, asked).await?;
    Ok(Json(summary(&answers)).into_response())
}

fn summary(answers: &crate::CancelAnswers) -> Value {
    let each: Vec<_> = answers
        .iter()
        .map(|(id, answer)| json!({ "id": id.to_string(), "answer": answer.as_str() }))
        .collect();
    json!({
        "cancelled_before_start": answers.before_start(),
        "requested": answers.requested(),
        "already_finished": answers.finished(),
        "operations": each,
    })
}
