//! Values that desist keeps for others: each is dropped exactly once, with what
//! it holds unharmed.

use std::error::Error;
use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use desist::Source;

use super::number;
use crate::panics::inject;
use crate::report::ensure;
use crate::sync::Mutex;
use crate::tally::CAPTURED;

/// Tells how often its value was dropped.
#[derive(Default)]
pub(crate) struct Mark(AtomicU32);

impl Mark {
    pub(crate) fn dropped(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// A value with something on the heap that the thread which drops it reads:
/// written by one thread, read by another, with nothing but desist between.
pub(crate) struct Captured {
    number: u64,
    copy: Box<u64>,
    mark: Arc<Mark>,
    /// Its drop panics.
    bomb: bool,
}

impl Captured {
    pub(crate) fn new(bomb: bool) -> (Self, Arc<Mark>) {
        CAPTURED.up();
        let (number, mark) = (number(), Arc::<Mark>::default());
        let captured = Self { number, copy: Box::new(!number), mark: Arc::clone(&mark), bomb };
        (captured, mark)
    }

    pub(crate) fn look(&self) {
        ensure!(*self.copy == !self.number, "a captured value is not what it was");
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        self.look();
        *self.copy = 0;
        let before = self.mark.0.fetch_add(1, Relaxed);
        ensure!(before == 0, "a captured value is dropped {} times", before + 1);
        CAPTURED.down();
        if self.bomb {
            inject();
        }
    }
}

/// The detail of a cause, by which the winner is known again.
pub(crate) struct Detail {
    pub(crate) number: u64,
    captured: Captured,
    /// Cancelled when the detail is dropped. Never of a tree that could hold
    /// the detail: it would keep itself.
    then_cancel: Mutex<Option<Source>>,
}

impl Detail {
    pub(crate) fn new(bomb: bool, then_cancel: Option<Source>) -> Self {
        let (captured, _) = Captured::new(bomb);
        Self { number: number(), captured, then_cancel: Mutex::new(then_cancel) }
    }
}

impl Drop for Detail {
    fn drop(&mut self) {
        let then_cancel = self.then_cancel.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = then_cancel.take() {
            source.cancel();
        }
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detail({})", self.number)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.captured.look();
        write!(f, "detail {}", self.number)
    }
}

impl Error for Detail {}
