//! What models are made of besides the public interface.

use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use super::lock::Lock;
use super::record::{Record, RecordRef, wait_settled};
use super::sync::{Guarded, RawCell};
use crate::{Cause, Reason};

/// Something ordinary that one thread writes and another reads: the checker
/// reports it unless the one came before the other for certain.
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
    lock: Lock,
    value: Guarded<u32>,
}

// SAFETY: I2: the value is under the lock.
unsafe impl Send for Locked {}
// SAFETY: I2: as above.
unsafe impl Sync for Locked {}

impl Locked {
    pub(crate) fn new() -> Self {
        Self { lock: Lock::new(), value: Guarded::new(0) }
    }

    /// Adds one; gives what was there.
    pub(crate) fn add(&self) -> u32 {
        self.lock.acquire();
        // SAFETY: I2: under the lock.
        unsafe {
            let before = self.value.get();
            self.value.set(before + 1);
            Lock::release(&raw const self.lock);
            before
        }
    }
}

/// How far a walk is, without a walk.
pub(crate) struct Marking(RecordRef);

impl Marking {
    pub(crate) fn new() -> Self {
        let (cause, origin) = (Cause::new(Reason::Requested), Location::caller());
        Self(RecordRef::new(cause, origin, Instant::now(), None))
    }

    pub(crate) fn settle(&self) {
        Record::settle(&self.0, Vec::new());
    }

    pub(crate) fn wait(&self) {
        wait_settled(&self.0);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0.is_settled()
    }
}
