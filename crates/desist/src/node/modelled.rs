//! loom's atomics, explored in full.
//!
//! loom 0.7 remembers one earlier access of each atomic when it looks for what
//! could have come in another order. Of two loads only the later one counts, so
//! a thread that loads and then stores hides the load of another thread from
//! its store, and half of the executions are never seen. Here every load first
//! takes its turn among the loads, by a step of its own on a second word. The
//! model checker then tries the loads in every order, and so comes to every
//! order of loads and stores. The second word is `Relaxed` and orders nothing.

use std::sync::atomic::Ordering::{self, Relaxed};

use loom::sync::atomic;

macro_rules! explored {
    ($($name:ident $([$T:ident])? : $value:ty, $inner:ident;)+) => {$(
        #[derive(Debug)]
        pub(crate) struct $name $(<$T>)? {
            word: atomic::$name $(<$T>)?,
            turn: atomic::AtomicUsize,
        }

        #[allow(dead_code)]
        impl $(<$T>)? $name $(<$T>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self { word: atomic::$name::new(value), turn: atomic::AtomicUsize::new(0) }
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                // Ordering: Relaxed: takes a turn, orders nothing.
                self.turn.fetch_add(1, Relaxed);
                // Ordering: the caller's.
                self.word.load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                // Ordering: the caller's.
                self.word.store(value, order);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                // Ordering: the caller's.
                self.word.swap(value, order)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                order: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                // Ordering: the caller's.
                self.word.compare_exchange(from, to, order, failure)
            }

            explored!(@ $value, $inner);
        }
    )+};
    (@ $value:ty, with_mut) => {
        #[track_caller]
        pub(crate) fn with_mut<R>(&mut self, f: impl FnOnce(&mut $value) -> R) -> R {
            self.word.with_mut(f)
        }
    };
    (@ $value:ty, nothing) => {};
    (@ $value:ty, counts) => {
        explored!(@ $value, with_mut);

        #[track_caller]
        pub(crate) fn fetch_add(&self, by: $value, order: Ordering) -> $value {
            // Ordering: the caller's.
            self.word.fetch_add(by, order)
        }

        #[track_caller]
        pub(crate) fn fetch_sub(&self, by: $value, order: Ordering) -> $value {
            // Ordering: the caller's.
            self.word.fetch_sub(by, order)
        }
    };
}

explored! {
    AtomicBool: bool, nothing;
    AtomicU8: u8, counts;
    AtomicU32: u32, counts;
    AtomicU64: u64, counts;
    AtomicUsize: usize, counts;
    AtomicPtr[T]: *mut T, with_mut;
}
