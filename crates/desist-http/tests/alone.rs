//! What panics in one request, or in the making of one app, spoils nothing for others.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::future::{IntoFuture, Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::routing::any;
use common::{Client, Probe, Said, Server, WHILE};
use desist_http::RequestToken;
use desist_tokio::StopSource;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower_service::Service;

async fn calls_back(State(probe): State<Probe>, token: RequestToken) {
    let handler = probe.begin();
    let _registered = token.on_cancel(|_| panic!("in a callback"));
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
