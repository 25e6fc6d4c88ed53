//! A waker that counts its calls and costs as little as a waker can, so that
//! it does not hide what the peers cost.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{RawWaker, RawWakerVTable, Waker};

static WOKEN: AtomicU64 = AtomicU64::new(0);

const VTABLE: RawWakerVTable =
    RawWakerVTable::new(|_| RawWaker::new(ptr::null(), &VTABLE), |_| count(), |_| count(), |_| {});

/// One thread wakes at a time: a load and a store, no locked instruction.
fn count() {
    WOKEN.store(WOKEN.load(Relaxed) + 1, Relaxed);
}

pub(crate) fn counting_waker() -> Waker {
    // SAFETY: none of the four functions looks at the pointer, and a static
    // counter may be used from any thread.
    unsafe { Waker::from_raw(RawWaker::new(ptr::null(), &VTABLE)) }
}

pub(crate) fn woken() -> u64 {
    WOKEN.load(Relaxed)
}
