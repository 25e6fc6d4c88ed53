//! Panics that are injected, told from those that are not.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind, panic_any};
use std::thread;

use crate::report::violated;
use crate::tally::PANICS;

/// The payload of a panic that this program wanted.
pub(crate) struct Injected;

/// Panics, on purpose; not while a panic unwinds, for that would abort, and on
/// the main thread only where somebody catches it.
pub(crate) fn inject() {
    let caught = GUARDS.get() > 0 || thread::current().name() != Some("main");
    if caught && !thread::panicking() {
        PANICS.add();
        panic_any(Injected);
    }
}

/// Injected panics are quiet; any other is the end, on whatever thread.
pub(crate) fn install_hook() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<Injected>() {
            usual(info);
            violated("a panic that nobody injected");
        }
    }));
}

thread_local! {
    /// How many [`guarded`] are around what this thread does.
    static GUARDS: Cell<u32> = const { Cell::new(0) };
}

/// Runs what may panic on purpose. `None` if it did.
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Option<R> {
    GUARDS.set(GUARDS.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDS.set(GUARDS.get() - 1);
    match result {
        Ok(result) => Some(result),
        Err(payload) => {
            check(&*payload);
            None
        }
    }
}

fn check(payload: &(dyn Any + Send)) {
    if !payload.is::<Injected>() {
        violated("a panic came out whose payload nobody injected");
    }
}
