//! What panics in one request, or in the making of one app, spoils nothing for others.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::any;
use common::{Client, Http2, Probe, Said, Server, WHILE, frames};
use desist_http::RequestToken;
use desist_tokio::StopSource;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower_service::Service;

async fn calls_back(State(probe): State<Probe>, token: RequestToken) {
    // Before it is known to have begun: on a token that is cancelled it would panic in here.
    let _registered = token.on_cancel(|_| panic!("in a callback"));
    let handler = probe.begin();
    token.cancelled().await;
    handler.finish();
}

/// Has something to do when it is told.
async fn cleans_up(State(probe): State<Probe>, token: RequestToken) -> &'static str {
    let handler = probe.begin();
    token.cancelled().await;
    tokio::time::sleep(WHILE).await;
    handler.finish();
    "cleaned up"
}

/// The request to stop reaches all, whoever's callback panics, and each has its grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_panics_spoils_no_stop() {
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/calls", any(calls_back))
        .route("/cleans", any(cleans_up))
        .with_state(probe);
    let mut server = Server::of(app, said, |serve| serve.drain_for(WHILE)).await;
    let _first = server.begins("/calls").await;
    let mut second = server.begins("/cleans").await;
    server.stop.drain();
    server.hears_all([Said::Finished, Said::Finished]).await;
    second.reads("cleaned up").await;
    assert!(server.ends().await.expect("a report").is_clean());
}

/// Panics for the second connection, when it is asked whether it is ready, when it is
/// called, or later.
#[derive(Clone)]
struct Make {
    app: Router,
    panics: &'static str,
    asked: Arc<AtomicUsize>,
}

impl Make {
    fn panics(&self, what: &str) {
        assert!(self.panics != what || self.asked.load(SeqCst) != 2, "there is no app");
    }
}

struct Makes(Make, Ready<Result<Router, Infallible>>);

impl Future for Makes {
    type Output = Result<Router, Infallible>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.panics("later");
        std::pin::Pin::new(&mut self.1).poll(cx)
    }
}

impl<T> Service<T> for Make {
    type Response = Router;
    type Error = Infallible;
    type Future = Makes;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked.fetch_add(1, SeqCst);
        self.panics("ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: T) -> Makes {
        self.panics("called");
        Makes(self.clone(), ready(Ok(self.app.clone())))
    }
}

/// On axum nobody is served from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_make_service_that_panics_costs_one_connection() {
    for panics in ["ready", "called", "later"] {
        for ours in [true, false] {
            let (begun, ends) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&ends));
            let app = Router::new().route("/quick", any(|| async { "quick" })).route(
                "/waits",
                any(async move || {
                    begins.notify_one();
                    goes_on.notified().await;
                    "has waited"
                }),
            );
            let make = Make { app, panics, asked: Arc::default() };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let stop = StopSource::new();
            let serves = if ours {
                let serves = desist_http::serve(listener, make).until(stop.stop()).into_future();
                tokio::spawn(async move { assert!(serves.await.is_clean()) })
            } else {
                let serves = axum::serve(listener, make).into_future();
                tokio::spawn(async move { serves.await.unwrap() })
            };
            let mut first = Client::to(addr).await;
            first.get("/waits").await;
            begun.notified().await;
            assert_eq!(Client::to(addr).await.reads_to_the_end().await, "");
            if ours {
                let mut third = Client::to(addr).await;
                third.get("/quick").await;
                third.reads("quick").await;
            } else {
                assert!(serves.await.unwrap_err().is_panic());
                continue;
            }
            ends.notify_one();
            first.reads("has waited").await;
            stop.drain();
            serves.await.unwrap();
        }
    }
}

/// The connection is over, and no stop waits for it; its handler has its grace.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_panics_when_its_connection_ends_holds_no_stop_up() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/calls", any(calls_back)).with_state(probe);
    let minutes = WHILE * 400;
    let set_up = |serve: common::TcpServe| serve.drain_for(minutes).grace(minutes);
    let mut server = Server::of(app, said, set_up).await;
    let mut client = server.connect().await;
    client.send(frames::hello()).await;
    client.send(frames::get(1, "/calls")).await;
    server.hears(Said::Begun).await;
    // Data of no stream breaks the protocol: the server ends it.
    client.send(frames::frame(frames::DATA, 0, 0, b"x")).await;
    server.hears(Said::Finished).await;
    client.reads_to_the_end().await;
    server.stop.drain();
    assert!(server.ends().await.expect("a report").is_clean());
}

/// Panics where it is called, and not where it is polled.
async fn rewrites(ours: bool) {
    use tower::ServiceExt as _;
    let (begun, ends) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, goes_on) = (Arc::clone(&begun), Arc::clone(&ends));
    let waits = any(async move || {
        begins.notify_one();
        goes_on.notified().await;
    });
    let app = Router::new().route("/waits", waits).map_request(|request: Request| {
        assert!(request.uri().path() != "/panics", "in the rewriting");
        request
    });
    let make = axum::ServiceExt::<Request>::into_make_service(app);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    if ours {
        tokio::spawn(desist_http::serve(listener, make).into_future());
    } else {
        tokio::spawn(axum::serve(listener, make).into_future());
    }
    let mut connection = Http2::to(addr).await;
    let (waits, _) = connection.request("GET", "/waits", true);
    begun.notified().await;
    let (panics, _) = connection.request("GET", "/panics", true);
    assert!(panics.await.is_err());
    ends.notify_one();
    assert_eq!(waits.await.unwrap().status(), 200);
}

/// Here and on axum.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_panics_costs_its_stream() {
    for ours in [true, false] {
        rewrites(ours).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_panics_when_asked_for_the_connection_does_not_end_the_server() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let set_up = |serve: common::TcpServe| {
        serve.tcp_of(|stream| {
            assert!(ASKED.fetch_add(1, SeqCst) > 0, "where is it?");
            Some(stream)
        })
    };
    let server = Server::start_with(set_up).await;
    for _ in 0..2 {
        let mut client = server.connect().await;
        client.get("/quick").await;
        client.reads("quick").await;
    }
    assert!(ASKED.load(SeqCst) >= 2);
}
