//! One request after another on one connection: nothing of one is in the next.
#![cfg(feature = "axum")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use common::{Said, Server, WHILE};
use desist::Reason;
use desist_http::{Policy, PolicyLayer, RequestToken};
use tokio::sync::Notify;

const GRACE: Duration = Duration::from_secs(3);

/// Whoever keeps the token of a request that is over keeps that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_kept_is_not_that_of_the_next_request() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&kept);
    let (app, said) = common::app();
    let app = app.layer(from_fn(move |request: Request, next: Next| {
        keeps.lock().unwrap().push(RequestToken::peek(request.extensions()).unwrap());
        next.run(request)
    }));
    let mut server = Server::of(app, said, |serve| serve).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/quick").await;
        client.reads_another("quick").await;
    }
    client.get("/heeds").await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    let kept = kept.lock().unwrap();
    let told: Vec<_> = kept.iter().map(|token| token.reason()).collect();
    assert_eq!(told, [None, None, None, Some(Reason::Disconnected)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_so_of_one_is_not_so_of_the_next() {
    let (app, said) = common::app();
    let detached = get(|| async { "quick" }).route_layer(PolicyLayer::new(Policy::Detach));
    let takes = get(|_: RequestToken| async { "quick" });
    let app = Router::new().route("/detached", detached).route("/takes", takes).merge(app);
    let grace = Policy::Cooperate { grace: GRACE };
    let short = |serve: common::TcpServe| serve.policy(grace).drain_for(WHILE).grace(WHILE);
    let mut server = Server::of(app, said, short).await;
    // Its policy, and that it took its token: this one would go on.
    for before in ["/detached", "/takes"] {
        let mut client = server.connect().await;
        client.get(before).await;
        client.reads_another("quick").await;
        client.get("/waits").await;
        server.hears(Said::Begun).await;
        let begin = Instant::now();
        drop(client);
        server.hears(Said::Dropped).await;
        assert!(begin.elapsed() < GRACE, "it is dropped at once after {before}");
    }
    // That it has answered: this one would have no grace.
    let mut client = server.connect().await;
    client.get("/quick").await;
    client.reads_another("quick").await;
    client.post("/deaf", 300_000, 300_000).await;
    server.hears(Said::Begun).await;
    let begin = Instant::now();
    drop(client);
    server.hears(Said::Dropped).await;
    assert!(begin.elapsed() >= GRACE);
    // What it is called, and when it began.
    let mut client = server.connect().await;
    client.get(&format!("/detached?{}", "x".repeat(1000))).await;
    client.reads_another("quick").await;
    tokio::time::sleep(WHILE).await;
    client.post("/waits", 0, 0).await;
    server.hears(Said::Begun).await;
    let begin = Instant::now();
    server.stop.drain();
    let report = server.ends().await.unwrap();
    let [left] = report.running() else { panic!("{report}") };
    assert_eq!((left.method().as_str(), left.route()), ("POST", "/waits"));
    assert!(left.age() <= begin.elapsed() + WHILE / 2, "{report}");
}

/// Nobody has looked at it before it was over.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_a_request_that_is_over_does_not_stop_the_next() {
    let kept = Arc::new(Mutex::new(None));
    let keeps = Arc::clone(&kept);
    let (app, said) = common::app();
    let app = app.layer(from_fn(move |request: Request, next: Next| {
        *keeps.lock().unwrap() = RequestToken::peek(request.extensions()).ok();
        next.run(request)
    }));
    let mut server = Server::of(app, said, |serve| serve).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/quick").await;
        client.reads_another("quick").await;
        let token = kept.lock().unwrap().take().unwrap();
        token.source().cancel();
        assert!(token.is_cancelled());
    }
    client.get("/heeds").await;
    server.hears(Said::Begun).await;
    server.hears_nothing().await;
}

/// Of many on one connection, whose places are taken again and again.
#[tokio::test(flavor = "multi_thread")]
async fn those_beside_each_other_are_told_apart() {
    let policy = Policy::Cooperate { grace: Duration::from_secs(60) };
    let mut server = Server::start_with(|serve| serve.policy(policy)).await;
    let mut connection = common::Http2::to(server.addr).await;
    for _ in 0..20 {
        let (heeds, mut body) = connection.request("POST", "/heeds", false);
        server.hears(Said::Begun).await;
        let (quick, _) = connection.request("GET", "/quick", true);
        assert_eq!(quick.await.unwrap().status(), 200);
        body.send_reset(h2::Reason::CANCEL);
        drop(heeds);
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}

/// The address of a client, which lives as long as what is known of its connection.
#[derive(Debug, Clone)]
struct Lives(#[allow(dead_code)] Arc<()>);

struct Listens(tokio::net::TcpListener, Lives);

impl axum::serve::Listener for Listens {
    type Io = tokio::net::TcpStream;
    type Addr = Lives;

    async fn accept(&mut self) -> (Self::Io, Lives) {
        (self.0.accept().await.unwrap().0, self.1.clone())
    }

    fn local_addr(&self) -> std::io::Result<Lives> {
        Ok(self.1.clone())
    }
}

/// The last request of a connection is kept for the next, which does not come.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_the_next_request_keeps_no_connection() {
    let alive = Arc::new(());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = Listens(listener, Lives(Arc::clone(&alive)));
    let stop = desist_tokio::StopSource::new();
    let (begun, ends) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, may_end) = (Arc::clone(&begun), Arc::clone(&ends));
    let outlives = get(async move || {
        begins.notify_one();
        may_end.notified().await;
    });
    let outlives = outlives.route_layer(PolicyLayer::new(Policy::Detach));
    let app = Router::new().route("/quick", get(|| async { "quick" })).route("/outlives", outlives);
    let serves = desist_http::serve(listener, app).until(stop.stop());
    let serves = tokio::spawn(async move { serves.await });
    for _ in 0..10 {
        let mut client = common::Client::to(addr).await;
        client.get("/quick").await;
        client.reads("quick").await;
        drop(client);
        // This one ends when there is no connection any more.
        let mut client = common::Client::to(addr).await;
        client.get("/outlives").await;
        begun.notified().await;
        drop(client);
        tokio::time::sleep(Duration::from_millis(20)).await;
        ends.notify_one();
        let mut client = common::Http2::to(addr).await;
        let (answer, _) = client.request("GET", "/quick", true);
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    stop.drain();
    assert!(serves.await.unwrap().is_clean());
    let is_forgotten = async {
        // There is no event for the last step of another task.
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(common::PATIENCE, is_forgotten).await.expect("nothing is known of them");
}
