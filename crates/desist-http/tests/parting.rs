//! Clients that go where hyper does not find out: what becomes of their handlers is the
//! same as where it does.
#![cfg(feature = "axum")]

mod common;

use std::time::{Duration, Instant};

use common::{Client, Said, Server, WHILE};
use desist::Reason;
use desist_http::Policy;

/// Behind a body that nobody reads, or with another request waiting.
async fn goes_unseen(server: &mut Server, path: &str, pipelined: bool) -> Client {
    let mut client = server.connect().await;
    if pipelined {
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        client.send(request.repeat(2)).await;
    } else {
        client.post(path, 300_000, 300_000).await;
    }
    server.hears(Said::Begun).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deaf_handler_has_its_grace_and_no_more() {
    for pipelined in [false, true] {
        let policy = Policy::Cooperate { grace: WHILE };
        let mut server = Server::start_with(|serve| serve.policy(policy)).await;
        let client = goes_unseen(&mut server, "/deaf", pipelined).await;
        let begin = Instant::now();
        drop(client);
        server.hears(Said::Dropped).await;
        assert!(begin.elapsed() >= WHILE);
        server.stop.drain();
        assert!(server.ends().await.unwrap().is_clean());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_took_no_token_or_is_to_be_dropped_is_dropped() {
    for pipelined in [false, true] {
        for (path, policy) in [("/waits", Policy::default()), ("/deaf", Policy::Drop)] {
            let mut server = Server::start_with(|serve| serve.policy(policy)).await;
            let client = goes_unseen(&mut server, path, pipelined).await;
            drop(client);
            server.hears(Said::Dropped).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_detached_goes_on_and_one_that_heeds_comes_to_its_end() {
    let mut server = Server::start_with(|serve| serve.policy(Policy::Detach)).await;
    let client = goes_unseen(&mut server, "/heeds", false).await;
    drop(client);
    server.hears_nothing().await;
    let mut server = Server::start().await;
    let client = goes_unseen(&mut server, "/heeds", true).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_go_on_than_may() {
    let policy = Policy::Cooperate { grace: Duration::from_secs(60) };
    let set_up = |serve: common::TcpServe| serve.policy(policy).max_rescued(1);
    let mut server = Server::start_with(set_up).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(goes_unseen(&mut server, "/deaf", false).await);
    }
    drop(clients);
    server.hears(Said::Dropped).await;
    server.hears(Said::Dropped).await;
    server.hears_nothing().await;
}
