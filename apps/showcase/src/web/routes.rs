//! HTTP in and out: what was asked for, as a request of the mediator, and its response, as
//! an answer. What takes no time, as the page and the health, needs no mediator.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use desist_http::{AdmissionLayer, RequestToken};
use desist_mediator::{Mediator, MediatorBuilder};
use serde::Deserialize;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::io::StreamReader;

use super::answer::Failed;
use super::exports;
use super::numbers::Numbers;
use super::page;
use super::told::{self, About};
use crate::log::{Asker, ReadLog};
use crate::work::{
    Asked, Download, Downstream, Events, LongRunningTask, Primes, Publish, Report, Search, Upload,
};

/// So many threads count at a time, and so many more requests wait for one: threads for what
/// blocks are few, and files need them, too.
const COUNT_AT_ONCE: usize = 8;

pub(crate) fn router(mediator: Mediator, about: About, exports: PathBuf) -> Router {
    Router::new()
        .merge(told::router(about))
        .merge(page::router())
        .merge(exports::router(exports))
        .route("/longrunningtask", get(long_running_task))
        .route("/upload", post(upload))
        .route("/download", get(download))
        .route("/events", get(events))
        .route(
            "/primes",
            get(primes).layer(AdmissionLayer::at_most(COUNT_AT_ONCE).queue(COUNT_AT_ONCE)),
        )
        .route("/report", get(report))
        .route("/search", get(search))
        .route("/downstream", get(downstream))
        .route("/messages", post(messages))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_so)
        .with_state(mediator)
}

async fn nothing_here(uri: Uri) -> impl IntoResponse {
    (StatusCode::NOT_FOUND, format!("there is nothing at {}; the page is at /\n", uri.path()))
}

async fn not_so(method: Method, uri: Uri) -> impl IntoResponse {
    let said = format!("{} cannot be asked with {method}; see the header Allow\n", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, said)
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
        .requires::<Asked<Report>>()
        .requires::<Asked<Search>>()
        .requires::<Asked<Downstream>>()
        .requires::<Asked<Publish>>()
}

async fn long_running_task(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
) -> Result<&'static str, Failed> {
    mediator.send(&token, Asked::new(by, LongRunningTask)).await?;
    Ok("long-running task completed\n")
}

/// On one machine 64 MB come in less time than it takes to press Stop.
const BETWEEN_PIECES: Duration = Duration::from_millis(10);

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
    let bytes = bytes.throttle(BETWEEN_PIECES);
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

async fn report(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
) -> Result<String, Failed> {
    let compared = mediator.send(&token, Asked::new(by, Report)).await?;
    Ok(format!("{compared} passages of one document are in another\n"))
}

#[derive(Deserialize)]
struct Wanted {
    text: String,
    session: Option<u64>,
}

async fn search(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<impl IntoResponse, Response> {
    let Query(Wanted { text, session }) = wanted.map_err(|_| {
        let advice = "say a word, and a number, as in /search?text=harbour&session=7\n";
        (StatusCode::BAD_REQUEST, advice).into_response()
    })?;
    let search = Asked::new(by, Search { text, session });
    let found = mediator.send(&token, search).await;
    let found = found.map_err(|error| Failed::from(error).into_response())?;
    Ok(Json(found))
}

async fn downstream(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
) -> Result<String, Failed> {
    Ok(mediator.send(&token, Asked::new(by, Downstream)).await?)
}

#[derive(Deserialize)]
struct Many {
    #[serde(default = "ten")]
    count: u64,
    series: Option<u64>,
}

fn ten() -> u64 {
    10
}

async fn messages(
    State(mediator): State<Mediator>,
    by: Asker,
    token: RequestToken,
    Numbers(Many { count, series }): Numbers<Many>,
) -> Result<String, Failed> {
    mediator.send(&token, Asked::new(by, Publish { count, series })).await?;
    Ok(format!("{count} messages are published\n"))
}
