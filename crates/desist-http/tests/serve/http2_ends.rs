//! HTTP/2: what becomes of handlers whose stream is reset, and in which ways it ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::any;
use desist::Reason;
use desist_http::{Policy, RequestToken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::common::{
    Client, Http2, PATIENCE, PREFACE, Probe, Said, Server, TcpServe, WHILE, next_of,
};
use crate::streams;

/// It begins at that path, and its stream is reset.
async fn begins_and_is_reset(server: &mut Server, connection: &mut Http2, path: &str) {
    let (answer, mut body) = connection.request("POST", path, false);
    server.hears(Said::Begun).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(answer);
}

async fn is_quick(connection: &mut Http2) {
    let (answer, _) = connection.request("GET", "/quick", true);
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_whose_stream_is_reset_hears_of_it() {
    for ours in [true, false] {
        let mut server = streams::server(ours).await;
        let mut connection = Http2::to(server.addr).await;
        let (answer, _) = connection.request("GET", "/events", true);
        server.hears(Said::Begun).await;
        let mut body = answer.await.unwrap().into_body();
        let event = next_of(&mut body).await.expect("an event").unwrap();
        assert!(event.starts_with(b"data: tick"), "{event:?}");
        // Whoever drops an answer resets its stream.
        drop(body);
        streams::is_left(&mut server, ours).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_to_be_dropped_is_when_its_stream_is_reset() {
    let mut server = Server::start_with(|serve| serve.policy(Policy::Drop)).await;
    let mut connection = Http2::to(server.addr).await;
    begins_and_is_reset(&mut server, &mut connection, "/heeds").await;
    server.hears(Said::Dropped).await;
    is_quick(&mut connection).await;
}

/// Goes on until it may end, and says what it was told by then.
async fn gated(State((probe, gate)): State<(Probe, Arc<Notify>)>, token: RequestToken) {
    let handler = probe.begin();
    gate.notified().await;
    if let Some(reason) = token.reason() {
        probe.say(Said::Told(reason));
    }
    handler.finish();
}

async fn with_a_gate(set_up: impl FnOnce(TcpServe) -> TcpServe) -> (Server, Arc<Notify>) {
    let (probe, said) = Probe::new();
    let gate = Arc::new(Notify::new());
    let app = Router::new()
        .route("/gated", any(gated))
        .route("/quick", any(async || "quick"))
        .with_state((probe, Arc::clone(&gate)));
    (Server::of(app, said, set_up).await, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_detached_goes_on_when_its_stream_is_reset() {
    for goes in [false, true] {
        let (mut server, gate) = with_a_gate(|serve| serve.policy(Policy::Detach)).await;
        let mut connection = Http2::to(server.addr).await;
        begins_and_is_reset(&mut server, &mut connection, "/gated").await;
        if goes {
            connection.goes().await;
        } else {
            is_quick(&mut connection).await;
        }
        server.hears_nothing().await;
        gate.notify_one();
        // It is told nothing.
        server.hears(Said::Finished).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_handlers_go_on_than_may_when_their_streams_are_reset() {
    let policy = Policy::Cooperate { grace: Duration::from_secs(600) };
    let (mut server, gate) = with_a_gate(|serve| serve.policy(policy).max_rescued(1)).await;
    let mut connection = Http2::to(server.addr).await;
    begins_and_is_reset(&mut server, &mut connection, "/gated").await;
    server.hears_nothing().await;
    begins_and_is_reset(&mut server, &mut connection, "/gated").await;
    server.hears(Said::Dropped).await;
    is_quick(&mut connection).await;
    gate.notify_one();
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_end_is_left_and_named() {
    for is_reset in [false, true] {
        let mut server = Server::start_with(|serve| serve.drain_for(WHILE).grace(WHILE)).await;
        let mut connection = Http2::to(server.addr).await;
        let (answer, mut body) = connection.request("POST", "/deaf", false);
        server.hears(Said::Begun).await;
        if is_reset {
            body.send_reset(h2::Reason::CANCEL);
            // Nothing shows when the server knows it.
            server.hears_nothing().await;
        }
        server.stop.drain();
        server.hears(Said::Dropped).await;
        let report = server.ends().await.unwrap();
        let [running] = report.running() else { panic!("{report}") };
        assert_eq!((running.method().as_str(), running.route()), ("POST", "/deaf"));
        assert!(running.peer().unwrap().starts_with("127.0.0.1:"), "{report}");
        assert_eq!(running.is_rescued(), is_reset, "{report}");
        assert!(answer.await.is_err());
    }
}

/// A connection whose end is a reset.
async fn to_be_reset(server: &Server) -> Http2 {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let drives = tokio::spawn(connection);
    Http2 { requests: requests.ready().await.unwrap(), drives }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_tells_all_of_its_handlers() {
    for (mut server, path) in
        [(Server::start().await, "/heeds"), (Server::of_axum().await, "/waits")]
    {
        let mut connection = to_be_reset(&server).await;
        let _first = connection.request("GET", path, true);
        server.hears(Said::Begun).await;
        let _second = connection.request("GET", path, true);
        server.hears(Said::Begun).await;
        connection.goes().await;
        if path == "/heeds" {
            let told = Said::Told(Reason::Disconnected);
            server.hears_all([told, told, Said::Finished, Said::Finished]).await;
        } else {
            // On axum they are dropped.
            server.hears_all([Said::Dropped, Said::Dropped]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_before_any_request_disturbs_nobody() {
    let mut server = Server::start().await;
    let mut other = Http2::to(server.addr).await;
    let (answer, _) = other.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    Http2::to(server.addr).await.goes().await;
    to_be_reset(&server).await.goes().await;
    for said in [&PREFACE[..10], PREFACE] {
        for reset in [true, false] {
            let mut client = Client::to(server.addr).await;
            client.send(said).await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
        }
    }
    server.hears_nothing().await;
    is_quick(&mut other).await;
    drop(answer);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    drop(other);
    // None of them is left.
    server.stop.drain();
    let report = server.ends().await.unwrap();
    assert!(report.is_clean() && report.asked().is_none(), "{report}");
}

/// A frame: its kind, its flags, its stream, and what is in it.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM_AND_HEADERS: u8 = 5;

/// A client of HTTP/2 by hand, which sends no more than it is told to.
async fn asks_by_hand(server: &mut Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    // `:method: GET` and `:scheme: http`, then `:path` and `:authority` with their values.
    let length = u8::try_from(path.len()).unwrap();
    let head = [&[0x82, 0x86, 0x04, length], path.as_bytes(), b"\x01\x04test"].concat();
    let head = frame(HEADERS, END_STREAM_AND_HEADERS, 1, &head);
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head].concat()).await.unwrap();
    server.hears(Said::Begun).await;
    stream
}

/// Reads up to the next question whether it is still there.
async fn is_pinged(stream: &mut TcpStream) -> Vec<u8> {
    let reads = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.unwrap();
            if (head[3], head[4] & ACK) == (PING, 0) {
                return payload;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reads).await.expect("it is asked")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_when_it_is_asked_is_gone() {
    let often = Some(Duration::from_secs(2));
    let mut server = Server::start_with(|serve| serve.tcp_keepalive(often)).await;
    let mut client = asks_by_hand(&mut server, "/heeds").await;
    let question = is_pinged(&mut client).await;
    client.write_all(&frame(PING, ACK, 0, &question)).await.unwrap();
    // It has answered, and is asked again; now it is silent.
    is_pinged(&mut client).await;
    assert!(server.said.try_recv().is_err(), "it is there");
    let told = tokio::time::timeout(PATIENCE * 2, server.said.recv()).await;
    assert_eq!(told.expect("it is told"), Some(Said::Told(Reason::Disconnected)));
    server.hears(Said::Finished).await;
}
