//! Make-services that do not make what they are asked for.

use std::convert::Infallible;
use std::future::{Pending, pending};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use desist_tokio::StopSource;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower_service::Service;

use crate::common::{Client, PATIENCE, WHILE};

/// A make-service that is not ready, or never done; it says when it is asked.
#[derive(Clone)]
struct Never {
    is_ready: bool,
    asked: Arc<Notify>,
}

impl<T> Service<T> for Never {
    type Response = Router;
    type Error = Infallible;
    type Future = Pending<Result<Router, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_ready {
            return Poll::Ready(Ok(()));
        }
        self.asked.notify_one();
        Poll::Pending
    }

    fn call(&mut self, _: T) -> Self::Future {
        self.asked.notify_one();
        pending()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_make_service_that_is_never_ready_holds_no_stop_up() {
    for ours in [false, true] {
        for is_ready in [false, true] {
            let asked = Arc::new(Notify::new());
            let make = Never { is_ready, asked: Arc::clone(&asked) };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let stop = StopSource::new();
            let draining = stop.stop().draining().clone();
            let mut serves = if ours {
                let serve = desist_http::serve(listener, make).until(stop.stop());
                let serve = serve.drain_for(WHILE).grace(WHILE);
                tokio::spawn(async move { _ = serve.await })
            } else {
                let serve = axum::serve(listener, make);
                let serve =
                    serve.with_graceful_shutdown(async move { _ = draining.cancelled().await });
                tokio::spawn(async move { serve.await.unwrap() })
            };
            let client = Client::to(addr).await;
            tokio::time::timeout(PATIENCE, asked.notified()).await.expect("it is asked");
            stop.drain();
            if ours {
                let ended = tokio::time::timeout(PATIENCE, &mut serves).await;
                ended.expect("the server ends").unwrap();
            } else {
                // On axum it does so for ever.
                assert!(tokio::time::timeout(WHILE * 2, &mut serves).await.is_err());
                serves.abort();
            }
            drop(client);
        }
    }
}
