//! The shared-memory words of the protocol, in one spelling for the real machine,
//! for the same with a sanitizer that watches (`--cfg desist_watched`), and for
//! loom's model of it.

#[cfg(not(all(test, loom)))]
mod words {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    };
    #[cfg(not(desist_watched))]
    pub(crate) use std::sync::{Condvar, LazyLock as Lazy, Mutex, MutexGuard};
    pub(crate) use std::thread;
    pub(crate) use std::thread_local as per_thread;

    use std::cell::UnsafeCell;

    #[cfg(desist_watched)]
    pub(crate) use super::watched::{Condvar, Lazy, Mutex, MutexGuard};

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
    pub(crate) use super::modelled::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize,
    };
    pub(crate) use loom::cell::UnsafeCell as RawCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

    macro_rules! per_thread {
        (static $name:ident: $type:ty = const { $value:expr };) => {
            loom::thread_local! { static $name: $type = $value; }
        };
    }
    pub(crate) use per_thread;

    /// What `global!` makes is lazy anyway.
    pub(crate) struct Lazy<T>(T);

    impl<T> Lazy<T> {
        pub(crate) fn new(make: impl FnOnce() -> T) -> Self {
            Self(make())
        }
    }

    impl<T> std::ops::Deref for Lazy<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    pub(crate) mod thread {
        use std::sync::{Arc, PoisonError};

        use loom::sync::{Condvar, Mutex};
        pub(crate) use loom::thread::Builder;

        /// loom's own `unpark` is lost on a thread that yields just then.
        #[derive(Clone)]
        pub(crate) struct Thread(Arc<(Mutex<bool>, Condvar)>);

        loom::thread_local! {
            static CURRENT: Thread = Thread(Arc::new((Mutex::new(false), Condvar::new())));
        }

        pub(crate) fn current() -> Thread {
            CURRENT.with(Clone::clone)
        }

        pub(crate) fn park() {
            let Thread(this) = current();
            let mut permit = this.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !*permit {
                permit = this.1.wait(permit).unwrap_or_else(PoisonError::into_inner);
            }
            *permit = false;
        }

        impl Thread {
            pub(crate) fn unpark(&self) {
                *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                self.0.1.notify_one();
            }
        }

        /// May return at any time, as the real one does.
        pub(crate) fn park_timeout(_: std::time::Duration) {
            loom::thread::yield_now();
        }
    }
}

pub(crate) use words::*;

/// A `static` that is made anew in every execution of a model.
macro_rules! global {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $value:expr;) => {
        #[cfg(not(all(test, loom)))]
        $(#[$meta])*
        static $name: $type = $value;
        #[cfg(all(test, loom))]
        loom::lazy_static! {
            static ref $name: $type = $value;
        }
    };
}
pub(crate) use global;

#[cfg(all(test, loom))]
#[path = "modelled.rs"]
mod modelled;

#[cfg(all(desist_watched, not(all(test, loom))))]
#[path = "watched.rs"]
mod watched;

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
