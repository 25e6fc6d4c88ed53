//! Answers that take their time: the token lives until their end.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{State, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::{Router, response::Response};
use desist::Reason;
use desist_http::RequestToken;
use desist_tokio::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::IntervalStream;

use crate::common::{Said, Server};

#[derive(Clone)]
struct Says(mpsc::UnboundedSender<Said>);

/// Says why the token was cancelled, from a task that outlives the handler.
fn watches(says: &Says, token: &RequestToken) {
    let (says, token) = (says.clone(), token.clone());
    tokio::spawn(async move {
        let why = token.cancelled().await;
        let _ = says.0.send(Said::Told(why.reason()));
    });
    // It is there as long as the test.
}

fn ticks() -> impl tokio_stream::Stream<Item = Result<Event, Infallible>> {
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(5)));
    ticks.map(|_| Ok(Event::default().data("tick")))
}

async fn events(
    State(says): State<Says>,
    token: RequestToken,
) -> Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>> {
    watches(&says, &token);
    let _ = says.0.send(Said::Begun);
    Sse::new(ticks().until_cancelled(&token))
}

/// Ends by itself when the server drains.
async fn polite_events(
    State(says): State<Says>,
    token: RequestToken,
) -> Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>> {
    let _ = says.0.send(Said::Begun);
    Sse::new(ticks().until_cancelled(token.draining()))
}

async fn endless(State(says): State<Says>, token: RequestToken) -> Response {
    watches(&says, &token);
    let _ = says.0.send(Said::Begun);
    let chunks =
        tokio_stream::iter(std::iter::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 16_384])));
    Response::new(Body::from_stream(chunks))
}

async fn known_length(State(says): State<Says>, token: RequestToken) -> Response {
    watches(&says, &token);
    let chunks = tokio_stream::iter([Ok::<_, Infallible>("known "), Ok("length")]);
    Response::builder().header("content-length", "12").body(Body::from_stream(chunks)).unwrap()
}

async fn short(State(says): State<Says>, token: RequestToken) -> &'static str {
    watches(&says, &token);
    "short"
}

async fn socket(
    State(says): State<Says>,
    token: RequestToken,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let _ = says.0.send(Said::Begun);
        loop {
            tokio::select! {
                received = socket.recv() => match received {
                    Some(Ok(message)) => {
                        let _ = socket.send(message).await;
                    }
                    _ => break,
                },
                why = token.cancelled() => {
                    let _ = says.0.send(Said::Told(why.reason()));
                    break;
                }
            }
        }
        let _ = says.0.send(Said::Finished);
    })
}

async fn server() -> Server {
    let (says, said) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/events", get(events))
        .route("/polite", get(polite_events))
        .route("/endless", get(endless))
        .route("/short", get(short))
        .route("/length", get(known_length))
        .route("/socket", get(socket))
        .with_state(Says(says));
    Server::of(app, said, |serve| serve.drain_for(Duration::from_secs(60))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_hears_that_its_reader_is_gone() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.get("/events").await;
    client.reads("tick").await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_abandoned_in_the_middle_is_told() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.get("/endless").await;
    client.reads("xxxxxxxx").await;
    server.hears(Said::Begun).await;
    // It reads no more, and the server waits; then it goes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
}

/// The token that was kept beyond the answer is nobody's any more.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_byte_a_client_that_goes_cancels_nothing() {
    for path in ["/short", "/length"] {
        let mut server = server().await;
        let mut client = server.connect().await;
        client.get(path).await;
        client.reads(if path == "/short" { "short" } else { "known length" }).await;
        drop(client);
        server.hears_nothing().await;
        let mut client = server.connect().await;
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
        client.reads("200 OK").await;
        drop(client);
        server.hears_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_that_heeds_the_drain_lets_the_server_go() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.get("/polite").await;
    client.reads("tick").await;
    server.hears(Said::Begun).await;
    server.stop.drain();
    let read = client.reads_to_the_end().await;
    assert!(read.ends_with("0\r\n\r\n"), "it is ended as it should be");
    let report = server.ends().await.unwrap();
    assert!(report.is_clean() && report.asked().is_none(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_without_an_end_is_stopped() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.get("/events").await;
    client.reads("tick").await;
    server.hears(Said::Begun).await;
    server.stop.cancel_with(Reason::Shutdown);
    client.reads_to_the_end().await;
    server.hears(Said::Told(Reason::Shutdown)).await;
    assert!(server.ends().await.unwrap().is_clean());
}

const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_is_told_and_waited_for() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.send(HANDSHAKE).await;
    client.reads("101 Switching Protocols").await;
    server.hears(Said::Begun).await;
    server.stop.drain();
    server.hears_nothing().await;
    assert!(!server.has_ended(), "it is waited for");
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    server.hears(Said::Finished).await;
    assert!(server.ends().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_whose_peer_goes_is_told() {
    let mut server = server().await;
    let mut client = server.connect().await;
    client.send(HANDSHAKE).await;
    client.reads("101 Switching Protocols").await;
    server.hears(Said::Begun).await;
    drop(client);
    // By its stream or by its token, whichever it looks at first.
    let said = server.said.recv().await.unwrap();
    assert!(matches!(said, Said::Told(Reason::Disconnected) | Said::Finished), "{said:?}");
}
