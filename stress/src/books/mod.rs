//! What must come true of each thing that was made.

mod callback;
mod captured;
mod signal;
mod wait;

pub(crate) use self::callback::{Callback, CallbackBook, Slot, take_back};
pub(crate) use self::captured::{Captured, Detail};
pub(crate) use self::signal::{Armed, ClockKind, Identity, Signal, SignalBook};
pub(crate) use self::wait::{Counted, Hold, Inner, Wait};

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that nothing else has.
pub(crate) fn number() -> u64 {
    NEXT.fetch_add(1, Relaxed)
}
