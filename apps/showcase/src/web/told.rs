//! What a page is told by itself: with whom it talks, and the log.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::{Json, Router};
use desist_http::RequestToken;
use desist_mediator::Mediator;
use serde::Serialize;
use tokio_stream::StreamExt as _;

use super::answer::Failed;
use crate::log::{Heard, ReadLog};

/// What a page wants to know of the instance that it talks to.
#[derive(Clone, Serialize)]
pub(crate) struct About {
    pub(crate) instance: String,
    pub(crate) database: String,
    pub(crate) downstream: String,
    pub(crate) nats: bool,
    pub(crate) console: &'static str,
}

pub(super) fn router(about: About) -> Router<Mediator> {
    let first = about.clone();
    Router::new()
        .route("/about", get(move || async move { Json(about) }))
        .route("/log", get(move |mediator, token| log(first, mediator, token)))
}

/// A page thinks it away after some times as long.
const ALIVE: Duration = Duration::from_secs(3);

/// A browser has few connections, so this one says whose log it is, too: first an event `about`,
/// then `running` with the numbers of all work that runs, `before` for each line that was said
/// before, and then those that are said now. Where lines were missed `running` comes again. An event
/// `alive` comes where nothing else does: what a server that hangs says is nothing.
async fn log(
    about: About,
    State(mediator): State<Mediator>,
    token: RequestToken,
) -> Result<impl IntoResponse, Failed> {
    let lines = mediator.send(&token, ReadLog).await?;
    let lines = lines.filter_map(|line| match line {
        Heard::Running(works) => Event::default().event("running").json_data(works).ok(),
        Heard::Before(line) => Event::default().event("before").json_data(line).ok(),
        Heard::Now(line) => Event::default().json_data(line).ok(),
    });
    let about = Event::default().event("about").json_data(about).ok();
    let events = tokio_stream::iter(about).chain(lines).map(Ok::<_, Infallible>);
    let alive = Event::default().event("alive").data("\"\"");
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE).event(alive)))
}
