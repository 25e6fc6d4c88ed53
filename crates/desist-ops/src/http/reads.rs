//! What changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::access::Verb;
use super::problem::{Asked, Named, Problem, named, pairs};
use super::{Served, json};
use crate::store::Store;
use crate::{Filter, OperationId};

/// So many thousands are looked through for what somebody may see, and the rest by the next page.
const PAGES: usize = 20;

/// Nobody else's cache keeps what is not for everybody.
fn answer(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn filter(asked: Vec<(String, String)>) -> Result<Filter, Problem> {
    let mut filter = Filter::new();
    for (name, value) in asked {
        if value.is_empty() {
            continue;
        }
        let id = |value: &str| {
            let id = value.parse::<OperationId>();
            id.map_err(|error| Problem::bad(format!("`{name}` is no operation: {error}")))
        };
        filter = match name.as_str() {
            "kind" => filter.kind(value),
            "state" => filter.state(crate::State::parse(&value).ok_or_else(|| {
                let says = "`state` is one of waiting, running, succeeded, failed, cancelled";
                Problem::bad(says)
            })?),
            "tag" => filter.tag(value),
            "parent" => filter.parent(id(&value)?),
            "tree" => filter.tree(id(&value)?),
            "actor" => filter.actor(value),
            "reason" => {
                let reason = crate::cancel::reason(&value);
                if reason.as_str() != value {
                    let says = "`reason` is one that code knows, as `requested` or `superseded`";
                    return Err(Problem::bad(says));
                }
                filter.reason(reason)
            }
            "cancelled_by" => filter.cancelled_by(value),
            "before" => filter.before(number(&name, &value)?),
            "limit" => filter.most(u32::try_from(number(&name, &value)?).unwrap_or(u32::MAX)),
            _ => return Err(Problem::bad(format!("`{name}` is not known here"))),
        };
    }
    Ok(filter)
}

fn number(name: &str, value: &str) -> Result<i64, Problem> {
    let number = value.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Problem::bad(format!("`{name}` is a whole number, from 1 on")))
}

pub(super) async fn list<S: Store>(
    State(served): State<Arc<Served<S>>>,
    asked: Asked,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    served.may_without(Verb::List, &request)?;
    let filter = filter(pairs(asked)?)?;
    let (mut seen, mut next, mut before) = (Vec::new(), None, filter.before);
    // What they may not see leaves no trace: neither a short page, nor where the next one begins, but
    // after very many that they may not. More are looked through the fewer may be seen.
    let mut most = filter.most;
    'pages: for _ in 0..PAGES {
        let mut page = filter.clone().most(most);
        page.before = before;
        most = (most * 4).clamp(50, 1000);
        let all = served.operations.list(&page).await?;
        let is_full = u32::try_from(all.len()).is_ok_and(|found| found >= page.most);
        before = all.last().filter(|_| is_full).map(|last| last.sequence);
        for one in all.iter().filter(|one| served.may_see(&request, one)) {
            seen.push(json::operation(one));
            if u32::try_from(seen.len()).is_ok_and(|seen| seen >= filter.most) {
                next = Some(one.sequence);
                break 'pages;
            }
        }
        next = before;
        if before.is_none() {
            break;
        }
    }
    Ok(answer(json!({ "operations": seen, "before": next })))
}

pub(super) async fn overdue<S: Store>(
    State(served): State<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    served.may_without(Verb::List, &request)?;
    let all = served.operations.overdue().await?;
    let seen: Vec<_> =
        all.iter().filter(|one| served.may_see(&request, one)).map(json::operation).collect();
    Ok(answer(json!({ "operations": seen })))
}

pub(super) async fn show<S: Store>(
    State(served): State<Arc<Served<S>>>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    let id = named(id)?;
    let (_, operation) = served.may_with(Verb::Show, &request, &id).await?;
    Ok(answer(json::operation(&operation)))
}

pub(super) async fn history<S: Store>(
    State(served): State<Arc<Served<S>>>,
    id: Named,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    let id = named(id)?;
    let (_, operation) = served.may_with(Verb::Show, &request, &id).await?;
    let events = served.operations.events(operation.id, 0).await?;
    let events: Vec<_> = events.iter().map(json::event).collect();
    let mut shown = json::operation(&operation);
    shown["may_cancel"] = served.could_stop(&request, &operation).into();
    Ok(answer(json!({ "operation": shown, "events": events })))
}
