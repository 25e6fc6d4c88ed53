//! Panics of services, with the place where they happened.
//!
//! Only the panic hook knows the place. Ours notes it for a thread that polls a service,
//! and then calls the one that was there; it is set once, when the first host begins.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::thread;

use crate::outcome::ServicePanic;

thread_local! {
    /// A service is polled on this thread.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub(super) fn watch() {
    static SET: Once = Once::new();
    // The hook cannot be set by who panics.
    if thread::panicking() {
        return;
    }
    SET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if WATCHED.try_with(Cell::get).unwrap_or(false) {
                let place = panic.location().map(ToString::to_string);
                let _ = PLACE.try_with(|noted| noted.replace(place));
            }
            before(panic);
        }));
    });
}

/// What it gives, or its panic.
pub(super) fn noted<T>(f: impl FnOnce() -> T) -> Result<T, ServicePanic> {
    let was_watched = WATCHED.replace(true);
    PLACE.take();
    let result = catch_unwind(AssertUnwindSafe(f));
    WATCHED.set(was_watched);
    result.map_err(|payload| {
        let panic = ServicePanic::new(&*payload, PLACE.take());
        forget(payload);
        panic
    })
}

/// What it gives; of a panic nothing is of use.
pub(super) fn caught<T>(f: impl FnOnce() -> T) -> Result<T, ()> {
    catch_unwind(AssertUnwindSafe(f)).map_err(forget)
}

/// A payload may panic when it is dropped.
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
