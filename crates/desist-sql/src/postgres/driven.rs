//! The task that drives a connection, and whether it has sent all that it was asked for.
//!
//! What a client asks for lies in a channel until the task takes it from there. As long as
//! that has been told to look and has not looked, something may be on its way that nobody
//! has seen go out. Once it has, everything is with the socket, and
//! [`Wire`](super::wire::Wire) has seen it.
//!
//! That there is something to read wakes the task by another waker, which says nothing of what
//! it is asked for. So who has an answer has it from a task that is known to have sent
//! everything; with one waker for both it would be known a moment later only, which was too
//! late for a fifth of all leases.
//!
//! Whoever asks has the client, and what it was shared with is back. The driver itself only
//! ever sends that a statement is closed, of which nothing runs. One thing is not seen: two
//! threads that ask for something in the same nanoseconds are one waking, which may come a
//! moment after the second of them has gone on. It takes a statement that is dropped by
//! somebody else while a future of this connection is; what that asked for is then in the way
//! of who has the connection next, and is cancelled with it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::wire::Wire;

/// It is to look.
const WOKEN: u8 = 0;
/// It looks, and may not have seen everything.
const SENDS: u8 = 1;
/// Everything that it was asked for is with the socket.
const HAS_SENT: u8 = 2;

/// Told to whoever asks whether the task has sent everything.
pub(super) struct Driven {
    state: AtomicU8,
    sent: Notify,
}

impl Driven {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WOKEN), sent: Notify::new() })
    }

    pub(super) fn has_sent(&self) -> bool {
        // Ordering: Acquire, with the Release in `sent_all`: who sees that sees what it has
        // written. Who asked for something, and asks this after, sees at least `WOKEN` of its
        // own.
        self.state.load(Ordering::Acquire) == HAS_SENT
    }

    /// Told the next time that it has.
    pub(super) fn sends_next(&self) -> Notified<'_> {
        self.sent.notified()
    }

    fn looks(&self) {
        // Ordering: AcqRel, with `wake`: what was asked for before that is seen by what looks.
        // Where it was not woken nothing is read.
        let looks = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.state.compare_exchange(WOKEN, SENDS, looks.0, looks.1);
    }

    fn sent_all(&self) {
        // Ordering: Release, with the Acquire in `has_sent`; where it was woken meanwhile it
        // stays so, and nothing is read.
        let sent = (Ordering::Release, Ordering::Relaxed);
        if self.state.compare_exchange(SENDS, HAS_SENT, sent.0, sent.1).is_ok() {
            self.sent.notify_waiters();
        }
    }

    fn is_over(&self) {
        // Ordering: as in `sent_all`.
        self.state.store(HAS_SENT, Ordering::Release);
        self.sent.notify_waiters();
    }
}

/// Drives a connection to its end.
pub(super) struct Drive<F> {
    connection: F,
    driven: Arc<Driven>,
    wire: Arc<Wire>,
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
    pub(super) fn new(connection: F, driven: Arc<Driven>, wire: Arc<Wire>) -> Self {
        Self { connection, driven, wire, wakes: None }
    }
}

impl<F: Future + Unpin> Future for Drive<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let is_known = this.wakes.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker()));
        if !is_known {
            this.wire.is_read_by(cx.waker());
            let wakes = Wakes { driven: Arc::clone(&this.driven), task: cx.waker().clone() };
            this.wakes = Some((cx.waker().clone(), Waker::from(Arc::new(wakes))));
        }
        let Some((_, waker)) = &this.wakes else { unreachable!("it was made just now") };
        this.driven.looks();
        let polled = Pin::new(&mut this.connection).poll(&mut Context::from_waker(waker));
        if polled.is_pending() {
            this.driven.sent_all();
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
    use std::future::{pending, poll_fn};

    use super::*;

    fn drive<F: Future + Unpin>(connection: F) -> (Drive<F>, Arc<Driven>) {
        let driven = Driven::new();
        (Drive::new(connection, Arc::clone(&driven), Arc::new(Wire::new())), driven)
    }

    #[test]
    fn it_has_sent_when_it_has_looked_since_it_was_woken() {
        let (mut drive, driven) = drive(Box::pin(pending::<()>()));
        assert!(!driven.has_sent());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(driven.has_sent());
        let (_, waker) = drive.wakes.clone().unwrap();
        waker.wake();
        assert!(!driven.has_sent());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(driven.has_sent());
    }

    #[test]
    fn woken_while_it_looks_it_looks_again() {
        let wakes_itself = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let (mut drive, driven) = drive(wakes_itself);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        assert!(!driven.has_sent());
        drop(drive);
        assert!(driven.has_sent(), "nobody looks any more");
    }

    #[test]
    fn what_is_to_be_read_is_nothing_that_is_asked_for() {
        let driven = Driven::new();
        let wire = Arc::new(Wire::new());
        let read_by = Arc::new(std::sync::OnceLock::new());
        let (of_wire, sets) = (Arc::clone(&wire), Arc::clone(&read_by));
        let connection = poll_fn(move |cx| {
            of_wire.read_by(cx, |cx| sets.set(cx.waker().clone()).unwrap());
            Poll::<()>::Pending
        });
        let mut drive = Drive::new(connection, Arc::clone(&driven), Arc::clone(&wire));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut drive).poll(&mut cx).is_pending());
        let (_, asked) = drive.wakes.clone().unwrap();
        read_by.get().unwrap().wake_by_ref();
        assert!(driven.has_sent());
        asked.wake();
        assert!(!driven.has_sent());
    }
}
