//! std's locks, with the order that they make spelled in words that a sanitizer
//! sees.
//!
//! ThreadSanitizer knows of an order between two threads only from code that is
//! compiled with it, and the slow paths of std's locks lie in a std that mostly
//! is not. So each of these is std's own, and beside it a word that is stored
//! just before the lock is given back and loaded just after it was taken: the
//! order that std makes anyway, no more. With `--cfg desist_watched` alone.
//!
//! `stress/` compiles this file for its own locks, too.

// Each of the two uses a part of it.
#![allow(dead_code)]

use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{self, LockResult, OnceLock, PoisonError, WaitTimeoutResult};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    given_back: AtomicBool,
    inner: sync::Mutex<T>,
}

/// In the order in which they are dropped: told, then unlocked.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    tells: Tells<'a>,
    held: sync::MutexGuard<'a, T>,
}

/// Stores the word of a lock when it is dropped.
#[derive(Debug)]
struct Tells<'a>(&'a AtomicBool);

impl Drop for Tells<'_> {
    fn drop(&mut self) {
        // Ordering: Release pairs with the Acquire in `taken`.
        self.0.store(true, Release);
    }
}

/// The lock of `held` was just taken.
fn taken<'a, T>(given_back: &'a AtomicBool, held: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    // Ordering: Acquire pairs with the Release in the drop of `Tells`.
    given_back.load(Acquire);
    MutexGuard { tells: Tells(given_back), held }
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { given_back: AtomicBool::new(false), inner: sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self.inner.lock() {
            Ok(held) => Ok(taken(&self.given_back, held)),
            Err(poison) => Err(PoisonError::new(taken(&self.given_back, poison.into_inner()))),
        }
    }

    pub(crate) fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { tells, held } = guard;
        let given_back = tells.0;
        drop(tells);
        match self.0.wait(held) {
            Ok(held) => Ok(taken(given_back, held)),
            Err(poison) => Err(PoisonError::new(taken(given_back, poison.into_inner()))),
        }
    }

    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let MutexGuard { tells, held } = guard;
        let given_back = tells.0;
        drop(tells);
        match self.0.wait_timeout(held, time) {
            Ok((held, why)) => Ok((taken(given_back, held), why)),
            Err(poison) => {
                let (held, why) = poison.into_inner();
                Err(PoisonError::new((taken(given_back, held), why)))
            }
        }
    }
}

/// What a `LazyLock` in a `static` does.
pub(crate) struct Lazy<T> {
    value: OnceLock<T>,
    make: fn() -> T,
    made: AtomicBool,
}

impl<T> Lazy<T> {
    pub(crate) const fn new(make: fn() -> T) -> Self {
        Self { value: OnceLock::new(), make, made: AtomicBool::new(false) }
    }
}

impl<T> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let mut ours = false;
        let value = self.value.get_or_init(|| {
            ours = true;
            (self.make)()
        });
        if ours {
            // Ordering: Release pairs with the Acquire below.
            self.made.store(true, Release);
        }
        // Ordering: Acquire pairs with the Release above, which is a moment away
        // if another thread has just made the value.
        while !self.made.load(Acquire) {
            std::thread::yield_now();
        }
        value
    }
}
