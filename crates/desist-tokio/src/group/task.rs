//! A task as tokio polls it.

use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use desist::{Cancelled, Token, WhenCancelled, find_cancelled};
use pin_project_lite::pin_project;

use super::outcome::sealed::Sealed;
use super::outcome::{Outcome, TaskOutput, TaskPanic};
use super::shared::Shared;
use super::ticket::Ticket;
use crate::current::{Ambient, within};
use crate::stop::Stop;

pin_project! {
    /// What is not begun yet is the closure; it is called in the first poll, or
    /// never. The ticket comes last: it is dropped when all else is gone.
    pub(super) struct Task<T, R, M, F, W>
    where
        T: Send,
        T: 'static,
    {
        #[pin]
        work: Work<F, W>,
        // From its first wait on: most tasks of a moment never have one.
        #[pin]
        aborted: Option<WhenCancelled<'static>>,
        ambient: Option<Arc<Ambient>>,
        ticket: Ticket<T>,
        output: PhantomData<fn() -> (R, M)>,
    }

    impl<T, R, M, F, W> PinnedDrop for Task<T, R, M, F, W>
    where
        T: Send,
        T: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            // Where a runtime drops it; what has ended has nothing left.
            let mut this = this.project();
            within(this.ambient, || this.work.set(Work::Over));
        }
    }
}

pin_project! {
    #[project = WorkProjection]
    enum Work<F, W> {
        Waiting { begin: Option<F> },
        Running { #[pin] future: W },
        Over,
    }
}

impl<T, R, M, F, W> Task<T, R, M, F, W>
where
    T: Send + 'static,
    R: TaskOutput<T, M>,
    F: FnOnce(Stop) -> W,
    W: Future<Output = R>,
{
    pub(super) fn new(ticket: Ticket<T>, ambient: Arc<Ambient>, begin: F) -> Self {
        Self {
            work: Work::Waiting { begin: Some(begin) },
            aborted: None,
            ambient: Some(ambient),
            ticket,
            output: PhantomData,
        }
    }

    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut this = self.project();
        if let WorkProjection::Waiting { begin } = this.work.as_mut().project() {
            if let Some(cancelled) = this.ticket.shared.stop().cancellation() {
                return Poll::Ready(Outcome::CancelledBeforeStart(cancelled));
            }
            let Some(begin) = begin.take() else { unreachable!("it is taken once") };
            let stop = this.ticket.shared.stop().clone();
            match caught(|| within(this.ambient, || begin(stop))) {
                Ok(future) => this.work.set(Work::Running { future }),
                Err(panic) => return Poll::Ready(Outcome::Panicked(panic)),
            }
        }
        let WorkProjection::Running { future } = this.work.as_mut().project() else {
            unreachable!("it is not polled again")
        };
        let ended = match caught(|| within(this.ambient, || future.poll(cx))) {
            Ok(Poll::Ready(output)) => outcome_of(output, &this.ticket.shared, this.ambient),
            Err(panic) => Outcome::Panicked(panic),
            Ok(Poll::Pending) => {
                if this.aborted.is_none() {
                    let abort = this.ticket.shared.abort.token();
                    this.aborted.set(Some(abort.cancelled_owned()));
                }
                let Some(aborted) = this.aborted.as_mut().as_pin_mut() else { unreachable!() };
                // Aborted, it had this last poll to end by itself.
                ready!(aborted.poll(cx));
                Outcome::Aborted
            }
        };
        Poll::Ready(ended)
    }
}

impl<T, R, M, F, W> Future for Task<T, R, M, F, W>
where
    T: Send + 'static,
    R: TaskOutput<T, M>,
    F: FnOnce(Stop) -> W,
    W: Future<Output = R>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut outcome = ready!(self.as_mut().step(cx));
        let mut this = self.project();
        // Its destructors are a part of the task.
        let dropped = caught(|| within(this.ambient, || this.work.set(Work::Over)));
        if let (Err(panic), false) = (dropped, outcome.is_failure()) {
            outcome = Outcome::Panicked(panic);
        }
        this.ticket.give_back(outcome);
        Poll::Ready(())
    }
}

pub(crate) fn caught<R>(body: impl FnOnce() -> R) -> Result<R, TaskPanic> {
    catch_unwind(AssertUnwindSafe(body)).map_err(TaskPanic::new)
}

/// What it captured goes first.
pub(super) fn not_begun<T>(work: impl Sized, cancelled: Cancelled) -> Outcome<T> {
    match caught(|| drop(work)) {
        Ok(()) => Outcome::CancelledBeforeStart(cancelled),
        Err(panic) => Outcome::Panicked(panic),
    }
}

/// An error that has a cancellation in it is a stop only where that is what the task
/// was asked for: a deadline of its own that ended it is a failure. The error's own
/// code runs in here, and may panic.
pub(super) fn outcome_of<T: Send + 'static, M>(
    output: impl Sealed<T, M>,
    shared: &Shared<T>,
    around: &Option<Arc<Ambient>>,
) -> Outcome<T> {
    let told = caught(|| match output.into_result() {
        Ok(value) => Outcome::Finished(value),
        Err(error) => {
            let stop = shared.stop();
            let around = around.iter().flat_map(|around| around.parts());
            let asked = [stop.token(), stop.draining_unnoted()].into_iter().chain(around);
            let asked = asked.filter_map(Token::cancellation).collect::<Vec<_>>();
            match find_cancelled(&*error).and_then(|found| asked_for(found, &asked)) {
                Some(cancelled) => Outcome::Cancelled(cancelled.clone()),
                None => Outcome::Failed(error),
            }
        }
    });
    told.unwrap_or_else(Outcome::Panicked)
}

/// Finds one of those, if need be behind what it was passed on as.
fn asked_for<'a>(found: &'a Cancelled, asked: &[Cancelled]) -> Option<&'a Cancelled> {
    /// Whoever passes on more often than that has built a circle.
    const MOST: usize = 100;
    let passed_on = |cancelled: &&'a Cancelled| find_cancelled(cancelled.detail()?);
    let mut chain = std::iter::successors(Some(found), passed_on).take(MOST);
    chain.any(|cancelled| asked.contains(cancelled)).then_some(found)
}
