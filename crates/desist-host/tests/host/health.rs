//! `/livez` and `/readyz` over the life of a host.

use std::time::Duration;

use desist_host::{BoxError, Health, Host, Phase, Service, Stop};
use http::{Method, Request, StatusCode};
use tokio::time::sleep;
use tower_service::Service as _;

async fn ask(health: &Health, path: &str) -> (StatusCode, String) {
    let answer = health.clone().call(Request::get(path).body(()).unwrap()).await.unwrap();
    (answer.status(), answer.into_body().as_str().to_owned())
}

struct Slow;

impl Service for Slow {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        sleep(Duration::from_secs(3)).await;
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        stop.token().await;
        sleep(Duration::from_secs(3)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_from_the_last_start_to_the_request_to_stop_and_alive_always() {
    let host = Host::builder().drain_delay(Duration::from_secs(5));
    let (health, handle) = (host.health(), host.handle());
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let asks = async {
        sleep(Duration::from_secs(1)).await;
        let starting = "starting: waits for slow\n".to_owned();
        assert_eq!(ask(&health, "/readyz").await, (unavailable, starting));
        handle.reached(Phase::Running).await;
        assert_eq!(ask(&health, "/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
        handle.stop();
        // Before anybody is asked.
        handle.reached(Phase::Unready).await;
        assert_eq!(ask(&health, "/readyz").await, (unavailable, "unready\n".to_owned()));
        handle.reached(Phase::Stopping).await;
        let stopping = "stopping: waits for slow\n".to_owned();
        assert_eq!(ask(&health, "/readyz").await, (unavailable, stopping));
        assert_eq!(ask(&health, "/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    };
    let (report, ()) = tokio::join!(host.add("slow", Slow).run(), asks);
    assert!(report.is_clean(), "{report}");
    assert_eq!(ask(&health, "/readyz").await.0, unavailable);
}

#[tokio::test]
async fn what_is_not_asked_for_in_its_way_is_answered_with_advice() {
    let health = Host::builder().health();
    assert_eq!(ask(&health, "/").await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&health, "/internal/livez").await.0, StatusCode::OK, "it may be nested");
    let post = Request::builder().method(Method::POST).uri("/readyz").body(()).unwrap();
    let answer = health.clone().call(post).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    let head = Request::head("/livez").body(()).unwrap();
    let answer = health.clone().call(head).await.unwrap();
    assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::OK, ""));
}
