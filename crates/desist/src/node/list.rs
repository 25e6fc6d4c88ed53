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

/// The `place` of what is on the node's own list.
const NO_PLACE: u8 = u8::MAX;

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry {
    next: Guarded<*const Entry>,
    prev: Guarded<*const Entry>,
    linked: Guarded<bool>,
    pub(crate) kind: Kind,
    /// On whose list it is; see `stripes`. Written before the entry is shared.
    place: Guarded<u8>,
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
            place: Guarded::new(NO_PLACE),
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
            self.place.set(NO_PLACE);
        }
    }

    /// The place whose stripe it was put in; none if that was the node itself.
    ///
    /// # Safety
    ///
    /// I4: nobody puts the entry on a list at this moment.
    #[inline(always)]
    pub(super) unsafe fn place(&self) -> Option<u8> {
        // SAFETY: I4 by the caller.
        let place = unsafe { self.place.get() };
        (place != NO_PLACE).then_some(place)
    }

    /// # Safety
    ///
    /// I4: the caller puts the entry on a list.
    #[inline(always)]
    pub(super) unsafe fn set_place(&self, place: u8) {
        // SAFETY: I4 by the caller.
        unsafe { self.place.set(place) };
    }

    /// The entry before this one; null if this is the first.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of the list that the entry is on.
    #[inline(always)]
    pub(super) unsafe fn before(&self) -> *const Self {
        // SAFETY: I2: the caller holds the lock.
        unsafe { self.prev.get() }
    }

    /// One list of two: the first from `first` to `last`, null if it is empty;
    /// the second from `rest` on. Gives its head.
    ///
    /// # Safety
    ///
    /// The caller holds the locks of both.
    pub(super) unsafe fn joined(
        first: *const Self,
        last: *const Self,
        rest: *const Self,
    ) -> *const Self {
        // SAFETY: I2 and I9: the locks are held; entries on the lists are alive.
        unsafe {
            if first.is_null() {
                return rest;
            }
            (*last).next.set(rest);
            if let Some(rest) = rest.as_ref() {
                rest.prev.set(last);
            }
            first
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

impl Node {
    /// Takes `entry` off whichever of the node's own lists it is on.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock, and `entry` is on one of these lists.
    #[inline(always)]
    pub(super) unsafe fn unlink(&self, entry: *const Entry) {
        // SAFETY: I2: the lock is held.
        unsafe {
            // Who has a neighbour before it needs no head.
            let is_first = self.list.get() == entry;
            unlink(if is_first { &self.list } else { &self.aside }, entry);
        }
    }
}

/// Takes `entry` off the list that starts at `head`.
///
/// # Safety
///
/// The caller holds the lock of that list, and `entry` is on it.
#[inline(always)]
pub(super) unsafe fn unlink(head: &Guarded<*const Entry>, entry: *const Entry) {
    // SAFETY: I2 and I9: the lock is held; entries on the list are alive.
    unsafe {
        let next = (*entry).next.get();
        let prev = (*entry).prev.get();
        if let Some(next) = next.as_ref() {
            next.prev.set(prev);
        }
        if let Some(prev) = prev.as_ref() {
            prev.next.set(next);
        } else {
            debug_assert_eq!(head.get(), entry, "an entry without a neighbour is a head");
            head.set(next);
        }
        (*entry).linked.set(false);
    }
}

/// Takes entries off the front of a list, whose head waits for the `end` of it.
#[must_use]
pub(super) struct Front<'a> {
    head: &'a Guarded<*const Entry>,
    next: *const Entry,
}

impl<'a> Front<'a> {
    /// # Safety
    ///
    /// The caller holds the lock of the node that `head` belongs to, up to `end`, and
    /// does nothing else with the list meanwhile.
    #[inline(always)]
    pub(super) unsafe fn of(head: &'a Guarded<*const Entry>) -> Self {
        // SAFETY: I2 by the caller.
        Self { head, next: unsafe { head.get() } }
    }

    /// # Safety
    ///
    /// As for `of`.
    #[inline(always)]
    pub(super) unsafe fn take(&mut self) -> Option<*const Entry> {
        let first = self.next;
        // SAFETY: I2 and I9: the lock is held; entries on the list are alive.
        unsafe {
            let entry = first.as_ref()?;
            self.next = entry.next.get();
            entry.linked.set(false);
        }
        Some(first)
    }

    /// What was not taken is the list. True if it is empty.
    ///
    /// # Safety
    ///
    /// As for `of`.
    #[inline(always)]
    pub(super) unsafe fn end(self) -> bool {
        // SAFETY: I2 and I9: as in `take`.
        unsafe {
            self.head.set(self.next);
            if let Some(next) = self.next.as_ref() {
                next.prev.set(ptr::null());
            }
        }
        self.next.is_null()
    }
}

/// Takes the first entry off the list that starts at `head`.
///
/// # Safety
///
/// The caller holds the lock of the node that `head` belongs to.
#[inline(always)]
pub(crate) unsafe fn pop_front(head: &Guarded<*const Entry>) -> Option<*const Entry> {
    // SAFETY: I2 by the caller.
    unsafe {
        let mut front = Front::of(head);
        let first = front.take();
        front.end();
        first
    }
}
