//! A thread that waits to be woken through a `Waker`.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::Wake;
use std::time::Instant;

use crate::node::sync::AtomicBool;
use crate::node::sync::thread::{self, Thread};

/// Wakes the thread that made it.
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { thread: thread::current(), woken: AtomicBool::new(false) }
    }

    fn take(&self) -> bool {
        // Ordering: Acquire pairs with the Release in `wake_by_ref`. Relaxed on
        // failure: nothing is read then.
        self.woken.compare_exchange(true, false, Acquire, Relaxed).is_ok()
    }

    /// Returns once it was woken since the last call.
    pub(crate) fn park(&self) {
        while !self.take() {
            thread::park();
        }
    }

    /// The same, or at `until`; true if it was woken.
    pub(crate) fn park_until(&self, until: Instant) -> bool {
        while !self.take() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Ordering: Release pairs with the Acquire in `park`.
        self.woken.store(true, Release);
        self.thread.unpark();
    }
}
