//! A handler that panics is over: it is no handler without a client.
#![cfg(all(feature = "axum", feature = "metrics"))]

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::Response;
use desist_http::{Policy, RequestToken};

/// Panics when it is polled for the first time; unlike an `async` block it would go on if
/// it were polled again.
struct Panics {
    polls: Arc<AtomicUsize>,
    _token: RequestToken,
}

impl Future for Panics {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.polls.fetch_add(1, SeqCst) > 0, "in the middle of the handler");
        Poll::Ready(Ok(Response::default()))
    }
}

#[test]
fn a_handler_that_panics_is_not_polled_again() {
    for policy in [Policy::default(), Policy::Detach] {
        for is_http2 in [false, true] {
            let counters = common::Sums::default();
            let polls = Arc::new(AtomicUsize::new(0));
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            metrics::with_local_recorder(&counters, || {
                runtime.block_on(panics(policy, is_http2, &polls));
            });
            assert_eq!(polls.load(SeqCst), 1);
            let counted = counters.all();
            assert_eq!(
                counted,
                BTreeMap::from([("desist_http_requests_total outcome=failed reason=".into(), 1.0)])
            );
        }
    }
}

async fn panics(policy: Policy, is_http2: bool, polls: &Arc<AtomicUsize>) {
    let polls = Arc::clone(polls);
    let app = tower::make::Shared::new(tower::service_fn(move |request: Request| Panics {
        polls: Arc::clone(&polls),
        _token: RequestToken::of(request.extensions()).unwrap(),
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = desist_tokio::StopSource::new();
    let serves = desist_http::serve(listener, app).policy(policy).until(stop.stop());
    let serves = tokio::spawn(serves.into_future());
    if is_http2 {
        let mut connection = common::Http2::to(addr).await;
        let (answer, _) = connection.request("GET", "/", true);
        assert!(answer.await.is_err());
    } else {
        let mut client = common::Client::to(addr).await;
        client.get("/").await;
        assert_eq!(client.reads_to_the_end().await, "");
    }
    // Whoever went on would be waited for.
    stop.drain();
    assert!(serves.await.unwrap().is_clean());
}
