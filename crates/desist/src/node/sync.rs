//! The shared-memory words of the protocol, in one spelling for both the real
//! machine and loom's model of it.

#[cfg(not(all(test, loom)))]
mod words {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Condvar, Mutex};

    use std::cell::UnsafeCell;

    /// A cell that is reached through raw pointers only.
    #[derive(Debug)]
    pub(crate) struct RawCell<T>(UnsafeCell<T>);

    impl<T> RawCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(all(test, loom))]
mod words {
    pub(crate) use loom::cell::UnsafeCell as RawCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use loom::sync::{Condvar, Mutex};
}

pub(crate) use words::*;

/// A small value that a lock guards: only the lock's holder, or somebody who
/// has the whole object to himself, may read or write it.
#[derive(Debug)]
pub(crate) struct Guarded<T>(RawCell<T>);

impl<T: Copy> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RawCell::new(value))
    }

    /// # Safety
    ///
    /// No other thread may write the cell at the same time: the caller holds
    /// the lock that guards it, or nobody else can reach it.
    #[inline(always)]
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: I2 by the caller: no concurrent write.
        self.0.with(|p| unsafe { *p })
    }

    /// # Safety
    ///
    /// No other thread may read or write the cell at the same time: the caller
    /// holds the lock that guards it, or nobody else can reach it.
    #[inline(always)]
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: I2 by the caller: no concurrent access.
        self.0.with_mut(|p| unsafe { *p = value })
    }
}
