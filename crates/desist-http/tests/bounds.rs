//! Whatever a client does or leaves undone: a server's bounds hold.
#![cfg(feature = "axum")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::routing::any;
use common::{Client, HANDSHAKE, Http2, PATIENCE, PREFACE, Probe, Said, Server, WHILE, app};
use desist::Reason;
use desist_http::RequestToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;

/// `SETTINGS` without any.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn sockets(set_up: impl FnOnce(common::TcpServe) -> common::TcpServe) -> Server {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/quick", any(|| async { "quick" })).route(
        "/socket",
        any(move |token: RequestToken, upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(async move |mut socket| {
                let handler = probe.begin();
                // It heeds no token, which it has.
                while let Some(Ok(_)) = socket.recv().await {}
                drop(token);
                handler.finish();
            })
        }),
    );
    Server::of(app, said, set_up).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_has_its_place_among_connections_until_it_ends() {
    let mut server = sockets(|serve| serve.max_connections(1)).await;
    let mut socket = server.connect().await;
    socket.send(HANDSHAKE).await;
    server.hears(Said::Begun).await;
    let mut other = server.connect().await;
    other.get("/quick").await;
    let answered = tokio::time::timeout(WHILE, other.stream.readable()).await;
    assert!(answered.is_err(), "a second one is served");
    drop(socket);
    server.hears(Said::Finished).await;
    other.reads("quick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_heeds_nothing_ends_with_its_server() {
    let mut server = sockets(|serve| serve.drain_for(WHILE).grace(WHILE)).await;
    let mut client = server.connect().await;
    client.send(HANDSHAKE).await;
    server.hears(Said::Begun).await;
    server.stop.drain();
    // Named, and then its stream fails.
    server.hears(Said::Finished).await;
    let report = server.ends().await.unwrap();
    assert_eq!(report.running().len(), 1, "{report}");
    client.reads_to_the_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_waits_to_write_ends_with_its_server() {
    let (probe, said) = Probe::new();
    let app = Router::new().route(
        "/socket",
        any(async move |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async move |mut socket| {
                let handler = probe.begin();
                let sent = socket.send(Message::binary(vec![b'x'; 30_000_000])).await;
                sent.expect_err("nobody reads it");
                handler.finish();
            })
        }),
    );
    let set_up = |serve: common::TcpServe| serve.drain_for(WHILE).grace(WHILE);
    let mut server = Server::of(app, said, set_up).await;
    let mut client = Client::with_little_room(server.addr).await;
    client.send(HANDSHAKE).await;
    server.hears(Said::Begun).await;
    server.stop.drain();
    server.hears(Said::Finished).await;
    let report = server.ends().await.unwrap();
    assert_eq!(report.running().len(), 1, "{report}");
}

/// It holds nobody up until the bounds are reached, nor makes them look overrun.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_more_is_left_when_a_server_drains() {
    let minutes = Duration::from_secs(120);
    let frames = [PREFACE, &SETTINGS].concat();
    // The beginning of a `HEADERS`, of which the rest does not come.
    let half_a_frame = [&frames[..], &[0, 0, 50, 1, 5, 0, 0, 0, 1, 0x82]].concat();
    let nothing = Vec::new();
    let half_a_head = b"GET /quick HTTP/1.1\r\nhost: te".to_vec();
    for said in [nothing, half_a_head, PREFACE.to_vec(), frames, half_a_frame] {
        let set_up = |serve: common::TcpServe| serve.drain_for(minutes).grace(minutes);
        let server = Server::start_with(set_up).await;
        let mut client = server.connect().await;
        client.send(&said).await;
        // So that it is there.
        let mut other = server.connect().await;
        other.get("/quick").await;
        other.reads("quick").await;
        let begin = Instant::now();
        server.stop.drain();
        let report = server.ends().await.unwrap();
        assert!(report.is_clean() && report.asked().is_none(), "{said:?}: {report}");
        assert!(begin.elapsed() < PATIENCE, "{said:?}");
    }
}

/// An answer that is on its way when the server drains arrives, however slowly.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_yet_is_waited_for() {
    let (_probe, said) = Probe::new();
    let large = || async { Body::from(vec![b'x'; 30_000_000]) };
    let app = Router::new().route("/large", any(large));
    let minutes = Duration::from_secs(120);
    let set_up = |serve: common::TcpServe| serve.drain_for(minutes).head_timeout(WHILE);
    let server = Server::of(app, said, set_up).await;
    let mut client = server.connect().await;
    client.get("/large").await;
    client.reads("xxxx").await;
    // Nor is it cut off for half a head that comes meanwhile.
    client.send("\r\nGET").await;
    server.stop.drain();
    // Longer than those are waited for that say nothing.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(!server.has_ended());
    let read = client.reads_to_the_end().await;
    let (_, body) = read.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), 30_000_000);
    assert!(server.ends().await.unwrap().is_clean());
}

