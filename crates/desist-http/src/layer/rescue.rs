//! Handlers that go on without their clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use desist::{Source, Token};
use http::Response;
use http_body::Body;
use tokio::runtime::Handle;

use crate::connection::Running;
use crate::outcome::{self, Outcome};
use crate::policy::Policy;

/// How many there are, and may be.
#[derive(Clone)]
pub(super) struct Rescues {
    most: usize,
    now: Arc<AtomicUsize>,
    /// Nobody is let go on any more.
    abort: Token,
}

struct Rescued(Arc<AtomicUsize>);

impl Rescues {
    pub(super) fn at_most(most: usize) -> Self {
        Self { most, now: Arc::default(), abort: Token::never() }
    }

    #[cfg(feature = "axum")]
    pub(super) fn aborted_by(self, abort: Token) -> Self {
        Self { abort, ..self }
    }

    fn one_more(&self) -> Option<Rescued> {
        // Ordering: it only counts.
        let before = self.now.fetch_add(1, Ordering::Relaxed);
        let rescued = Rescued(Arc::clone(&self.now));
        (before < self.most).then_some(rescued)
    }

    /// The handler is dropped by whoever polled it: it ends here, or goes on.
    pub(super) fn left<F, B, E>(&self, work: Pin<Box<F>>, running: Running, runtime: Option<Handle>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body + Send + 'static,
        E: Send + 'static,
    {
        let request = &running.request;
        if self.abort.is_cancelled() {
            return end(work, &running);
        }
        let grace = match request.policy() {
            Policy::Cooperate { grace } if request.is_taken() => Some(grace),
            Policy::Detach => None,
            _ => return end(work, &running),
        };
        // Told first: whatever it does from now on it does as one that was told.
        request.disconnected();
        let (Some(rescued), Some(runtime)) = (self.one_more(), runtime) else {
            outcome::abandoned("too many");
            return end(work, &running);
        };
        running.set_rescued();
        outcome::rescued();
        let abort = self.abort.clone();
        runtime.spawn(go_on(work, running, grace, abort, rescued));
    }
}

impl Drop for Rescued {
    fn drop(&mut self) {
        // Ordering: as above.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Its token is cancelled before it is dropped.
fn end<F>(work: Pin<Box<F>>, running: &Running) {
    running.request.source().cancel_with(desist::Reason::Disconnected);
    drop(work);
    outcome::ended(&running.request, Outcome::of_stop(&running.request));
}

async fn go_on<F, B, E>(
    work: Pin<Box<F>>,
    running: Running,
    grace: Option<Duration>,
    abort: Token,
    _one: Rescued,
) where
    F: Future<Output = Result<Response<B>, E>>,
{
    let limit = grace.map_or_else(Token::never, |grace| Source::with_timeout(grace).token());
    let limit = Token::any([&limit, &abort]);
    let ended = limit.run_owned(work).await;
    let request = &running.request;
    let outcome = match &ended {
        Ok(Ok(_)) if request.token().is_cancelled() => Outcome::of_stop(request),
        // It was not told, and went to its end.
        Ok(Ok(response)) => Outcome::of(request, response.status(), false),
        Ok(Err(_)) => Outcome::of_stop(request),
        Err(_) => {
            outcome::abandoned("grace over");
            Outcome::of_stop(request)
        }
    };
    drop(ended);
    outcome::ended(request, outcome);
}
