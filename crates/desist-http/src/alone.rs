//! Foreign code whose panic is its own affair.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What panics in there, a callback of one request or the making of one app, is its own
/// affair, which the panic hook has told of: the other requests go on.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
