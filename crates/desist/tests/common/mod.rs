//! Helpers that the test binaries share. Not every binary uses all of them.
#![allow(dead_code, unused_imports)]

pub(crate) mod panics;
pub(crate) mod race;
pub(crate) mod wakers;
mod watching;

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use desist::Cancelled;

pub(crate) use watching::{
    Captured, Count, Log, Wakes, cause_of, counting, counting_in, detail_text, lock, poll_once,
    poll_with,
};

/// How long a test waits for what must happen before it calls it a deadlock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The stack on which nothing may recurse.
pub(crate) const SMALL_STACK: usize = 128 * 1024;

/// The length of a chain that no recursion survives. An interpreter has not the time.
pub(crate) const MILLION: usize = if cfg!(miri) { 240 } else { 1_000_000 };

/// Runs `body` on a thread of its own and fails, where the test would otherwise hang.
pub(crate) fn no_deadlock<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    watched(thread::Builder::new(), body)
}

/// The same on a stack of 128 KiB.
pub(crate) fn on_small_stack<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    watched(thread::Builder::new().stack_size(SMALL_STACK), body)
}

fn watched<R: Send + 'static>(
    builder: thread::Builder,
    body: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (tell, told) = mpsc::channel();
    let name = thread::current().name().unwrap_or("test").to_owned();
    let worker = builder
        .name(name)
        .spawn(move || {
            let result = body();
            // The receiver is gone only if the test has failed already.
            let _ = tell.send(());
            result
        })
        .expect("a thread can be spawned");
    if let Err(RecvTimeoutError::Timeout) = told.recv_timeout(PATIENCE) {
        panic!("deadlock: not finished after {PATIENCE:?}");
    }
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// An event: closed at first, opened once, waited for by anybody.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        *lock(&self.0.0)
    }

    /// Waits until somebody opens it; a test that waits in vain fails.
    pub(crate) fn wait(&self) {
        let open = lock(&self.0.0);
        let (open, _) = self
            .0
            .1
            .wait_timeout_while(open, PATIENCE, |open| !*open)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(*open, "an event did not come within {PATIENCE:?}");
    }
}

/// Runs a closure when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A detail of a cause that runs a closure when it is dropped.
pub(crate) struct DetailOnDrop<F: FnMut() + Send + Sync>(pub(crate) F);

impl<F: FnMut() + Send + Sync> Drop for DetailOnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<F: FnMut() + Send + Sync> fmt::Debug for DetailOnDrop<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DetailOnDrop")
    }
}

impl<F: FnMut() + Send + Sync> fmt::Display for DetailOnDrop<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a detail that notices its drop")
    }
}

impl<F: FnMut() + Send + Sync> Error for DetailOnDrop<F> {}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = wakers::unpark_this_thread();
    loop {
        if let Poll::Ready(output) = poll_with(future.as_mut(), &waker) {
            return output;
        }
        thread::park_timeout(PATIENCE);
    }
}

/// Both are the very same event: reason, detail (the same object), place and instant.
#[track_caller]
pub(crate) fn assert_same_cause(left: &Cancelled, right: &Cancelled) {
    fn address(cancelled: &Cancelled) -> Option<*const ()> {
        cancelled.detail().map(|d| std::ptr::from_ref(d).cast())
    }
    assert_eq!(left.reason(), right.reason());
    assert_eq!(detail_text(left), detail_text(right));
    assert_eq!(address(left), address(right), "the detail was copied");
    assert_eq!(left.origin(), right.origin());
    assert_eq!(left.at(), right.at());
}

/// Runs `body`, which must panic, and returns the text of its panic.
#[track_caller]
pub(crate) fn panic_of<R>(body: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(_) => panic!("there was no panic"),
        Err(payload) => payload_text(payload.as_ref()),
    }
}

/// The text of a panic's payload.
pub(crate) fn payload_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "not a text".to_owned())
}
