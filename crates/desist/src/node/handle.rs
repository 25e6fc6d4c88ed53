//! Handles: who may look, who may cancel, and what happens when the last goes.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::clock::Clock;
use super::{Node, RecordRef, life, probe};
use crate::Cancelled;

/// What a token counts in `refs`.
const TOKEN: u64 = 1;
/// What a source counts: a handle, and one more that can cancel.
const SOURCE: u64 = 1 << 32 | TOKEN;
/// More handles of one signal than this are not: it is a loop that forgets them,
/// or 16 GiB of tokens. The count must not come round.
const MAX_HANDLES: u32 = u32::MAX / 2;

/// How many handles `refs` stands for.
pub(super) fn handles(refs: u64) -> u32 {
    refs as u32
}

/// True if one of the handles that `refs` stands for can cancel.
pub(super) fn has_source(refs: u64) -> bool {
    refs >> 32 != 0
}

/// One handle of a node; `UNIT` is what it counts.
pub(crate) struct Handle<const UNIT: u64>(NonNull<Node>);

pub(crate) type TokenRef = Handle<TOKEN>;
pub(crate) type SourceRef = Handle<SOURCE>;

// SAFETY: I1, I2: a node is made to be reached from any thread; what is not
// atomic in it is under its lock, and all that it holds is Send.
unsafe impl<const UNIT: u64> Send for Handle<UNIT> {}
// SAFETY: I1, I2: as above.
unsafe impl<const UNIT: u64> Sync for Handle<UNIT> {}

impl<const UNIT: u64> Handle<UNIT> {
    pub(super) const UNIT: u64 = UNIT;

    #[inline(always)]
    pub(super) fn ptr(&self) -> NonNull<Node> {
        self.0
    }

    #[inline(always)]
    pub(super) fn node(&self) -> &Node {
        // SAFETY: I1: a handle keeps the node.
        unsafe { self.0.as_ref() }
    }

    /// Takes over a handle that is already counted.
    ///
    /// # Safety
    ///
    /// One handle of this `UNIT` was counted in `refs` for the result.
    pub(super) unsafe fn adopt(node: NonNull<Node>) -> Self {
        Self(node)
    }

    /// A fresh live signal on the system's clock.
    #[inline]
    pub(crate) fn new() -> Self {
        Self(Node::new(UNIT))
    }

    pub(crate) fn new_cancelled(record: RecordRef, clock: Clock) -> Self {
        Self(Node::new_cancelled(UNIT, record, clock))
    }

    #[inline]
    pub(crate) fn to_token(&self) -> TokenRef {
        self.count(TOKEN);
        Handle(self.0)
    }

    #[inline]
    fn count(&self, unit: u64) {
        // Ordering: Relaxed: the handle that we come from keeps the node.
        let before = self.node().refs.fetch_add(unit, Relaxed);
        if handles(before) > MAX_HANDLES {
            std::process::abort();
        }
    }

    /// The check. One load and one compare while live.
    #[inline(always)]
    pub(crate) fn is_cancelled(&self) -> bool {
        // Ordering: Acquire pairs with the Release that publishes the record.
        let state = self.node().state.load(Acquire);
        !state.is_null() && probe::look(self.0, state)
    }

    #[inline]
    pub(crate) fn cancellation(&self) -> Option<Cancelled> {
        self.is_cancelled().then(|| self.recorded()).flatten()
    }

    /// The cause, without a look.
    pub(crate) fn recorded(&self) -> Option<Cancelled> {
        let record = self.node().record()?;
        // SAFETY: I3: the node owns a count, and our handle keeps the node.
        Some(Cancelled::new(unsafe { RecordRef::clone_raw(record) }))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.node().clock()
    }
}

impl SourceRef {
    /// A fresh live signal whose deadlines run on `clock`.
    pub(crate) fn with_clock(clock: Clock) -> Self {
        if clock.is_system() {
            return Self::new();
        }
        Self(Node::new_extended(SOURCE, clock, None, Vec::new()))
    }
}

impl<const UNIT: u64> Clone for Handle<UNIT> {
    #[inline]
    fn clone(&self) -> Self {
        self.count(UNIT);
        Self(self.0)
    }
}

impl<const UNIT: u64> PartialEq for Handle<UNIT> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const UNIT: u64> Eq for Handle<UNIT> {}

impl<const UNIT: u64> std::hash::Hash for Handle<UNIT> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<const UNIT: u64> Drop for Handle<UNIT> {
    #[inline]
    fn drop(&mut self) {
        let refs = &self.node().refs;
        // Ordering: Acquire pairs with the Release of the other handles'
        // drops: what they did is done when we find ourselves alone (I6).
        if handles(refs.load(Acquire)) == 1
            // SAFETY: I6: this is the first of its five loads.
            && unsafe { life::free_if_sole(self.0) }
        {
            return;
        }
        // Ordering: AcqRel: Release as above; Acquire for the last one.
        if handles(refs.fetch_sub(UNIT, AcqRel)) == 1 {
            // SAFETY: I1: the handles' unit of `life` is now ours.
            unsafe { life::last_handle_gone(self.0) };
        }
    }
}
