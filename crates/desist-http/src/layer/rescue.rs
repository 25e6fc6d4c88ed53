//! Handlers that go on without their clients.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use desist::{Reason, Token, WhenCancelled};
use http::Response;
use tokio::runtime::Handle;

use crate::connection::Running;
use crate::outcome::{self, Outcome};
use crate::policy::Policy;
use crate::request::{Request, Until};

/// How many there are, and may be.
#[derive(Clone)]
pub(crate) struct Rescues {
    most: usize,
    now: Arc<AtomicUsize>,
    /// Nobody is let go on any more.
    abort: Token,
}

/// One of them, until this is dropped.
pub(crate) struct Rescued(Arc<AtomicUsize>);

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

    /// For so long, or why not.
    fn may_go_on(
        &self,
        request: &Request,
        grace: Option<Duration>,
        runtime: Option<Handle>,
    ) -> Result<(Handle, Until), &'static str> {
        if self.abort.is_cancelled() {
            return Err("server_gone");
        }
        // Told first: whatever it does from now on it does as one that was told.
        request.disconnected();
        let runtime = runtime.ok_or("no_runtime")?;
        let until = self.go_on(request, grace).ok_or("too_many")?;
        if until.is_over() { Err("grace_over") } else { Ok((runtime, until)) }
    }

    /// It takes a place, if it has none and there is one.
    pub(crate) fn go_on(&self, request: &Request, grace: Option<Duration>) -> Option<Until> {
        request.goes_on(grace, || self.one_more())
    }

    /// The handler is dropped by whoever polled it: it ends here, or goes on.
    pub(super) fn left<F, B, E>(&self, work: F, running: Running, runtime: Option<Handle>)
    where
        F: Future<Output = Result<Response<B>, E>> + Unpin + Send + 'static,
        B: Send + 'static,
        E: Send + 'static,
    {
        let request = &running.request;
        let policy = request.policy();
        let grace = match policy {
            Policy::Cooperate { grace } if request.is.taken.is_set() => Some(grace),
            Policy::Detach => None,
            _ => return end(work, running),
        };
        let (runtime, until) = match self.may_go_on(request, grace, runtime) {
            Ok(may) => may,
            Err(why) => {
                outcome::abandoned(why);
                return end(work, running);
            }
        };
        let limit = Token::any([&until.token(), &self.abort]);
        runtime.spawn(GoesOn {
            work,
            limit: Box::pin(limit.cancelled_owned()),
            ending: Ending { running, outcome: None, in_poll: false },
        });
    }
}

impl Drop for Rescued {
    fn drop(&mut self) {
        // Ordering: as above.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Its token is cancelled before it is dropped.
fn end<F>(work: F, mut running: Running) {
    let request = &running.request;
    request.is_dropped();
    let in_span = request.span.enter();
    drop(work);
    drop(in_span);
    running.breaks_off();
}

/// Dropped in the order in which it is written: the handler, and then its end.
struct GoesOn<F> {
    work: F,
    limit: Pin<Box<WhenCancelled<'static>>>,
    ending: Ending,
}

/// Says how it ended, also where it panics, or is dropped with its runtime.
struct Ending {
    running: Running,
    /// `None`: it did not come to its end.
    outcome: Option<Outcome>,
    in_poll: bool,
}

impl<F, B, E> Future for GoesOn<F>
where
    F: Future<Output = Result<Response<B>, E>> + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let request = &this.ending.running.request;
        this.ending.in_poll = true;
        let in_span = request.span.enter();
        let polled = Pin::new(&mut this.work).poll(cx);
        drop(in_span);
        this.ending.in_poll = false;
        let Poll::Ready(ended) = polled else {
            let limit = ready!(this.limit.as_mut().poll(cx));
            let was_late = limit.reason() == Reason::Deadline;
            outcome::abandoned(if was_late { "grace_over" } else { "server_gone" });
            return Poll::Ready(());
        };
        this.ending.outcome = Some(match &ended {
            // It was not told, and went to its end.
            Ok(response) if request.cancellation().is_none() => Outcome::of(request, response),
            _ => Outcome::of_stop(request),
        });
        // Nobody reads what it answers, and somebody may work for that.
        request.is_dropped();
        Poll::Ready(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let request = &self.running.request;
        let outcome = match self.outcome.take() {
            Some(outcome) => outcome,
            None if self.in_poll => Outcome::Failed,
            None => Outcome::of_stop(request),
        };
        self.running.ends(&outcome);
    }
}
