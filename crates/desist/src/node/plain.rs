//! Something ordinary that one thread of a model writes and another reads: the
//! checker reports it unless the one came before the other for certain.

use std::sync::Arc;

use super::sync::RawCell;

#[derive(Clone)]
pub(crate) struct Plain(Arc<RawCell<u32>>);

// SAFETY: I2: the checker looks for whoever comes at the same time.
unsafe impl Send for Plain {}
// SAFETY: I2: as above.
unsafe impl Sync for Plain {}

impl Plain {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RawCell::new(0)))
    }

    pub(crate) fn add(&self) {
        // SAFETY: I2: the checker looks for whoever comes at the same time.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    pub(crate) fn get(&self) -> u32 {
        // SAFETY: I2: as above.
        self.0.with(|value| unsafe { *value })
    }
}

/// A number under a node's kind of lock.
pub(crate) struct Locked {
    lock: super::lock::Lock,
    value: super::sync::Guarded<u32>,
}

// SAFETY: I2: the value is under the lock.
unsafe impl Send for Locked {}
// SAFETY: I2: as above.
unsafe impl Sync for Locked {}

impl Locked {
    pub(crate) fn new() -> Self {
        Self { lock: super::lock::Lock::new(), value: super::sync::Guarded::new(0) }
    }

    /// Adds one; gives what was there.
    pub(crate) fn add(&self) -> u32 {
        self.lock.acquire();
        // SAFETY: I2: under the lock.
        unsafe {
            let before = self.value.get();
            self.value.set(before + 1);
            super::lock::Lock::release(&raw const self.lock);
            before
        }
    }
}
