//! The files that exports have written.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use desist_http::RequestToken;
use tokio::fs::File;
use tokio_stream::StreamExt as _;
use tokio_util::io::ReaderStream;

/// What is in this folder, by name.
pub(super) fn router<S: Clone + Send + Sync + 'static>(folder: PathBuf) -> Router<S> {
    Router::new().route("/exports/{name}", get(export)).with_state(Arc::new(folder))
}

async fn export(
    State(folder): State<Arc<PathBuf>>,
    Path(name): Path<String>,
    token: RequestToken,
) -> Response {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let stem = name.strip_suffix(".jsonl").filter(|stem| stem.chars().all(is_plain));
    let Some(stem) = stem else { return not_here(&name) };
    let Ok(file) = File::open(folder.join(format!("{stem}.jsonl"))).await else {
        return not_here(&name);
    };
    let attached = format!("attachment; filename=\"{stem}.jsonl\"");
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl".to_owned()),
        (header::CONTENT_DISPOSITION, attached),
    ];
    let stop = desist::Token::clone(&token);
    let pieces = ReaderStream::new(file).map(move |piece| {
        stop.check()?;
        piece.map_err(|error| Box::new(error) as desist_host::BoxError)
    });
    (headers, Body::from_stream(pieces)).into_response()
}

fn not_here(name: &str) -> Response {
    let advice = "the instance that wrote it has it, in its folder of data";
    (StatusCode::NOT_FOUND, format!("there is no export {name:?} here: {advice}\n")).into_response()
}
