//! The task that drives a connection, and whether it has seen to all that it was asked for.
//!
//! What a client asks for lies in a channel until the task takes it from there. As long as
//! that has been told to look and has not looked, or looks, something may be on its way
//! that nobody has seen go out. Once it has parked, everything is with the socket, and
//! [`Wire`](super::wire::Wire) has seen it.
//!
//! Whoever asks has seen everybody else who used the client come to the end of that: it is in
//! one pair of hands, and what they shared it with is back. The driver itself only ever sends
//! that a statement is closed, of which nothing runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Nothing is to be done.
const PARKED: u8 = 0;
/// It is to look.
const WOKEN: u8 = 1;
/// It looks.
const LOOKS: u8 = 2;

/// Told to whoever asks whether the task has parked.
pub(super) struct Driven {
    state: AtomicU8,
    parked: Notify,
}

impl Driven {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WOKEN), parked: Notify::new() })
    }

    pub(super) fn is_parked(&self) -> bool {
        // Ordering: Acquire, with the Release in `parks`: who sees that it has parked sees what
        // it has written. Who asked for something, and asks this after, sees at least `WOKEN`
        // of its own.
        self.state.load(Ordering::Acquire) == PARKED
    }

    /// Told the next time that it parks.
    pub(super) fn parks_next(&self) -> Notified<'_> {
        self.parked.notified()
    }

    fn looks(&self) {
        // Ordering: AcqRel, with `wake`: what was asked for before that is seen by what looks.
        self.state.swap(LOOKS, Ordering::AcqRel);
    }

    fn parks(&self) {
        // Ordering: Release, with the Acquire in `is_parked`; where it was woken meanwhile it
        // stays so, and nothing is read.
        let parks = (Ordering::Release, Ordering::Relaxed);
        if self.state.compare_exchange(LOOKS, PARKED, parks.0, parks.1).is_ok() {
            self.parked.notify_waiters();
        }
    }

    fn is_over(&self) {
        // Ordering: as in `parks`.
        self.state.store(PARKED, Ordering::Release);
        self.parked.notify_waiters();
    }
}

/// Drives a connection to its end.
pub(super) struct Drive<F> {
    connection: F,
    driven: Arc<Driven>,
    /// Of the last waker, so that most polls make none.
    wakes: Option<(Waker, Waker)>,
}

struct Wakes {
    driven: Arc<Driven>,
    task: Waker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Ordering: AcqRel, with `looks`: whatever was asked for is seen by the look after this.
        self.driven.state.swap(WOKEN, Ordering::AcqRel);
        self.task.wake_by_ref();
    }
}

impl<F> Drive<F> {
    pub(super) fn new(connection: F, driven: Arc<Driven>) -> Self {
        Self { connection, driven, wakes: None }
    }
}

impl<F: Future + Unpin> Future for Drive<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let is_known = this.wakes.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker()));
        if !is_known {
            let wakes = Wakes { driven: Arc::clone(&this.driven), task: cx.waker().clone() };
            this.wakes = Some((cx.waker().clone(), Waker::from(Arc::new(wakes))));
        }
        let Some((_, waker)) = &this.wakes else { unreachable!("it was made just now") };
        this.driven.looks();
        let polled = Pin::new(&mut this.connection).poll(&mut Context::from_waker(waker));
        if polled.is_pending() {
            this.driven.parks();
        }
        polled
    }
}

impl<F> Drop for Drive<F> {
    fn drop(&mut self) {
        self.driven.is_over();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[test]
    fn it_has_parked_when_it_has_looked_since_it_was_woken() {
        let driven = Driven::new();
        let mut drive = Drive::new(Box::pin(pending::<()>()), Arc::clone(&driven));
        assert!(!driven.is_parked());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(driven.is_parked());
        let (_, waker) = drive.wakes.clone().unwrap();
        waker.wake();
        assert!(!driven.is_parked());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(driven.is_parked());
    }

    #[test]
    fn woken_while_it_looks_it_looks_again() {
        let driven = Driven::new();
        let wakes_itself = std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let mut drive = Drive::new(wakes_itself, Arc::clone(&driven));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(!driven.is_parked());
        drop(drive);
        assert!(driven.is_parked(), "nobody looks any more");
    }
}
