//! What stands on a node's list: children, waiters and callbacks, in one
//! intrusive list, newest first.
//!
//! An [`Entry`] is the first field of whatever it stands for, or at a known
//! place in it, so that the list needs no allocation of its own. Its `kind`
//! says what it stands for and never changes.

use std::ptr;

use super::Node;
use super::sync::{AtomicU32, Guarded};

/// What an [`Entry`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A child, by the link inside its node.
    Child,
    /// A child, by one of the further links of a node with several parents.
    FurtherChild,
    /// A pending future or a blocked thread.
    Waiter,
    /// A callback.
    Callback,
}

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    next: Guarded<*const Entry>,
    prev: Guarded<*const Entry>,
    linked: Guarded<bool>,
    pub(crate) kind: Kind,
    /// Room that the layout leaves. A node keeps its `shells` in its own entry,
    /// under its own lock.
    pub(super) room: AtomicU32,
}

impl Entry {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            next: Guarded::new(ptr::null()),
            prev: Guarded::new(ptr::null()),
            linked: Guarded::new(false),
            kind,
            room: AtomicU32::new(0),
        }
    }

    /// Before the entry's memory goes: whatever others did with it is over.
    ///
    /// # Safety
    ///
    /// Nobody else can reach the entry.
    #[cfg(all(test, loom))]
    pub(crate) unsafe fn assert_sole(&self) {
        // SAFETY: I9 by the caller.
        unsafe {
            assert!(!self.linked.get(), "an entry that goes is on no list");
            self.next.set(ptr::null());
            self.prev.set(ptr::null());
            self.linked.set(false);
        }
    }

    /// # Safety
    ///
    /// The caller holds the lock of the node that the entry belongs to.
    #[inline(always)]
    pub(crate) unsafe fn is_linked(&self) -> bool {
        // SAFETY: I2: the caller holds the lock.
        unsafe { self.linked.get() }
    }
}

/// Puts `entry` in front of the list that starts at `head`.
///
/// # Safety
///
/// The caller holds the lock of the node that `head` belongs to, `entry` is on
/// no list, and it stays where it is until it is unlinked (I9).
#[inline(always)]
pub(crate) unsafe fn push_front(head: &Guarded<*const Entry>, entry: *const Entry) {
    // SAFETY: I2 and I9: the lock is held; entries on the list are alive.
    unsafe {
        let first = head.get();
        (*entry).next.set(first);
        (*entry).prev.set(ptr::null());
        (*entry).linked.set(true);
        if let Some(first) = first.as_ref() {
            first.prev.set(entry);
        }
        head.set(entry);
    }
}

/// Takes `entry` off whichever list of `node` it is on.
///
/// # Safety
///
/// The caller holds the lock of `node`, and `entry` is on one of its lists.
#[inline(always)]
pub(crate) unsafe fn unlink(node: &Node, entry: *const Entry) {
    // SAFETY: I2 and I9: the lock is held; entries on the list are alive.
    unsafe {
        let next = (*entry).next.get();
        let prev = (*entry).prev.get();
        if let Some(next) = next.as_ref() {
            next.prev.set(prev);
        }
        if let Some(prev) = prev.as_ref() {
            prev.next.set(next);
        } else if node.list.get() == entry {
            node.list.set(next);
        } else {
            debug_assert_eq!(node.aside.get(), entry, "an entry without a neighbour is a head");
            node.aside.set(next);
        }
        (*entry).linked.set(false);
    }
}

/// Takes the first entry off the list that starts at `head`.
///
/// # Safety
///
/// The caller holds the lock of the node that `head` belongs to.
#[inline(always)]
pub(crate) unsafe fn pop_front(head: &Guarded<*const Entry>) -> Option<*const Entry> {
    // SAFETY: I2 and I9: the lock is held; entries on the list are alive.
    unsafe {
        let first = head.get();
        let entry = first.as_ref()?;
        let next = entry.next.get();
        if let Some(next) = next.as_ref() {
            next.prev.set(ptr::null());
        }
        head.set(next);
        entry.linked.set(false);
        Some(first)
    }
}
