//! Locks, as all of this crate takes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// No foreign code runs under a lock of ours, so none is left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
