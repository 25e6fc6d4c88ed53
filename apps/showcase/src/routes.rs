//! HTTP in and out: what was asked for, as a request of the mediator, and its response, as
//! an answer. What is asked for by nobody, the page and the health, needs no mediator.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use desist_http::RequestToken;
use desist_mediator::{Mediator, MediatorBuilder};
use serde::Deserialize;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::io::StreamReader;

use crate::answer::Failed;
use crate::log::{Asker, ReadLog};
use crate::numbers::Numbers;
use crate::work::{Asked, Download, Events, LongRunningTask, Primes, Upload};

pub(crate) fn router(mediator: Mediator) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/log", get(log))
        .route("/longrunningtask", get(long_running_task))
        .route("/upload", post(upload))
        .route("/download", get(download))
        .route("/events", get(events))
        .route("/primes", get(primes))
        .with_state(mediator)
}

/// What these routes send: where nobody handles one of them there is no server.
pub(crate) fn requires(builder: MediatorBuilder) -> MediatorBuilder {
    builder
        .requires::<ReadLog>()
        .requires::<Asked<LongRunningTask>>()
        .requires::<Asked<Upload>>()
        .requires::<Asked<Download>>()
        .requires::<Asked<Events>>()
        .requires::<Asked<Primes>>()
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

async fn log(
    State(mediator): State<Mediator>,
    token: RequestToken,
) -> Result<impl IntoResponse, Failed> {
    let lines = mediator.send(&token, ReadLog).await?;
    let events = lines.filter_map(|line| {
        let text = serde_json::to_string(&line).ok()?;
        Some(Ok::<_, Infallible>(Event::default().data(text)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn long_running_task(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
) -> Result<&'static str, Failed> {
    mediator.send(&token, Asked::new(by, LongRunningTask)).await?;
    Ok("long-running task completed\n")
}

async fn upload(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
    headers: HeaderMap,
    body: Body,
) -> Result<String, Failed> {
    let total = headers.get(header::CONTENT_LENGTH);
    let total = total.and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = body.into_data_stream();
    let bytes = bytes.map(|piece| piece.map_err(|error| io::Error::other(error.into_inner())));
    let upload = Upload { bytes: Box::pin(StreamReader::new(bytes)), total };
    let saved = mediator.send(&token, Asked::new(by, upload)).await;
    let saved = saved.map_err(|error| Failed::from(error).and("nothing of it is kept\n"))?;
    let (bytes, path) = (saved.bytes, saved.path.display());
    Ok(match saved.removed {
        Ok(()) => format!("{bytes} bytes were safe in {path}, and are removed again\n"),
        Err(error) => format!(
            "{bytes} bytes are safe in {path} until the server stops: \
             they could not be removed: {error}\n"
        ),
    })
}

#[derive(Deserialize)]
struct Size {
    #[serde(default = "twenty")]
    megabytes: u64,
}

fn twenty() -> u64 {
    20
}

async fn download(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
    Numbers(Size { megabytes }): Numbers<Size>,
) -> Result<impl IntoResponse, Failed> {
    let pieces = mediator.send(&token, Asked::new(by, Download { megabytes })).await?;
    let length = [(header::CONTENT_LENGTH, pieces.length.to_string())];
    Ok((length, Body::from_stream(pieces.bytes)))
}

async fn events(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failed> {
    let work = Events { draining: token.draining().clone() };
    let ticks = mediator.send(&token, Asked::new(by, work)).await?;
    Ok(Sse::new(ticks.map(|tick| Ok(Event::default().data(tick.to_string())))))
}

#[derive(Deserialize)]
struct Limit {
    #[serde(default = "forty_million")]
    below: u64,
}

fn forty_million() -> u64 {
    40_000_000
}

async fn primes(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
    Numbers(Limit { below }): Numbers<Limit>,
) -> Result<String, Failed> {
    let primes = mediator.send(&token, Asked::new(by, Primes { below })).await?;
    Ok(format!("{primes} primes below {below}\n"))
}
