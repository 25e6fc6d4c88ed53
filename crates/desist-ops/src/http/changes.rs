//! What changes something.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::access::{Ask, Verb};
use super::members::Members;
use super::problem::{Named, Problem, named};
use super::{Served, json};
use crate::store::Store;
use crate::{CancelAnswer, Duplicates, Error, Filter, Operation, OperationId, Start, Started};

/// Beside the input: tags, a key, names.
const BESIDE: usize = 64 * 1024;
/// So often it is looked who else has a key.
const SUPERSEDING: u32 = 20;
/// Whoever cancels waits for the end so long at most.
const WAIT: Duration = Duration::from_secs(60);

pub(super) async fn start<S: Store>(
    State(served): State<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    let most = served.operations.shared().settings.max_input + BESIDE;
    served.may_be_changed(&request)?;
    let mut members = Members::read(&request, body, most).await?;
    let kind = members.text("kind")?.ok_or_else(|| Problem::bad("`kind` is missing"))?;
    let input = members.json("input");
    let tags = members.texts("tags")?;
    let parent = members.id("parent")?;
    let key = members.text("key")?;
    let delay = members.millis("delay_ms")?;
    members.nothing_else()?;
    let verb = Verb::Start;
    let ask = |operation| Ask { verb, request: &request, operation, kind: Some(&*kind), tag: None };
    // Whoever may start nothing learns nothing of what there is.
    let mut actor = served.may(&ask(None))?;
    if let Some(parent) = parent {
        let above = served.operations.get(parent).await?;
        let above = above.filter(|above| served.may_see(&request, above));
        actor = served.may(&ask(Some(&above.ok_or_else(Problem::not_found)?)))?;
    }
    let wanted = || {
        let mut start = served.operations.start_json(&kind, input.as_str()).delay(delay);
        start = tags.iter().fold(start, |start, tag| start.tag(tag.as_str()));
        start = parent.into_iter().fold(start, Start::parent);
        start = key.iter().fold(start, |start, key| start.key(key.as_str()));
        start = actor.iter().fold(start, |start, actor| start.actor(actor.as_str()));
        let trace = request.headers.get("traceparent").and_then(|trace| trace.to_str().ok());
        trace.into_iter().fold(start, Start::traceparent)
    };
    let kinds = &served.operations.shared().kinds;
    let policy = kinds.get(&kind).map(|kind| kind.settings.duplicates);
    let started = match &key {
        Some(key) if policy == Some(Duplicates::Superseded) => {
            superseding(
                &served,
                &request,
                &Filter::new().kind(&*kind).key(&**key).most(1000),
                wanted,
            )
            .await?
        }
        _ => wanted().await?,
    };
    let operation = served.operations.get(started.id()).await;
    if started.is_joined() {
        let other = operation.as_ref().ok().and_then(Option::as_ref);
        if !other.is_some_and(|other| served.may_see(&request, other)) {
            return Err(Problem::from(Error::taken()));
        }
    }
    // It is started, whether or not it can be read.
    let operation = operation.ok().flatten();
    let status = if started.is_joined() { StatusCode::OK } else { StatusCode::CREATED };
    let place = place(&request, started.id());
    let body = json!({
        "id": started.id().to_string(),
        "joined": started.is_joined(),
        "operation": operation.as_ref().map(json::operation),
    });
    Ok((status, [(header::LOCATION, place)], Json(body)).into_response())
}

/// Starting one must not stop what they may not stop, nor what somebody else starts meanwhile.
async fn superseding<'a, S: Store>(
    served: &Served<S>,
    request: &Parts,
    others: &Filter,
    wanted: impl Fn() -> Start<'a, S>,
) -> Result<Started, Problem> {
    for _ in 0..SUPERSEDING {
        let others = served.operations.list(others).await?;
        if !others.iter().all(|other| served.may_stop(request, other)) {
            break;
        }
        match wanted().superseding_only(others.iter().map(|other| other.id).collect()).await {
            // One more was started meanwhile, which may be theirs, too.
            Err(error) if error.is_taken() => {}
            started => return Ok(started?),
        }
    }
    Err(Problem::from(Error::taken()))
}

