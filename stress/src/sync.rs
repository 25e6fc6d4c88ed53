//! What orders the threads of this program, besides desist: std's, or the same
//! where a sanitizer sees it.

#[cfg(not(desist_watched))]
pub(crate) use std::sync::{Barrier, Mutex, MutexGuard};

#[cfg(desist_watched)]
#[path = "../../crates/desist/src/node/watched.rs"]
mod watched;

#[cfg(desist_watched)]
pub(crate) use self::seen::Barrier;
#[cfg(desist_watched)]
pub(crate) use self::watched::{Mutex, MutexGuard};

#[cfg(desist_watched)]
mod seen {
    use std::sync;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::{Acquire, Release};

    pub(crate) struct Barrier {
        come: AtomicUsize,
        inner: sync::Barrier,
    }

    impl Barrier {
        pub(crate) fn new(threads: usize) -> Self {
            Self { come: AtomicUsize::new(0), inner: sync::Barrier::new(threads) }
        }

        pub(crate) fn wait(&self) {
            // Ordering: Release pairs with the Acquire below, of all others.
            self.come.fetch_add(1, Release);
            self.inner.wait();
            // Ordering: Acquire pairs with the Releases above, of all others.
            self.come.load(Acquire);
        }
    }
}
