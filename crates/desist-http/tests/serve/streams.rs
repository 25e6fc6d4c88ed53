//! Answers that take their time, with or without a token.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::Response;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get};
use desist::{Reason, Token};
use desist_tokio::StreamExt as _;
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::common::{Handler, Probe, Said, Server, TcpServe};
use desist_http::RequestToken;

type Events = Sse<std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>>;

/// The server has `drain_for` a minute, so that whatever ends does so by itself.
pub(crate) async fn server(ours: bool) -> Server {
    let minute = Duration::from_secs(60);
    server_with(ours, |serve| serve.drain_for(minute)).await
}

pub(crate) async fn server_with(ours: bool, set_up: impl FnOnce(TcpServe) -> TcpServe) -> Server {
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/events", get(events))
        .route("/polite", get(polite_events))
        .route("/endless", get(endless))
        .route("/short", get(short))
        .route("/length", get(known_length))
        .route("/socket", any(socket))
        .route("/echoes", any(echoing_socket))
        .route("/quiet", any(quiet_socket))
        .route("/deaf", any(deaf_socket))
        .with_state(probe);
    if ours { Server::of(app, said, set_up).await } else { Server::of_axum_with(app, said).await }
}

/// What is heard of a stream whose reader is gone: on axum it is dropped, and whoever
/// works for it elsewhere hears nothing.
pub(crate) async fn is_left(server: &mut Server, ours: bool) {
    if ours {
        server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
    } else {
        server.hears(Said::Dropped).await;
        server.hears_nothing().await;
    }
}

/// Without an end, until its reader is gone; then it says so.
fn ticks(reader: Handler) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
    ticks.map(move |_| {
        let _held = &reader;
        Ok(Event::default().data("tick"))
    })
}

async fn events(State(probe): State<Probe>, token: Option<RequestToken>) -> Events {
    let Some(token) = token else { return Sse::new(Box::pin(ticks(probe.begin()))) };
    probe.watches(&token);
    Sse::new(Box::pin(ticks(probe.begin()).until_cancelled(&token)))
}

/// Ends by itself when the server drains.
async fn polite_events(State(probe): State<Probe>, token: Option<RequestToken>) -> Events {
    let draining = token.map_or_else(Token::never, |token| token.draining().clone());
    Sse::new(Box::pin(ticks(probe.begin()).until_cancelled(&draining)))
}

async fn endless(State(probe): State<Probe>, token: Option<RequestToken>) -> Response {
    if let Some(token) = token {
        probe.watches(&token);
    }
    let reader = probe.begin();
    let chunks = std::iter::repeat_with(move || {
        let _held = &reader;
        Ok::<_, Infallible>(vec![b'x'; 16_384])
    });
    Response::new(Body::from_stream(tokio_stream::iter(chunks)))
}

async fn known_length(State(probe): State<Probe>, token: Option<RequestToken>) -> Response {
    if let Some(token) = token {
        probe.watches(&token);
    }
    let chunks = tokio_stream::iter([Ok::<_, Infallible>("known "), Ok("length")]);
    Response::builder().header("content-length", "12").body(Body::from_stream(chunks)).unwrap()
}

async fn short(State(probe): State<Probe>, token: Option<RequestToken>) -> &'static str {
    if let Some(token) = token {
        probe.watches(&token);
    }
    "short"
}

/// Says what it is told, and what was said to it; ends when either ends.
async fn socket(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let handler = probe.begin();
        let told = async {
            match &token {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let mut told = std::pin::pin!(told);
        loop {
            tokio::select! {
                received = socket.recv() => match received {
                    Some(Ok(message)) => {
                        let _ = socket.send(message).await;
                    }
                    _ => break,
                },
                why = &mut told => {
                    probe.say(Said::Told(why.reason()));
                    break;
                }
            }
        }
        handler.finish();
    })
}

/// Ends with its peer, whatever it is told; its token is watched elsewhere.
async fn echoing_socket(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if let Some(token) = token {
        probe.watches(&token);
    }
    upgrade.on_upgrade(async move |mut socket| {
        let handler = probe.begin();
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
        handler.finish();
    })
}

/// Reads nothing, and knows from its token alone.
async fn quiet_socket(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |_socket| {
        let handler = probe.begin();
        let Some(token) = token else { std::future::pending().await };
        let why = token.cancelled().await;
        probe.say(Said::Told(why.reason()));
        handler.finish();
    })
}

/// Has its token and heeds nothing at all.
async fn deaf_socket(
    State(probe): State<Probe>,
    token: Option<RequestToken>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |_socket| {
        let (_handler, _token) = (probe.begin(), token);
        std::future::pending().await
    })
}
