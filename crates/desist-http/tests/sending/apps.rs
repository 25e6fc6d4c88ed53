//! Servers to ask, and clients that do.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Probe, Server};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use bytes::Bytes;
use desist_http::{Deadlines, RequestToken};
use reqwest::Client;
use tokio::sync::Notify;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};

/// One of HTTP/1.1, and one of HTTP/2.
pub(crate) fn clients() -> [Client; 2] {
    let builder = || Client::builder().no_proxy();
    [builder().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

pub(crate) async fn start() -> Server {
    start_breaking(Arc::default()).await
}

pub(crate) async fn start_breaking(when: Arc<Notify>) -> Server {
    let (app, said) = crate::common::app();
    let app = app
        .route("/left", any(left))
        .route("/json", get(async || axum::Json([1, 2, 3])))
        .route("/socket", any(echoes))
        .route("/moved", get(async || axum::response::Redirect::temporary("/left")))
        .merge(
            Router::new()
                .route("/breaks", get(breaks))
                .route("/late", get(is_late))
                .route("/goes", get(goes))
                .with_state(when),
        );
    let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    Server::of(app, said, |serve| serve.deadlines(deadlines)).await
}

pub(crate) fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addr)
}

/// What it was told of its time.
async fn left(headers: HeaderMap) -> String {
    let said = headers.iter().filter(|(name, _)| name.as_str().ends_with("-ms"));
    said.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

async fn echoes(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    })
}

/// A body that breaks off when it is told to.
async fn breaks(State(breaks): State<Arc<Notify>>) -> Body {
    let parts = tokio_stream::iter([false, true]).then(move |is_last| {
        let breaks = Arc::clone(&breaks);
        async move {
            if !is_last {
                return Ok(Bytes::from_static(b"a part"));
            }
            breaks.notified().await;
            Err(io::Error::other("the disk is broken"))
        }
    });
    Body::from_stream(parts)
}

async fn is_late(State(when): State<Arc<Notify>>) -> http::StatusCode {
    when.notified().await;
    http::StatusCode::GATEWAY_TIMEOUT
}

/// Its connection, or stream, ends without an answer.
async fn goes(State(when): State<Arc<Notify>>) -> http::StatusCode {
    when.notified().await;
    panic!("as a server that has crashed")
}

/// A body without an end.
pub(crate) fn pours() -> impl Stream<Item = Result<Bytes, Infallible>> {
    let ticks = tokio::time::interval(Duration::from_millis(1));
    IntervalStream::new(ticks).map(|_| Ok(Bytes::from_static(&[b'x'; 1000])))
}

pub(crate) async fn pours_and_says(State(probe): State<Probe>, token: RequestToken) -> Body {
    let streams = probe.begin();
    probe.watches(&token);
    Body::from_stream(pours().map(move |bytes| {
        let _ = &streams;
        bytes
    }))
}
