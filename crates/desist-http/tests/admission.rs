//! How many handlers run at once, over real sockets.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::any;
use common::{Http2, PATIENCE, Probe, Said, Server, WHILE, in_time, until};
use desist::Reason;
use desist_http::{AdmissionLayer, Deadlines, Policy, RequestLayer, RequestToken};
use http::{Request, Response};
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer, Service, ServiceExt};

/// Goes on until it may end.
async fn held(State((probe, ends)): State<(Probe, Arc<Semaphore>)>) -> &'static str {
    let handler = probe.begin();
    ends.acquire().await.unwrap().forget();
    handler.finish();
    "held"
}

/// A server whose handlers end as often as permits are added.
async fn start(limit: &AdmissionLayer) -> (Server, Arc<Semaphore>) {
    let (probe, said) = Probe::new();
    let ends = Arc::new(Semaphore::new(0));
    let app = Router::new().route("/", any(held)).with_state((probe, Arc::clone(&ends)));
    let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    let app = app.layer(limit.clone());
    (Server::of(app, said, |serve| serve.deadlines(deadlines)).await, ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_is_told_at_once_and_a_place_is_given_back() {
    let limit = AdmissionLayer::at_most(2);
    let (mut server, ends) = start(&limit).await;
    let mut first = server.begins("/").await;
    let mut second = server.begins("/").await;
    assert_eq!((limit.running(), limit.waiting()), (2, 0));
    let mut third = server.connect().await;
    third.get("/").await;
    third.reads("503 Service Unavailable").await;
    third.reads("retry-after: 1").await;
    third.reads("cancelled: overload").await;
    ends.add_permits(2);
    server.hears_all([Said::Finished, Said::Finished]).await;
    for client in [&mut first, &mut second] {
        client.reads("held").await;
        client.get("/").await;
        server.hears(Said::Begun).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_wait_come_in_order_and_leave_when_they_are_stopped() {
    let limit = AdmissionLayer::at_most(1).queue(3);
    let (mut server, ends) = start(&limit).await;
    let mut first = server.begins("/").await;
    let mut waiting = Vec::new();
    for waits in 1..=3 {
        let mut client = server.connect().await;
        // The last one has a time, and the first will go.
        let time = if waits == 3 { "x-request-timeout-ms: 2000\r\n" } else { "" };
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{time}\r\n")).await;
        waiting.push(client);
        until(|| limit.waiting() == waits).await;
    }
    let mut refused = server.connect().await;
    refused.get("/").await;
    refused.reads("503 Service Unavailable").await;
    waiting[2].reads("504 Gateway Timeout").await;
    assert_eq!(limit.waiting(), 2);
    drop(waiting.remove(0));
    until(|| limit.waiting() == 1).await;
    server.hears_nothing().await;
    ends.add_permits(1);
    first.reads("held").await;
    server.hears_all([Said::Finished, Said::Begun]).await;
    ends.add_permits(1);
    waiting[0].reads("held").await;
    server.hears(Said::Finished).await;
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
    assert_eq!((limit.running(), limit.waiting()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_no_more_than_its_own_and_others_have_theirs() {
    let limit = AdmissionLayer::at_most(10).per_connection(1).queue(10);
    let (mut server, ends) = start(&limit).await;
    let mut connection = Http2::to(server.addr).await;
    let (held, _) = connection.request("GET", "/", true);
    server.hears(Said::Begun).await;
    let (answer, _) = connection.request("GET", "/", true);
    assert_eq!(in_time(answer).await.unwrap().status(), 503);
    let _other = server.begins("/").await;
    ends.add_permits(2);
    server.hears_all([Said::Finished, Said::Finished]).await;
    // Its place is free by the time that it is answered.
    assert_eq!(in_time(held).await.unwrap().status(), 200);
    let (_held, _) = connection.request("GET", "/", true);
    server.hears(Said::Begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clones_have_places_and_queue_in_common() {
    let limit = AdmissionLayer::at_most(1);
    // Whichever of them it is set on.
    let queued = limit.clone().queue(1);
    let (mut server, ends) = start(&limit).await;
    let _held = server.begins("/").await;
    let mut waits = server.connect().await;
    waits.get("/").await;
    until(|| queued.waiting() == 1).await;
    assert_eq!((queued.running(), limit.waiting()), (1, 1));
    ends.add_permits(2);
    waits.reads("held").await;
    server.hears_all([Said::Finished, Said::Begun, Said::Finished]).await;
    let unbounded = AdmissionLayer::at_most(usize::MAX);
    assert_eq!(unbounded.running(), 0);
}

/// Around one another, and on two routes.
#[tokio::test(flavor = "multi_thread")]
async fn each_layer_counts_the_handlers_of_a_connection_for_itself() {
    let (probe, said) = Probe::new();
    let ends = Arc::new(Semaphore::new(0));
    let one = || AdmissionLayer::at_most(10).per_connection(1);
    let around = AdmissionLayer::at_most(10).per_connection(3);
    let app = Router::new()
        .route("/a", any(held).layer(one()))
        .route("/b", any(held).layer(one()))
        .route("/c", any(held))
        .with_state((probe, Arc::clone(&ends)))
        .layer(around.clone());
    let mut server = Server::of(app, said, |serve| serve).await;
    let mut connection = Http2::to(server.addr).await;
    for path in ["/a", "/b", "/c"] {
        let (answer, _) = connection.request("GET", path, true);
        server.hears(Said::Begun).await;
        ends.add_permits(1);
        server.hears(Said::Finished).await;
        assert_eq!(in_time(answer).await.unwrap().status(), 200);
    }
    // What it has had before does not count.
    let mut held = Vec::new();
    for path in ["/a", "/b", "/c"] {
        held.push(connection.request("GET", path, true));
        server.hears(Said::Begun).await;
        let (answer, _) = connection.request("GET", path, true);
        assert_eq!(in_time(answer).await.unwrap().status(), 503, "{path}");
    }
    assert_eq!(around.running(), 3);
}

/// Runs on whatever happens, and is counted.
async fn deaf(State(counts): State<Arc<Counts>>, token: RequestToken) {
    let running = counts.running.fetch_add(1, SeqCst) + 1;
    counts.most.fetch_max(running, SeqCst);
    counts.begins.send(()).unwrap();
    let _running = Running(Arc::clone(&counts));
    token.cancelled().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}

struct Counts {
    running: AtomicUsize,
    most: AtomicUsize,
    begins: mpsc::UnboundedSender<()>,
}

struct Running(Arc<Counts>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

/// A client that opens and resets, over and over; without a limit it has all of them run.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_resets_in_a_loop_has_no_more_running_than_may() {
    const RESETS: usize = 500;
    for limited in [true, false] {
        let (begins, mut begun) = mpsc::unbounded_channel();
        let counts = Counts { running: AtomicUsize::new(0), most: AtomicUsize::new(0), begins };
        let counts = Arc::new(counts);
        let mut app = Router::new().route("/", any(deaf)).with_state(Arc::clone(&counts));
        if limited {
            app = app.layer(AdmissionLayer::at_most(10));
        }
        let (_nobody, said) = mpsc::unbounded_channel();
        let policy = Policy::Cooperate { grace: PATIENCE };
        let server = Server::of(app, said, |serve| serve.policy(policy)).await;
        let mut refused = 0;
        for _ in 0..RESETS / 10 {
            // A connection with too many resets is closed by h2 by itself.
            let mut connection = Http2::to(server.addr).await;
            for _ in 0..10 {
                let (answer, mut body) = connection.request("POST", "/", false);
                tokio::select! {
                    answer = in_time(answer) => {
                        assert_eq!(answer.unwrap().status(), 503);
                        refused += 1;
                    }
                    _ = begun.recv() => body.send_reset(h2::Reason::CANCEL),
                }
            }
        }
        let most = counts.most.load(SeqCst);
        if limited {
            assert_eq!((most, refused), (10, RESETS - 10));
        } else {
            assert_eq!((most, refused), (RESETS, 0), "nobody was to stop them");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_its_client_keeps_its_place() {
    let limit = AdmissionLayer::at_most(1);
    let (app, said) = common::app();
    let policy = Policy::Cooperate { grace: WHILE };
    let mut server = Server::of(app.layer(limit.clone()), said, |serve| serve.policy(policy)).await;
    drop(server.begins("/deaf").await);
    let mut client = server.connect().await;
    client.get("/quick").await;
    client.reads_another("503 Service Unavailable").await;
    assert_eq!(limit.running(), 1);
    server.hears(Said::Dropped).await;
    until(|| limit.running() == 0).await;
    let mut client = server.connect().await;
    client.get("/heeds").await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_waited_is_one_of_its_connection() {
    let limit = AdmissionLayer::at_most(2).per_connection(1).queue(10);
    let (mut server, ends) = start(&limit).await;
    let _first = server.begins("/").await;
    let _second = server.begins("/").await;
    let mut connection = Http2::to(server.addr).await;
    let _waits = connection.request("GET", "/", true);
    until(|| limit.waiting() == 1).await;
    ends.add_permits(1);
    server.hears_all([Said::Finished, Said::Begun]).await;
    let (answer, _) = connection.request("GET", "/", true);
    assert_eq!(in_time(answer).await.unwrap().status(), 503);
}

/// Calls that are made of whichever is ready, and of no other.
struct Ready {
    is_ready: bool,
    ends: Arc<Semaphore>,
}

impl Clone for Ready {
    fn clone(&self) -> Self {
        Self { is_ready: false, ends: Arc::clone(&self.ends) }
    }
}

impl Service<Request<()>> for Ready {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it is called without having been ready");
        let ends = Arc::clone(&self.ends);
        Box::pin(async move {
            ends.acquire().await.unwrap().forget();
            Ok(Response::new(Body::empty()))
        })
    }
}

/// As under another server, which knows of no connections.
#[tokio::test]
async fn a_layer_under_any_server_counts_all_and_calls_what_is_ready() {
    let ends = Arc::new(Semaphore::new(0));
    let service = Ready { is_ready: false, ends: Arc::clone(&ends) };
    let limit = AdmissionLayer::at_most(2).per_connection(1).queue(1);
    let layer = RequestLayer::new(desist_tokio::Stop::never());
    let app = layer.layer(limit.layer(service));
    let calls = || tokio::spawn(app.clone().oneshot(Request::new(())));
    let mut running = Vec::new();
    for runs in [(1, 0), (2, 0), (2, 1)] {
        running.push(calls());
        until(|| (limit.running(), limit.waiting()) == runs).await;
    }
    let refused = in_time(calls()).await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    ends.add_permits(3);
    for runs in running {
        assert_eq!(in_time(runs).await.unwrap().unwrap().status(), 200);
    }
}
