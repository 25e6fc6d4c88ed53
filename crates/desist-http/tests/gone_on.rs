//! Handlers that go on without their clients, and those that cannot, as they are counted.
#![cfg(all(feature = "axum", feature = "metrics"))]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use common::{PATIENCE, Probe, Said, Server, Sums, WHILE};
use desist::Reason;
use desist_http::{Policy, RequestLayer, RequestToken};
use desist_tokio::Stop;
use tokio::sync::Notify;
use tower_layer::Layer;
use tower_service::Service;

/// Two that heed their tokens: for one there is no room, for the other no runtime.
#[test]
fn handlers_that_cannot_go_on_are_counted_by_why() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let mut server = Server::start_with(|serve| serve.max_rescued(0)).await;
            let client = server.begins("/heeds").await;
            drop(client);
            server.hears(Said::Dropped).await;
        });
        let (app, mut said) = common::app();
        let mut app = RequestLayer::new(Stop::never()).layer(app);
        let request = http::Request::builder().uri("/heeds").body(axum::body::Body::empty());
        let mut answer = Box::pin(app.call(request.unwrap()));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        assert_eq!(said.try_recv(), Ok(Said::Begun));
        drop(answer);
        assert_eq!(said.try_recv(), Ok(Said::Dropped));
    });
    let counted = sums.all();
    assert_eq!(counted["desist_http_abandoned_total why=too_many"], 1.0, "{counted:?}");
    assert_eq!(counted["desist_http_abandoned_total why=no_runtime"], 1.0);
    assert!(!counted.contains_key("desist_http_rescued_total "), "{counted:?}");
}

/// It heeds its token, in theory, and its client is there.
#[test]
fn whoever_is_left_by_a_stop_is_counted_as_abandoned() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let short = std::time::Duration::from_millis(20);
            let set_up = |serve: common::TcpServe| serve.drain_for(short).grace(short);
            let mut server = Server::start_with(set_up).await;
            let _deaf = server.begins("/deaf").await;
            let _waits = server.begins("/waits").await;
            server.stop.drain();
            assert_eq!(server.ends().await.unwrap().running().len(), 2);
        });
    });
    let counted = sums.all();
    assert_eq!(counted["desist_http_abandoned_total why=server_gone"], 1.0, "{counted:?}");
    assert_eq!(counted["desist_http_requests_total outcome=cancelled reason=shutdown"], 2.0);
}

/// Waits until so many have gone on without their clients, of which there is no event.
async fn have_gone_on(sums: &Sums, number: f64) {
    let goes_on = async {
        while sums.of("desist_http_rescued_total ") != number {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, goes_on).await.expect("it goes on");
}

/// Whatever they were promised.
#[test]
fn handlers_that_go_on_end_with_their_server_and_are_counted() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let grace = std::time::Duration::from_secs(60);
            for (number, policy) in [(1.0, Policy::Detach), (2.0, Policy::Cooperate { grace })] {
                let set_up =
                    |serve: common::TcpServe| serve.policy(policy).drain_for(WHILE).grace(WHILE);
                let mut server = Server::start_with(set_up).await;
                let client = server.begins("/deaf").await;
                drop(client);
                have_gone_on(&sums, number).await;
                server.stop.drain();
                server.hears(Said::Dropped).await;
                let report = server.ends().await.unwrap();
                assert_eq!(report.running().len(), 1, "{report}");
            }
        });
    });
    let counted = sums.all();
    assert_eq!(counted["desist_http_abandoned_total why=server_gone"], 2.0, "{counted:?}");
}

/// Goes on until it is let go.
async fn is_held(State((probe, ends)): State<(Probe, Arc<Notify>)>) {
    let handler = probe.begin();
    ends.notified().await;
    handler.finish();
}

#[test]
fn a_detached_handler_that_comes_to_its_end_has_completed() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let ((probe, said), ends) = (Probe::new(), Arc::new(Notify::new()));
            let app = Router::new().route("/held", get(is_held));
            let app = app.with_state((probe, Arc::clone(&ends)));
            let mut server = Server::of(app, said, |serve| serve.policy(Policy::Detach)).await;
            let client = server.begins("/held").await;
            drop(client);
            have_gone_on(&sums, 1.0).await;
            ends.notify_one();
            server.hears(Said::Finished).await;
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    let counted = sums.all();
    let expected = [
        ("desist_http_requests_total outcome=completed reason=".into(), 1.0),
        ("desist_http_rescued_total ".into(), 1.0),
    ];
    assert_eq!(counted, BTreeMap::from(expected));
}

/// Reads its body only after it was told, and has more to do then.
async fn reads_late(State(probe): State<Probe>, token: RequestToken, body: axum::body::Body) {
    let handler = probe.begin();
    probe.say(Said::Told(token.cancelled().await.reason()));
    assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap().len(), 300_000);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    handler.finish();
}

/// First on its connection, and then, when hyper has found out, without.
#[test]
fn a_handler_that_reads_on_without_its_client_goes_on_once() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let (probe, said) = Probe::new();
            let app = Router::new().route("/late", axum::routing::post(reads_late));
            let mut server = Server::of(app.with_state(probe), said, |serve| serve).await;
            let mut client = server.connect().await;
            client.post("/late", 300_000, 300_000).await;
            server.hears(Said::Begun).await;
            drop(client);
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Finished).await;
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    let counted = sums.all();
    assert_eq!(counted["desist_http_rescued_total "], 1.0, "{counted:?}");
    assert_eq!(counted["desist_http_requests_total outcome=cancelled reason=disconnected"], 1.0);
}
