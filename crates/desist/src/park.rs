//! A thread that waits to be woken through a `Waker`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Instant;

/// Wakes the thread that made it.
pub(crate) struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self { thread: thread::current(), woken: AtomicBool::new(false) }
    }

    /// Returns once it was woken since the last call.
    pub(crate) fn park(&self) {
        // Ordering: Acquire pairs with the Release in `wake_by_ref`.
        while !self.woken.swap(false, Acquire) {
            thread::park();
        }
    }

    /// The same, or at `until`; true if it was woken.
    pub(crate) fn park_until(&self, until: Instant) -> bool {
        // Ordering: Acquire pairs with the Release in `wake_by_ref`.
        while !self.woken.swap(false, Acquire) {
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
