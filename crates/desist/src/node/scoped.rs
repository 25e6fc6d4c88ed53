//! A callback that borrows: it lives on the stack of the call that waits for it.

use std::ptr::NonNull;

use super::callback::{Callback, WithClosure, register};
use super::handle::TokenRef;
use super::take_back::take_back_blocking;
use crate::Cancelled;

impl TokenRef {
    /// Runs `body` with `closure` registered. When this returns or panics, the
    /// closure is not running and will not run.
    pub(crate) fn while_registered<R>(
        &self,
        closure: impl FnOnce(&Cancelled) + Send,
        body: impl FnOnce() -> R,
    ) -> R {
        if let Some(cancelled) = self.settled() {
            closure(&cancelled);
            return body();
        }
        // Not moved any more from here on, and taken back before it goes.
        let callback = WithClosure::scoped(self.ptr(), closure);
        let callback = NonNull::from(&callback).cast::<Callback>();
        // SAFETY: I9: `TakeBack` takes it off the list before the frame goes.
        // I1: `self` keeps the node.
        if unsafe { register(callback) } {
            let _taken_back = TakeBack(callback);
            return body();
        }
        if let Some(cancelled) = self.settled() {
            // SAFETY: I11: it is on no list, so the closure is ours to call.
            unsafe { Callback::call_unregistered(callback, &cancelled) };
        }
        body()
    }
}

struct TakeBack(NonNull<Callback>);

impl Drop for TakeBack {
    fn drop(&mut self) {
        // SAFETY: I11: we are the holder, and do not come back.
        unsafe { take_back_blocking(self.0) };
    }
}
