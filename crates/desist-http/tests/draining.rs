//! HTTP/2 while a server drains: its clients are waited for as long as they have to do
//! with it, beside what `axum::serve` does; and no longer.
#![cfg(feature = "axum")]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::routing::any;
use common::{Http2, PATIENCE, Probe, Said, Server, frames, next_of};
use desist_http::RequestToken;
use tokio::sync::mpsc;

const MINUTES: Duration = Duration::from_secs(120);

/// Longer than those are waited for that say nothing.
const LONG: Duration = Duration::from_secs(4);

async fn start(ours: bool, app: Router, said: mpsc::UnboundedReceiver<Said>) -> Server {
    if ours {
        Server::of(app, said, |serve| serve.drain_for(MINUTES)).await
    } else {
        Server::of_axum_with(app, said).await
    }
}

async fn is_clean(server: Server) {
    if let Some(report) = server.ends().await {
        assert!(report.is_clean() && report.asked().is_none(), "{report}");
    }
}

/// It has left the handler in one piece, and waits for room at its client.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_behind_its_clients_window_is_waited_for() {
    const LENGTH: usize = 1_000_000;
    for ours in [true, false] {
        let (_nobody, said) = mpsc::unbounded_channel();
        let app = Router::new().route("/large", any(|| async { vec![b'x'; LENGTH] }));
        let server = start(ours, app, said).await;
        let mut connection = Http2::to(server.addr).await;
        let (answer, _) = connection.request("GET", "/large", true);
        let mut body = answer.await.unwrap().into_body();
        let first = body.data().await.unwrap().unwrap();
        server.stop.drain();
        tokio::time::sleep(LONG).await;
        let mut read = first.len();
        body.flow_control().release_capacity(first.len()).unwrap();
        while let Some(bytes) = next_of(&mut body).await {
            read += bytes.unwrap_or_else(|error| panic!("after {read} bytes: {error}")).len();
        }
        assert_eq!(read, LENGTH);
        is_clean(server).await;
    }
}

/// Whether its token is moved into it, or nobody has asked for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_without_its_token_is_waited_for() {
    for (ours, path) in [(true, "/plain"), (true, "/looks"), (false, "/plain")] {
        let (probe, said) = Probe::new();
        let echoes = move |upgrade: WebSocketUpgrade| {
            let probe = probe.clone();
            async move {
                upgrade.on_upgrade(async move |mut socket| {
                    let handler = probe.begin();
                    while let Some(Ok(message)) = socket.recv().await {
                        if socket.send(message).await.is_err() {
                            break;
                        }
                    }
                    handler.finish();
                })
            }
        };
        let looks = echoes.clone();
        let app = Router::new().route("/plain", any(echoes)).route(
            "/looks",
            any(async move |token: RequestToken, upgrade: WebSocketUpgrade| {
                assert!(!token.is_cancelled());
                looks(upgrade).await
            }),
        );
        let mut server = start(ours, app, said).await;
        let mut client = server.connect().await;
        client.send(frames::hello()).await;
        client.send(frames::connect(1, path)).await;
        server.hears(Said::Begun).await;
        server.stop.drain();
        // It answers what it is asked, as any client does by itself.
        client.send(frames::frame(6, 1, 0, b"\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54")).await;
        tokio::time::sleep(LONG).await;
        let text = "while it drains";
        let masked = [&[0x81, 0x80 | 15, 0, 0, 0, 0], text.as_bytes()].concat();
        client.send(frames::frame(frames::DATA, 0, 1, &masked)).await;
        client.reads(text).await;
        drop(client);
        server.hears(Said::Finished).await;
        is_clean(server).await;
    }
}

/// A client that is far away has not heard yet when it asks once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_its_way_is_answered() {
    for ours in [true, false] {
        let (_nobody, said) = mpsc::unbounded_channel();
        let app = Router::new()
            .route("/one", any(|| async { "the first" }))
            .route("/two", any(|| async { "the second" }));
        let server = start(ours, app, said).await;
        let mut client = server.connect().await;
        client.send(frames::hello()).await;
        client.send(frames::get(1, "/one")).await;
        client.reads("the first").await;
        server.stop.drain();
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        client.send(frames::get(3, "/two")).await;
        client.reads("the second").await;
        drop(client);
        is_clean(server).await;
    }
}

/// Its cable was cut, perhaps; and no answer is on its way to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_goodbye_is_left() {
    let (app, said) = common::app();
    let mut server = start(true, app, said).await;
    let mut client = server.connect().await;
    client.send(frames::hello()).await;
    // So that it is there.
    let mut other = server.connect().await;
    other.get("/quick").await;
    other.reads("quick").await;
    let begin = Instant::now();
    server.stop.drain();
    server.does_not_end().await;
    is_clean(server).await;
    assert!(begin.elapsed() < PATIENCE);
}

/// The goodbye lies behind an answer that it has not come to yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pauses_in_an_answer_is_waited_for() {
    const LAST: &[u8] = b"and that was all";
    for ours in [true, false] {
        let (_nobody, said) = mpsc::unbounded_channel();
        let large = || async { [&[b'x'; 300_000], LAST].concat() };
        let app = Router::new().route("/large", any(large));
        let server = start(ours, app, said).await;
        let mut client = server.connect().await;
        client.send(frames::hello()).await;
        client.send(frames::get(1, "/large")).await;
        client.reads("xxxx").await;
        server.stop.drain();
        tokio::time::sleep(LONG).await;
        for stream in [0, 1] {
            client.send(frames::frame(8, 0, stream, &[0, 0xff, 0xff, 0xff])).await;
        }
        client.reads("and that was all").await;
        drop(client);
        is_clean(server).await;
    }
}

/// Also the first of its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_request_on_its_way_is_answered() {
    for ours in [true, false] {
        let (app, said) = common::app();
        let server = start(ours, app, said).await;
        let mut client = server.connect().await;
        client.send(frames::hello()).await;
        let mut other = server.connect().await;
        other.get("/quick").await;
        other.reads("quick").await;
        server.stop.drain();
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        client.send(frames::get(1, "/quick")).await;
        client.reads("quick").await;
        drop(client);
        is_clean(server).await;
    }
}
