//! HTTP/2: streams that are reset, connections that go.

use std::time::Duration;

use bytes::Bytes;
use desist::Reason;

use crate::common::{Http2, Said, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_tells_its_handler_and_no_other() {
    let mut server = Server::start().await;
    let mut connection = Http2::to(server.addr).await;
    let (_answer, mut body) = connection.request("POST", "/heeds", false);
    server.hears(Said::Begun).await;
    let (other, _) = connection.request("GET", "/quick", true);
    body.send_reset(h2::Reason::CANCEL);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    assert_eq!(other.await.unwrap().status(), 200);
    // On axum it is dropped.
    let mut server = Server::of_axum().await;
    let mut connection = Http2::to(server.addr).await;
    let (_answer, mut body) = connection.request("POST", "/waits", false);
    server.hears(Said::Begun).await;
    body.send_reset(h2::Reason::CANCEL);
    server.hears(Said::Dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_tells_all_of_its_handlers() {
    let mut server = Server::start().await;
    let mut connection = Http2::to(server.addr).await;
    let _first = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    let _second = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    connection.goes().await;
    let told = Said::Told(Reason::Disconnected);
    server.hears_all([told, told, Said::Finished, Said::Finished]).await;
    // On axum they are dropped.
    let mut server = Server::of_axum().await;
    let mut connection = Http2::to(server.addr).await;
    let _first = connection.request("GET", "/waits", true);
    server.hears(Said::Begun).await;
    let _second = connection.request("GET", "/waits", true);
    server.hears(Said::Begun).await;
    connection.goes().await;
    server.hears_all([Said::Dropped, Said::Dropped]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_behind_a_body_that_nobody_reads_is_noticed() {
    for (mut server, path) in
        [(Server::start().await, "/heeds"), (Server::of_axum().await, "/waits")]
    {
        let mut connection = Http2::to(server.addr).await;
        let (_answer, mut body) = connection.request("POST", path, false);
        body.reserve_capacity(300_000);
        body.send_data(Bytes::from(vec![b'x'; 300_000]), true).unwrap();
        server.hears(Said::Begun).await;
        body.send_reset(h2::Reason::CANCEL);
        if path == "/heeds" {
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Finished).await;
        } else {
            // On axum it is dropped.
            server.hears(Said::Dropped).await;
        }
    }
}

/// Streams of one connection, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_after_a_stream_that_was_reset() {
    for (mut server, path) in
        [(Server::start().await, "/heeds"), (Server::of_axum().await, "/waits")]
    {
        let mut connection = Http2::to(server.addr).await;
        for _ in 0..3 {
            let (answer, _) = connection.request("GET", path, true);
            server.hears(Said::Begun).await;
            // Whoever drops an answer resets its stream.
            drop(answer);
            if path == "/heeds" {
                server.hears(Said::Told(Reason::Disconnected)).await;
                server.hears(Said::Finished).await;
            } else {
                server.hears(Said::Dropped).await;
            }
            let (answer, _) = connection.request("GET", "/quick", true);
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    }
}

/// It says that it takes no more, what runs goes on, and the next request is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_says_goodbye() {
    let mut server = Server::start().await;
    let mut connection = Http2::to(server.addr).await;
    let (answer, _) = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    server.stop.drain();
    let error = connection.is_refused().await;
    assert!(error.is_go_away() && error.is_remote(), "{error}");
    assert_eq!(error.reason(), Some(h2::Reason::NO_ERROR));
    let request = http::Request::get("http://test/heeds").body(()).unwrap();
    assert!(connection.requests.send_request(request, true).unwrap_err().is_go_away());
    server.hears_nothing().await;
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    server.hears(Said::Finished).await;
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["retry-after"].as_bytes()),
        (http::StatusCode::SERVICE_UNAVAILABLE, &b"1"[..])
    );
    assert!(server.ends().await.unwrap().is_clean());
    connection.drives.await.unwrap().unwrap();
    // On axum as well, but nobody asks the one that runs to stop.
    let mut server = Server::of_axum().await;
    let mut connection = Http2::to(server.addr).await;
    let _running = connection.request("GET", "/waits", true);
    server.hears(Said::Begun).await;
    server.stop.drain();
    assert!(connection.is_refused().await.is_go_away());
    server.does_not_end().await;
}

/// A ping needs a moment to come back, whatever is set.
#[tokio::test(flavor = "multi_thread")]
async fn no_time_to_keep_alive_is_a_short_one() {
    let zero = Some(Duration::ZERO);
    let mut server = Server::start_with(|serve| serve.tcp_keepalive(zero)).await;
    let mut connection = Http2::to(server.addr).await;
    let (answer, mut body) = connection.request("POST", "/reads", false);
    server.hears(Said::Begun).await;
    server.hears_nothing().await;
    body.send_data("12345".into(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    server.hears(Said::Finished).await;
}
