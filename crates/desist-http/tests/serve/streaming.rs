//! Answers that take their time: the token lives until their end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Request, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{any, post};
use desist::Reason;
use desist_http::{Policy, RequestToken};
use tokio_stream::StreamExt;

use crate::common::{Client, HANDSHAKE, Probe, Said, Server, TcpServe, WHILE};
use crate::streams::{is_left, server, server_with};

/// A client that reads the stream of events at that path.
async fn reads_ticks(server: &mut Server, path: &str) -> Client {
    let mut client = server.begins(path).await;
    client.reads("tick").await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_hears_that_its_reader_is_gone() {
    for reset in [false, true] {
        for ours in [true, false] {
            let mut server = server(ours).await;
            let client = reads_ticks(&mut server, "/events").await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            is_left(&mut server, ours).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_abandoned_in_the_middle_is_told() {
    for ours in [true, false] {
        let mut server = server(ours).await;
        let mut client = server.begins("/endless").await;
        client.reads("xxxxxxxx").await;
        drop(client);
        is_left(&mut server, ours).await;
    }
}

/// The token that was kept beyond the answer is nobody's any more.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_byte_a_client_that_goes_cancels_nothing() {
    for (path, answer) in [("/short", "short"), ("/length", "known length")] {
        let mut server = server(true).await;
        let mut client = server.connect().await;
        client.get(path).await;
        client.reads(answer).await;
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
    let mut server = server(true).await;
    let mut client = reads_ticks(&mut server, "/polite").await;
    server.stop.drain();
    let read = client.reads_to_the_end().await;
    assert!(read.ends_with("0\r\n\r\n"), "it is ended as it should be");
    let report = server.ends().await.unwrap();
    assert!(report.is_clean() && report.asked().is_none(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_without_an_end_is_stopped() {
    let mut server = server(true).await;
    let mut client = reads_ticks(&mut server, "/events").await;
    server.stop.cancel_with(Reason::Shutdown);
    client.reads_to_the_end().await;
    server.hears_all([Said::Told(Reason::Shutdown), Said::Dropped]).await;
    assert!(server.ends().await.unwrap().is_clean());
    // On axum the server waits for as long as somebody reads.
    let mut server = self::server(false).await;
    let client = reads_ticks(&mut server, "/events").await;
    server.stop.drain();
    server.does_not_end().await;
    drop(client);
    server.hears(Said::Dropped).await;
    server.ends().await;
}

async fn opens_socket(path: &str, server: &mut Server) -> Client {
    let mut client = server.connect().await;
    client.send(HANDSHAKE.replace("/socket", path)).await;
    client.reads("101 Switching Protocols").await;
    server.hears(Said::Begun).await;
    client
}

/// A message of text and its echo; a client's is masked, here with zeros.
async fn is_echoed(client: &mut Client, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    client.send([0x81, 0x80 | length, 0, 0, 0, 0]).await;
    client.send(text).await;
    client.reads(text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_is_told_and_waited_for() {
    let mut server = server(true).await;
    let mut client = opens_socket("/socket", &mut server).await;
    server.stop.drain();
    server.hears_nothing().await;
    assert!(!server.has_ended(), "it is waited for");
    is_echoed(&mut client, "while it drains").await;
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    server.hears(Said::Finished).await;
    assert!(server.ends().await.unwrap().is_clean());
    // On axum nobody waits for it, and nobody tells it: it outlives its server.
    let mut server = self::server(false).await;
    let mut client = opens_socket("/socket", &mut server).await;
    let mut said = std::mem::replace(&mut server.said, tokio::sync::mpsc::unbounded_channel().1);
    server.stop.drain();
    server.ends().await;
    is_echoed(&mut client, "after its end").await;
    assert!(said.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_whose_peer_goes_is_told() {
    for reset in [false, true] {
        for ours in [true, false] {
            let mut server = server(ours).await;
            let mut client = opens_socket("/echoes", &mut server).await;
            is_echoed(&mut client, "here").await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            if ours {
                server.hears_all([Said::Told(Reason::Disconnected), Said::Finished]).await;
            } else {
                // On axum it ends, and nobody else is told.
                server.hears(Said::Finished).await;
                server.hears_nothing().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_does_not_end_is_named() {
    let mut server = server_with(true, |serve| serve.drain_for(WHILE).grace(WHILE)).await;
    let _client = opens_socket("/deaf", &mut server).await;
    server.stop.drain();
    let report = server.ends().await.unwrap();
    let [running] = report.running() else { panic!("{report}") };
    assert_eq!(running.route(), "/deaf");
}

/// Its stream has failed; it keeps that, and knows from its token.
async fn keeps(socket: WebSocket, probe: Probe, token: RequestToken) {
    let why = token.cancelled().await;
    probe.say(Said::Told(why.reason()));
    drop(socket);
}

async fn reads_on(
    State(probe): State<Probe>,
    token: RequestToken,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        probe.say(Said::Begun);
        while let Some(Ok(_)) = socket.recv().await {}
        keeps(socket, probe, token).await;
    })
}

async fn writes_on(
    State(probe): State<Probe>,
    token: RequestToken,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        probe.say(Said::Begun);
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while socket.send(Message::text("tick")).await.is_ok() {
            ticks.tick().await;
        }
        keeps(socket, probe, token).await;
    })
}

/// By what it reads or writes, and not only when it is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_whose_stream_fails_is_told() {
    for half_close in [false, true] {
        for path in ["/reads", "/writes"] {
            let (probe, said) = Probe::new();
            let app = Router::new()
                .route("/reads", any(reads_on))
                .route("/writes", any(writes_on))
                .with_state(probe);
            let mut server = Server::of(app, said, |serve| serve.half_close(half_close)).await;
            let client = opens_socket(path, &mut server).await;
            client.reset();
            server.hears(Said::Told(Reason::Disconnected)).await;
        }
    }
}

/// Answers with a head, and a body of which nothing comes; reads nothing of the request.
async fn keeps_silent(State(probe): State<Probe>, token: RequestToken, request: Request) -> Body {
    probe.watches(&token);
    let held = (probe.begin(), request);
    Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, Infallible>>().map(move |piece| {
        let _held = &held;
        piece
    }))
}

/// Of an answer nothing goes on, also where hyper does not see that its reader is gone.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_behind_a_body_that_nobody_reads_ends_with_its_reader() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/silent", post(keeps_silent)).with_state(probe);
    let grace = Duration::from_secs(60);
    let set_up = |serve: TcpServe| serve.policy(Policy::Cooperate { grace });
    let mut server = Server::of(app, said, set_up).await;
    let mut client = server.connect().await;
    client.post("/silent", 300_000, 300_000).await;
    server.hears(Said::Begun).await;
    client.reads("\r\n\r\n").await;
    drop(client);
    server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
}
