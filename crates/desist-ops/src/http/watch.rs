//! What happens to an operation, as it happens: server-sent events.
//!
//! What ends a version has its number as its id: `operation`, or the event of an earlier one. Who comes again with the last
//! id that they have (a browser does so by itself) is sent what came after that: events are kept,
//! progress is not, and the last of it is enough.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use desist_tokio::StreamExt as _;
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::access::Verb;
use super::problem::{Asked, Named, Problem, named, pairs};
use super::{Served, json};
use crate::store::Store;
use crate::{Error, Operation, Watch};

/// So often something is sent, so that nobody in between takes it for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// After the database has not answered.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn watch<S: Store>(
    State(served): State<Arc<Served<S>>>,
    id: Named,
    asked: Asked,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    let id = named(id)?;
    let asked = pairs(asked)?;
    let (_, operation) = served.may_with(Verb::Watch, &request, &id).await?;
    let after = after(&request, &asked)?;
    if operation.state.is_finished() && after >= operation.version {
        // A browser does not come again after that.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let draining = served.draining(&request);
    let Some(place) = served.watchers.place() else {
        let says = "too many watch already; ask for it now and then instead, or come again later";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, says));
    };
    let watch = served.operations.watch(operation.id, after);
    let (ready, is_over) = (Vec::new(), false);
    let watching = Watching { served, request, watch, after, ready, is_over, _place: place };
    let events = stream::unfold(watching, Watching::next).until_cancelled(&draining);
    let alive = KeepAlive::new().interval(ALIVE);
    let plain =
        [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((plain, Sse::new(events).keep_alive(alive)).into_response())
}

/// The last that they have: as a browser says it, or in the address.
fn after(request: &Parts, asked: &[(String, String)]) -> Result<i64, Problem> {
    let header = request.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let asked = asked.iter().find(|(name, _)| name == "after").map(|(_, after)| after.as_str());
    let Some(after) = header.or(asked).filter(|after| !after.is_empty()) else { return Ok(0) };
    let number = after.parse().ok().filter(|after| *after >= 0);
    number.ok_or_else(|| Problem::bad("the last event's id is a whole number"))
}

struct Watching<S: Store> {
    served: Arc<Served<S>>,
    request: Parts,
    watch: Watch<S>,
    after: i64,
    /// To be sent, the next one last.
    ready: Vec<Event>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

type Sent<S> = Option<(Result<Event, Infallible>, Watching<S>)>;

impl<S: Store> Watching<S> {
    async fn next(mut self) -> Sent<S> {
        loop {
            if let Some(event) = self.ready.pop() {
                return Some((Ok(event), self));
            }
            if self.is_over {
                return None;
            }
            match self.watch.next().await {
                Ok(Some(operation)) => {
                    if !self.served.may_watch(&self.request, &operation) {
                        return None;
                    }
                    match self.events(&operation).await {
                        Ok(()) => self.is_over = operation.state.is_finished(),
                        // They come with the next one, or when it is watched again.
                        Err(_) if operation.state.is_finished() => return None,
                        Err(_) => tokio::time::sleep(AGAIN).await,
                    }
                }
                Ok(None) => return None,
                Err(error) if error.is_not_found() => return None,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// What happened since the last time, and how it is now.
    async fn events(&mut self, operation: &Operation) -> Result<(), Error> {
        let mut last = self.after;
        let mut all = Vec::new();
        loop {
            let events = self.served.operations.events(operation.id, last).await?;
            // What is newer than what is shown comes with what is shown next.
            let mut shown = events.iter().filter(|event| event.number <= operation.version);
            for event in shown.clone() {
                let sent = Event::default().event(&event.what);
                // The last of a version has its number: who has seen that has seen all of it.
                let is_last = event.number < operation.version;
                let sent = if is_last { sent.id(event.number.to_string()) } else { sent };
                all.push(sent.data(json::event(event).to_string()));
            }
            let Some(newest) = shown.next_back() else { break };
            last = newest.number;
        }
        let now = Event::default().event("operation").id(operation.version.to_string());
        all.push(now.data(json::operation(operation).to_string()));
        all.reverse();
        self.after = operation.version;
        self.ready = all;
        Ok(())
    }
}
