//! What watches signals from the side: locks, counts, logs, captured values, polls. The model is
//! built on this alone, so that whoever takes the model along need not take all of `common`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use desist::{Cancelled, Token};

/// A lock that a failed assertion elsewhere does not poison for everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count that several threads and callbacks share.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self) {
        self.next();
    }

    /// Adds one and returns how many there were before.
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// What happened, in order.
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&self, entry: T) {
        lock(&self.0).push(entry);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// A value that is captured somewhere: `held()` tells whether it still is.
pub(crate) struct Captured(Arc<()>);

impl Captured {
    pub(crate) fn new() -> Self {
        Self(Arc::new(()))
    }

    pub(crate) fn handle(&self) -> Arc<()> {
        Arc::clone(&self.0)
    }

    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize, Count);

impl Wakes {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.add();
    }
}

/// A counter and the waker that moves it.
pub(crate) fn counting() -> (Arc<Wakes>, Waker) {
    counting_in(&Count::new())
}

/// The same, and each time it is woken counts for the total, too.
pub(crate) fn counting_in(total: &Count) -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes(AtomicUsize::new(0), total.clone()));
    (Arc::clone(&wakes), Waker::from(wakes))
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

/// Polls once with this waker.
pub(crate) fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// The cause of a token that must be cancelled by now.
pub(crate) fn cause_of(token: &Token) -> Cancelled {
    token.cancellation().expect("the token is cancelled")
}

/// The text of the detail, if there is one.
pub(crate) fn detail_text(cancelled: &Cancelled) -> Option<String> {
    cancelled.detail().map(ToString::to_string)
}
