//! The grace of handlers whose clients go where hyper does not find out: all of it, and
//! no more.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use common::{Client, PREFACE, Probe, Said, Server, TcpServe, WHILE};
use desist::Reason;
use desist_http::{Policy, PolicyLayer, RequestToken};
use tokio::io::AsyncWriteExt;

/// So long that a second one shows.
const GRACE: Duration = Duration::from_secs(4);

/// How long a deaf handler goes on behind a body that nobody reads, or before another
/// request.
async fn outlives(pipelined: bool) -> Duration {
    let set_up = |serve: TcpServe| serve.policy(Policy::Cooperate { grace: GRACE });
    let mut server = Server::start_with(set_up).await;
    let mut client = server.connect().await;
    if pipelined {
        client.send("GET /deaf HTTP/1.1\r\nhost: test\r\n\r\n".repeat(2)).await;
    } else {
        client.post("/deaf", 300_000, 300_000).await;
    }
    server.hears(Said::Begun).await;
    let begin = Instant::now();
    drop(client);
    server.hears(Said::Dropped).await;
    begin.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_had_its_grace_on_its_connection_has_no_second_one() {
    let (unread, pipelined) = tokio::join!(outlives(false), outlives(true));
    for outlived in [unread, pipelined] {
        assert!(outlived >= GRACE && outlived < GRACE * 2, "it goes on for {outlived:?}");
    }
}

/// Its answer is more than anybody takes.
async fn pours() -> Body {
    let pieces = std::iter::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 16_384]));
    Body::from_stream(tokio_stream::iter(pieces))
}

async fn cleans_up(probe: Probe, token: RequestToken, time: Duration) {
    let handler = probe.begin();
    probe.say(Said::Told(token.cancelled().await.reason()));
    tokio::time::sleep(time).await;
    handler.finish();
}

async fn quick(State(probe): State<Probe>, token: RequestToken) {
    cleans_up(probe, token, Duration::ZERO).await;
}

async fn thorough(State(probe): State<Probe>, token: RequestToken) {
    cleans_up(probe, token, WHILE * 4).await;
}

/// A frame of HTTP/2: its kind, its flags, its stream, and what is in it.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

fn get_of(path: &str, stream: u8) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let head = [&[0x82, 0x86, 0x04, length], path.as_bytes(), &[0x41, 1, b't']].concat();
    frame(1, 5, stream, &head)
}

/// On HTTP/2, where hyper reads nothing while it cannot answer a ping.
#[tokio::test(flavor = "multi_thread")]
async fn two_handlers_on_one_connection_have_each_its_grace() {
    let long = PolicyLayer::new(Policy::Cooperate { grace: WHILE * 100 });
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/pours", get(pours))
        .route("/quick", get(quick))
        .route("/thorough", get(thorough).layer(long))
        .with_state(probe);
    let short = Policy::Cooperate { grace: WHILE };
    let mut server = Server::of(app, said, |serve| serve.policy(short)).await;
    let mut client = Client::with_little_room(server.addr).await;
    // It has room for everything, and reads nothing of it.
    let settings = frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = frame(8, 0, 0, &[0x7f, 0, 0, 0]);
    client.send([PREFACE, &settings, &window].concat()).await;
    client.send([get_of("/quick", 1), get_of("/thorough", 3), get_of("/pours", 5)].concat()).await;
    server.hears_all([Said::Begun, Said::Begun]).await;
    // Nothing shows when there is no room for more.
    server.hears_nothing().await;
    client.send(frame(6, 0, 0, b"question")).await;
    client.stream.shutdown().await.unwrap();
    let told = Said::Told(Reason::Disconnected);
    server.hears_all([told, told, Said::Finished, Said::Finished]).await;
}

/// Reads what has come, late, so that hyper finds out; and then heeds nothing.
async fn reads_late(State(probe): State<Probe>, token: RequestToken, body: Body) {
    let _handler = probe.begin();
    probe.say(Said::Told(token.cancelled().await.reason()));
    tokio::time::sleep(GRACE / 2).await;
    let read = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    assert_eq!(read.len(), 300_000);
    std::future::pending().await
}

/// On its connection, and then without; there is one place, which it has in both.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_has_one_grace_and_one_place_wherever_it_goes_on() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/late", post(reads_late)).with_state(probe);
    let set_up = |serve: TcpServe| serve.policy(Policy::Cooperate { grace: GRACE }).max_rescued(1);
    let mut server = Server::of(app, said, set_up).await;
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.post("/late", 300_000, 300_000).await;
        server.hears(Said::Begun).await;
        let begin = Instant::now();
        drop(client);
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Dropped).await;
        let outlived = begin.elapsed();
        assert!(outlived >= GRACE && outlived < GRACE + GRACE / 2, "it goes on for {outlived:?}");
        // It says so as it is dropped, and its place is free after that.
        server.hears_nothing().await;
    }
}