/// Where it is, below wherever these routes are nested.
fn place(request: &Parts, id: OperationId) -> String {
    let uri = request.extensions.get::<axum::extract::OriginalUri>().map(|uri| uri.0.clone());
    let path = uri.as_ref().unwrap_or(&request.uri).path().trim_end_matches('/').to_owned();
    format!("{path}/{id}")
}

pub(super) async fn cancel<S: Store>(
    State(served): State<Arc<Served<S>>>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    let id = named(id)?;
    let (mut actor, operation) = served.may_with(Verb::Cancel, &request, &id).await?;
    let mut members = Members::read(&request, body, BESIDE).await?;
    let mut asked = members.request()?;
    let is_tree = members.flag("tree")?;
    let is_dry = members.flag("dry_run")?;
    let wait = members.millis("wait_ms")?.min(WAIT);
    members.nothing_else()?;
    if is_tree {
        let (verb, operation) = (Verb::CancelTree, Some(&operation));
        let ask = Ask { verb, request: &request, operation, kind: None, tag: None };
        actor = served.may(&ask).map_err(|problem| {
            problem.saying_what("you may cancel this operation, and not all that is below it")
        })?;
    }
    if is_dry {
        if !is_tree {
            return Err(Problem::bad(
                "`dry_run` counts what is in a tree; say `\"tree\": true` as well",
            ));
        }
        let would = would_stop(&served, Filter::new().tree(operation.id)).await?;
        return Ok(Json(would).into_response());
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
    let mut body = json::answer(&answer);
    if let Some(all) = all {
        body["tree"] = counts(&all);
    }
    // It is asked for, whether or not its end is seen.
    let id = operation.id;
    let operation = ended(&served, &request, id, wait).await;
    let is_over = operation.as_ref().is_some_and(|operation| operation.state.is_finished());
    body["id"] = id.to_string().into();
    body["state"] = operation.as_ref().map(|operation| operation.state.as_str()).into();
    let shown = operation.as_ref().filter(|operation| served.may_see(&request, operation));
    body["operation"] = shown.map(json::operation).into();
    let status = if is_over { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Json(body)).into_response())
}

/// As it is when it has ended, or when nobody waits any longer.
async fn ended<S: Store>(
    served: &Arc<Served<S>>,
    request: &Parts,
    id: OperationId,
    wait: Duration,
) -> Option<Operation> {
    let draining = served.draining(request);
    // There is room for so many who wait; the others see it as it is now.
    let place = served.watchers.place().filter(|_| !wait.is_zero());
    if place.is_some() {
        if let Ok(seen) = draining.run(served.operations.wait(id, wait)).await {
            return seen.ok();
        }
    }
    served.operations.get(id).await.ok().flatten()
}

pub(super) async fn cancel_tagged<S: Store>(
    State(served): State<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, body) = request.into_parts();
    served.may_be_changed(&request)?;
    let mut members = Members::read(&request, body, BESIDE).await?;
    let tag = members.text("tag")?.ok_or_else(|| Problem::bad("`tag` is missing"))?;
    let mut asked = members.request()?;
    let is_dry = members.flag("dry_run")?;
    members.nothing_else()?;
    let verb = Verb::CancelTagged;
    let ask = Ask { verb, request: &request, operation: None, kind: None, tag: Some(&tag) };
    let actor = served.may(&ask)?;
    if is_dry {
        let would = would_stop(&served, Filter::new().tag(tag.as_str())).await?;
        return Ok(Json(would).into_response());
    }
    if let Some(actor) = actor {
        asked = asked.actor(actor);
    }
    let answers = served.operations.cancel_tagged(&tag, asked).await?;
    Ok(Json(counts(&answers)).into_response())
}

/// How many of these could be stopped.
async fn would_stop<S: Store>(served: &Served<S>, these: Filter) -> Result<Value, Problem> {
    let waiting = served.operations.count(&these.clone().state(crate::State::Waiting)).await?;
    let running = served.operations.count(&these.state(crate::State::Running)).await?;
    Ok(json!({ "waiting": waiting, "running": running }))
}

fn counts(answers: &crate::CancelAnswers) -> Value {
    json!({
        "cancelled_before_start": answers.before_start(),
        "requested": answers.requested(),
        "already_finished": answers.finished(),
    })
}
