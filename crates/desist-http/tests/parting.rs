//! Clients that go where hyper does not find out: what becomes of their handlers is the
//! same as where it does.
#![cfg(feature = "axum")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use common::{Client, Handler, Probe, Said, Server, WHILE};
use desist::Reason;
use desist_http::{Policy, PolicyLayer, RequestToken};
use tokio::sync::Notify;

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

/// Says when it begins, and ends when it may.
async fn first(State((probe, ends)): State<(Probe, Arc<Notify>)>, _token: RequestToken) {
    let handler = probe.begin();
    ends.notified().await;
    handler.finish();
}

/// Says what it is told, reads nothing, and does not end.
async fn second(
    State((probe, _)): State<(Probe, Arc<Notify>)>,
    token: RequestToken,
    _request: Request,
) {
    let _handler = probe.begin();
    let why = token.cancelled().await;
    probe.say(Said::Told(why.reason()));
    std::future::pending().await
}

/// What waits behind a request begins when that has ended, though its client is gone; it
/// is told so, and has a grace of its own, which is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waited_behind_is_told_and_has_its_own_grace() {
    let long = Policy::Cooperate { grace: Duration::from_secs(60) };
    // With little room its going is known to the kernel alone.
    for (policy, room) in [(long, 1 << 20), (Policy::Detach, 1 << 20), (long, 1024)] {
        let (probe, said) = Probe::new();
        let ends = Arc::new(Notify::new());
        let app = Router::new()
            .route("/first", get(first).route_layer(PolicyLayer::new(policy)))
            .route("/second", post(second))
            .with_state((probe, Arc::clone(&ends)));
        let grace = Policy::Cooperate { grace: WHILE };
        let set_up = |serve: common::TcpServe| serve.policy(grace).read_ahead(room);
        let mut server = Server::of(app, said, set_up).await;
        let mut client = server.connect().await;
        client.get("/first").await;
        client.post("/second", 300_000, 300_000).await;
        server.hears(Said::Begun).await;
        drop(client);
        server.hears_nothing().await;
        ends.notify_one();
        server.hears(Said::Finished).await;
        server.hears(Said::Begun).await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        let begin = Instant::now();
        server.hears(Said::Dropped).await;
        // It began a moment before it was told.
        assert!(begin.elapsed() >= WHILE / 2);
        server.stop.drain();
        assert!(server.ends().await.unwrap().is_clean());
    }
}

/// An answer that says nothing, and who would speak in it.
struct Silent(Handler, RequestToken);

impl tokio_stream::Stream for Silent {
    type Item = Result<String, std::convert::Infallible>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Pending
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let told = self.1.reason().expect("its token was cancelled first");
        self.0.says(Said::Told(told));
    }
}

async fn answers_late(
    State((probe, ends)): State<(Probe, Arc<Notify>)>,
    token: RequestToken,
    request: Request,
) -> Body {
    let handler = probe.begin();
    ends.notified().await;
    drop(request);
    Body::from_stream(Silent(handler, token))
}

/// Whatever the policy: behind a body that nobody reads, or where hyper finds out.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_its_reader_has_gone_is_dropped() {
    for policy in [Policy::Detach, Policy::Cooperate { grace: Duration::from_secs(60) }] {
        for unread in [300_000, 0] {
            let (probe, said) = Probe::new();
            let ends = Arc::new(Notify::new());
            let app = Router::new().route("/", post(answers_late));
            let app = app.with_state((probe, Arc::clone(&ends)));
            let mut server = Server::of(app, said, |serve| serve.policy(policy)).await;
            let mut client = server.connect().await;
            client.post("/", unread, unread).await;
            server.hears(Said::Begun).await;
            drop(client);
            server.hears_nothing().await;
            ends.notify_one();
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Dropped).await;
        }
    }
}
