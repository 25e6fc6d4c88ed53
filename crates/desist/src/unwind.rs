//! Panics of foreign code: the first one is kept until all is done.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// The first panic of several pieces of foreign code.
#[derive(Default)]
pub(crate) struct Panic(Option<Box<dyn Any + Send>>);

impl Panic {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Runs foreign code; keeps its panic if it is the first.
    #[cfg(not(all(test, loom)))]
    pub(crate) fn catch(&mut self, f: impl FnOnce()) {
        self.keep(catch_unwind(AssertUnwindSafe(f)));
    }

    /// In a model nothing panics on purpose: it is the checker that objects, and
    /// must be heard.
    #[cfg(all(test, loom))]
    pub(crate) fn catch(&mut self, f: impl FnOnce()) {
        f();
    }

    pub(crate) fn keep(&mut self, result: Result<(), Box<dyn Any + Send>>) {
        let Err(payload) = result else { return };
        if self.0.is_none() {
            self.0 = Some(payload);
        } else {
            discard(payload);
        }
    }

    /// Panics on with what was kept. While the thread already unwinds that
    /// would abort the process: the panic hook has reported it, that is all.
    #[inline(always)]
    pub(crate) fn resume(self) {
        if let Some(payload) = self.0 {
            resume(payload);
        }
    }

    /// Forgets what was kept: the panic hook has reported it.
    pub(crate) fn swallow(self) {
        if let Some(payload) = self.0 {
            discard(payload);
        }
    }
}

#[cold]
fn resume(payload: Box<dyn Any + Send>) {
    if thread::panicking() {
        discard(payload);
    } else {
        resume_unwind(payload);
    }
}

/// How many payloads deep the drop of a payload may panic.
const PATIENCE: usize = 16;

/// Drops a payload, whose own drop may panic in turn, with a payload again.
fn discard(mut payload: Box<dyn Any + Send>) {
    for _ in 0..PATIENCE {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    std::mem::forget(payload);
}
