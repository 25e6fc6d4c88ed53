//! Mediators, driven by hand or in a test's runtime, on time that is moved by hand.

mod around;
mod building;
mod errors;
mod exchanges;
#[cfg(feature = "tower")]
mod layers;
mod telling;
mod timeouts;
mod tokens;
mod traits;

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What happened, in its order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn said(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Says so when it is dropped.
struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

/// Polls it once; nobody is woken.
fn poll<F: Future>(future: &mut Pin<&mut F>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// What it is at its first poll, which must be its end.
#[track_caller]
fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match poll(&mut future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is not ready at once"),
    }
}

/// Its end, which is bound to come; where it is not, the test fails and does not hang.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it does not end")
}

/// The texts of an error and all its causes.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts
}