/// What is read on in a task, when its request has been answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_read_for_longer_than_a_head_after_its_answer() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let accepts = async move |request: axum::extract::Request| {
        let tell = tell.lock().unwrap().take().expect("it is asked once");
        tokio::spawn(async move {
            let (mut pieces, mut read) = (request.into_body().into_data_stream(), 0);
            // hyper does not say that it was the last, after the answer.
            while read < 4 {
                read += pieces.next().await.expect("there is more").expect("it comes").len();
            }
            tell.send(read).unwrap();
        });
        "accepted"
    };
    let (_probe, said) = Probe::new();
    let app = Router::new().route("/accepts", any(accepts));
    let server = Server::of(app, said, |serve| serve.head_timeout(WHILE)).await;
    let mut client = server.connect().await;
    client.post("/accepts", 4, 1).await;
    client.reads("accepted").await;
    for _ in 0..3 {
        tokio::time::sleep(WHILE).await;
        client.send("x").await;
    }
    let read = tokio::time::timeout(PATIENCE, told).await.expect("it is read to its end");
    assert_eq!(read.unwrap(), 4);
}

/// Whatever the reason is, to its clients it is that the server stops.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cancelled_says_that_it_stops() {
    let mut server = Server::start().await;
    let mut client = server.begins("/heeds").await;
    server.stop.cancel_with("the operator pressed Stop");
    server.hears(Said::Told(Reason::Shutdown)).await;
    client.reads("503 Service Unavailable").await;
    client.reads("retry-after: 1").await;
    let report = server.ends().await.unwrap();
    let why = report.asked().unwrap();
    assert_eq!(why.reason(), Reason::Shutdown);
    let detail = desist::find_cancelled(why.detail().unwrap()).unwrap();
    assert_eq!(detail.reason(), Reason::Requested);
}

/// The time for a first request is the same, whatever is spoken, and in whatever pieces.
#[tokio::test(flavor = "multi_thread")]
async fn on_http2_too_a_first_request_has_its_time_and_others_have_not() {
    let server = Server::start_with(|serve| serve.head_timeout(WHILE)).await;
    let whole = [PREFACE, &SETTINGS].concat();
    for said in [b"PRI".to_vec(), PREFACE.to_vec(), whole] {
        let mut client = server.connect().await;
        client.send(&said).await;
        client.reads_to_the_end().await;
    }
    let mut client = server.connect().await;
    // The preface in two pieces; a request by hand, of the names that have numbers.
    let request = [0x82, 0x86, 0x04, 6, b'/', b'q', b'u', b'i', b'c', b'k', 0x41, 1, b't'];
    let length = u8::try_from(request.len()).unwrap();
    client.send(&PREFACE[..2]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send(&PREFACE[2..]).await;
    client.send(SETTINGS).await;
    client.send([&[0, 0, length, 1, 5, 0, 0, 0, 1][..], &request].concat()).await;
    client.reads("quick").await;
    // It says something that is no request, and is left alone.
    client.send([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).await;
    let idle = tokio::time::timeout(WHILE * 3, async {
        let mut byte = [0; 1];
        while client.stream.read(&mut byte).await.unwrap() > 0 {}
    });
    assert!(idle.await.is_err(), "it is sent away");
    client.stream.shutdown().await.unwrap();
    // Nor does a client that knows how to speak it have to hurry.
    let mut client = Http2::to(server.addr).await;
    let (answer, _) = client.request("GET", "/quick", true);
    assert_eq!(answer.await.unwrap().status(), 200);
    tokio::time::sleep(WHILE * 2).await;
    let (answer, _) = client.request("GET", "/quick", true);
    assert_eq!(answer.await.unwrap().status(), 200);
}

/// hyper reads nothing while one request runs and another waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_that_was_read_ahead_is_waited_for_no_longer() {
    let (app, said) = app();
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let goes_on = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&goes_on);
    let waits = async move || {
        begins.send(()).unwrap();
        waits.notified().await;
        "it went on"
    };
    let app = app.route("/waits-for-us", any(waits));
    let server = Server::of(app, said, |serve| serve.head_timeout(WHILE)).await;
    let mut client = server.connect().await;
    let request = |path| format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    client.send(request("/waits-for-us") + &request("/quick")).await;
    begun.recv().await.unwrap();
    client.send("GET /quick HT").await;
    // Its time begins when its turn comes.
    tokio::time::sleep(WHILE * 2).await;
    goes_on.notify_one();
    let read = client.reads_to_the_end().await;
    assert!(read.contains("it went on") && read.ends_with("quick"), "{read}");
}
