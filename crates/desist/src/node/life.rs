//! The end of a node: who empties it, who frees its memory, and how the end
//! climbs to its parents.
//!
//! | `life` | `shells` | flags            | the node                             |
//! |--------|----------|------------------|--------------------------------------|
//! | > 0    | any      |                  | is of use to somebody                |
//! | 0      | any      | `DEAD`           | is emptied by who brought it to zero |
//! | 0      | > 0      | `DEAD`, `BURIED` | is bare memory, with bare stripes    |
//! | 0      | 0        | `DEAD`, `BURIED` | is freed by who brought it to zero   |
//!
//! A child that stands on its parent's list counts in the parent's `life`. One
//! that was taken off because it is cancelled, but is not yet freed, counts in
//! `shells`: it needs the parent's memory to lock it when it goes, and nothing
//! else of it.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::alloc::{Ext, dealloc, empty, free};
use super::handle::handles;
use super::list::Entry;
use super::lock::Lock;
use super::sync::{AtomicU32, Guarded};
use super::under::Under;
use super::{BURIED, DEAD, Node, RELEASED};
use crate::unwind::Panic;

impl Node {
    /// Counts one more party that needs the memory.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock, and the node is not dead.
    #[inline(always)]
    pub(super) unsafe fn keep(&self) {
        // Ordering: Relaxed: only the lock's holder writes; the lock orders it.
        let life = self.life.load(Relaxed);
        // Ordering: Relaxed: whoever reads this without the lock sees that it is
        // not alone, and leaves.
        self.life.store(life + 1, Relaxed);
    }

    /// Counts one party less. True if it was the last: the caller then has set
    /// `DEAD` and must `reap`.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock and owns a unit of `life`.
    #[inline(always)]
    pub(super) unsafe fn let_go(&self) -> bool {
        // Ordering: Relaxed: only the lock's holder writes; the lock orders it.
        let life = self.life.load(Relaxed);
        debug_assert_ne!(life, 0, "a unit of life is given back once");
        // Ordering: Release pairs with the Acquire in `is_sole`.
        self.life.store(life - 1, Release);
        if life == 1 {
            // SAFETY: I2: the caller holds the lock.
            unsafe { self.set_flag(DEAD) };
        }
        life == 1
    }

    fn shells(&self) -> &AtomicU32 {
        &self.entry.room
    }

    /// Takes a child that is cancelled off the list, if it is on it: from now
    /// on it needs the memory only. True as for `let_go`.
    ///
    /// # Safety
    ///
    /// The caller holds this node's lock; `entry` is a child's.
    pub(super) unsafe fn child_left(&self, entry: &Entry) -> bool {
        // SAFETY: I2: the caller holds the lock.
        unsafe {
            if !entry.is_linked() {
                return false;
            }
            self.unlink(entry);
            self.count_shells(1);
            self.let_go()
        }
    }

    /// # Safety
    ///
    /// The caller holds this node's lock.
    unsafe fn count_shells(&self, more: u32) {
        // Ordering: Relaxed: only the lock's holder writes; the lock orders it.
        let shells = self.shells().load(Relaxed);
        // Ordering: Relaxed: as in `keep`.
        self.shells().store(shells + more, Relaxed);
    }

    /// Says that `count` children were just taken off the list by a walk.
    ///
    /// # Safety
    ///
    /// The caller holds this node's lock, and pins the node or owns a handle.
    pub(super) unsafe fn children_left(&self, count: u32) {
        // Ordering: Relaxed: only the lock's holder writes; the lock orders it.
        let life = self.life.load(Relaxed);
        debug_assert!(life > count, "the walk's pin is left, or the unit of its handle");
        // Ordering: Relaxed: a reader that has a handle sees that it is not alone: by
        // the walk's pin, or by the handle of whoever cancels, which was counted before
        // the reader's could go; for one that fires a deadline see `free_if_sole`.
        self.life.store(life - count, Relaxed);
        // SAFETY: I2: the caller holds the lock.
        unsafe { self.count_shells(count) };
    }

    /// Counts what was counted in a stripe.
    ///
    /// # Safety
    ///
    /// The caller holds this node's lock, and the node is not dead.
    pub(super) unsafe fn take_over(&self, children: u32, shells: u32) {
        // Ordering: Relaxed: only the lock's holder writes; the lock orders it.
        let life = self.life.load(Relaxed);
        // Ordering: Relaxed: as in `keep`.
        self.life.store(life + children, Relaxed);
        // SAFETY: I2: the caller holds the lock.
        unsafe { self.count_shells(shells) };
    }

    /// Counts a child that was never put on the list.
    ///
    /// # Safety
    ///
    /// The caller holds this node's lock and keeps the node.
    pub(super) unsafe fn keep_memory(&self) {
        // SAFETY: I2: the caller holds the lock.
        unsafe { self.count_shells(1) };
    }

    /// Ends a child's business with this node.
    ///
    /// # Safety
    ///
    /// The caller holds this node's lock; `entry` is a child's, which never
    /// comes back.
    #[inline]
    pub(super) unsafe fn child_gone(&self, entry: &Entry) -> Left {
        // SAFETY: I2: the caller holds the lock.
        unsafe {
            if entry.is_linked() {
                self.unlink(entry);
                return if self.let_go() { Left::Dead } else { Left::InUse };
            }
            // Ordering: Relaxed: only the lock's holder writes.
            let shells = self.shells().load(Relaxed);
            debug_assert_ne!(shells, 0, "a child that is not on the list counts here");
            // Ordering: Release pairs with the Acquire in `is_sole`.
            self.shells().store(shells - 1, Release);
            if shells == 1 && self.has_flag(BURIED) { Left::Bare } else { Left::InUse }
        }
    }

    /// The links to the parents. The first one lies in the node itself.
    pub(super) fn links(&self) -> impl Iterator<Item = (&Guarded<*const Self>, &Entry)> {
        let further = self.ext().map_or(&[][..], |ext| &ext.links[..]);
        std::iter::once((&self.parent, &self.entry))
            .chain(further.iter().map(|link| (&link.parent, &link.entry)))
    }
}

/// What a child that goes leaves behind.
#[derive(PartialEq, Eq)]
pub(super) enum Left {
    /// Others use the parent.
    InUse,
    /// It was the last that did: the parent is now `DEAD`.
    Dead,
    /// It was the last that needed the memory.
    Bare,
}

impl Left {
    /// # Safety
    ///
    /// `parent` is what `child_gone` said this of, and its lock is released.
    unsafe fn settle(self, parent: NonNull<Node>, panic: &mut Panic) {
        // SAFETY: I1: as `child_gone` says, the node is ours.
        unsafe {
            match self {
                Self::InUse => {}
                Self::Dead => reap(parent, panic),
                Self::Bare => dealloc(parent),
            }
        }
    }
}

/// Frees the node if the calling handle is all that is left of it, with no
/// atomic read-modify-write on it: the way out of nearly every child, request
/// and timeout.
///
/// # Safety
///
/// The caller owns a handle and has read `refs` = 1.
#[inline]
pub(super) unsafe fn free_if_sole(node: NonNull<Node>) -> bool {
    // SAFETY: I1: the caller's handle keeps the node until it is freed here.
    // I4: with a handle, `parent` is stable and keeps the parent.
    unsafe {
        let this = node.as_ref();
        if !is_sole(this) {
            return false;
        }
        if let Some(ext) = this.ext() {
            // A thread that fired the timer may have the lock, and a handle that does
            // not show yet. Whoever has the clock's lock after it finds the node's lock
            // taken, or free with all that it did under it, its handle included.
            // With stripes there are entries that `life` does not tell of.
            let plain = ext.links.is_empty() && this.stripes().is_none();
            let quiet = plain && ext.retire_if_quiet() && this.lock.is_free();
            if !quiet || !is_sole(this) {
                return false;
            }
        }
        let mut panic = Panic::none();
        let parent = this.parent.get();
        if let Some(parent) = NonNull::new(parent.cast_mut()) {
            let above = Under::of(parent, &this.entry);
            // A walk may have come between; from now on none can.
            if !is_sole(this) {
                above.release();
                return false;
            }
            let left = above.child_gone(&this.entry);
            above.release();
            free(node, &mut panic);
            left.settle(parent, &mut panic);
        } else {
            free(node, &mut panic);
        }
        panic.resume();
        true
    }
}

/// Four of the five loads of I6; the caller has made the first.
///
/// # Safety
///
/// The caller owns a handle of the node.
#[inline(always)]
unsafe fn is_sole(this: &Node) -> bool {
    // Ordering: Acquire, each: pairs with the Release of whoever gave up the
    // last other unit, in this order: its `life`, then the lock; and with the
    // Release of a handle that looked upward meanwhile.
    this.life.load(Acquire) == 1
        && this.shells().load(Acquire) == 0
        && this.lock.is_free()
        && handles(this.refs.load(Acquire)) == 1
}

/// The last handle is gone; its unit of `life` is given back. A cancelled node
/// lets go of its parents now, even if its children keep it.
///
/// # Safety
///
/// The caller owns the handles' unit of `life`.
#[cold]
pub(super) unsafe fn last_handle_gone(node: NonNull<Node>) {
    let mut panic = Panic::none();
    // SAFETY: I1: the unit is ours.
    unsafe {
        node.as_ref().lock.acquire();
        node.as_ref().close_stripes();
        give_back(node, &mut panic);
    }
    panic.resume();
}

/// Gives back a unit of `life`, lets a cancelled node without handles let go of
/// its parents, and frees what is dead.
///
/// # Safety
///
/// The caller owns a unit of `life` and holds the lock, which is released.
pub(super) unsafe fn give_back(node: NonNull<Node>, panic: &mut Panic) {
    // SAFETY: I1: the caller's unit keeps the node until `let_go`; then `DEAD`
    // does. I2: the lock is held where `flags` are read and set.
    unsafe {
        let this = node.as_ref();
        if this.is_orphaned() && this.record().is_some() && !this.has_flag(RELEASED) {
            this.set_flag(RELEASED);
            Lock::release(&raw const (*node.as_ptr()).lock);
            release_parents(node, panic);
            node.as_ref().lock.acquire();
        }
        let dead = node.as_ref().let_go();
        Lock::release(&raw const (*node.as_ptr()).lock);
        if dead {
            reap(node, panic);
        }
    }
}

/// Empties a dead node and frees it, and its parents if that was what kept
/// them, in a loop.
///
/// # Safety
///
/// The caller has set `DEAD` on the node.
#[cold]
pub(super) unsafe fn reap(node: NonNull<Node>, panic: &mut Panic) {
    let mut graves = Graves::new();
    // SAFETY: I1: dead nodes are ours.
    unsafe {
        graves.dig(node);
        while let Some(dead) = graves.pop() {
            // A timer in flight takes over the duty to free (I8).
            let ext = dead.as_ref().ext().map(ptr::from_ref);
            if ext.is_none_or(|ext| Ext::retire(ext)) {
                detach_from_parents(dead, |parent| graves.dig(parent));
                bury(dead, panic);
            }
        }
    }
}

/// # Safety
///
/// The node is `DEAD`, off its clock and let go of by its parents.
unsafe fn bury(node: NonNull<Node>, panic: &mut Panic) {
    // SAFETY: I1: until `BURIED` is set the node is ours; after that it is, if
    // no shell is left.
    unsafe {
        empty(node, panic);
        let this = node.as_ref();
        this.lock.acquire();
        this.set_flag(BURIED);
        // Ordering: Relaxed: the lock orders it.
        let bare = this.shells().load(Relaxed) == 0;
        Lock::release(&raw const (*node.as_ptr()).lock);
        if bare {
            dealloc(node);
        }
    }
}

/// # Safety
///
/// The caller has set `RELEASED` and keeps the node.
unsafe fn release_parents(node: NonNull<Node>, panic: &mut Panic) {
    let mut graves = Graves::new();
    // SAFETY: I4: the caller set `RELEASED`.
    unsafe {
        detach_from_parents(node, |parent| graves.dig(parent));
        graves.reap(panic);
    }
}

/// Dead nodes that wait to be emptied, chained through `walk`.
struct Graves(*const Node);

impl Graves {
    fn new() -> Self {
        Self(ptr::null())
    }

    /// # Safety
    ///
    /// The caller has set `DEAD` on the node.
    unsafe fn dig(&mut self, node: NonNull<Node>) {
        // SAFETY: I7: the `walk` of a dead node is ours.
        unsafe { node.as_ref().walk.set(self.0) };
        self.0 = node.as_ptr();
    }

    /// # Safety
    ///
    /// As for `dig`.
    unsafe fn pop(&mut self) -> Option<NonNull<Node>> {
        let node = NonNull::new(self.0.cast_mut())?;
        // SAFETY: I7: the `walk` of a dead node is ours.
        self.0 = unsafe { node.as_ref().walk.get() };
        Some(node)
    }

    /// # Safety
    ///
    /// As for `dig`.
    unsafe fn reap(mut self, panic: &mut Panic) {
        // SAFETY: I1: dead nodes are ours.
        unsafe {
            while let Some(node) = self.pop() {
                reap(node, panic);
            }
        }
    }
}

/// Takes the node off its parents' lists and gives back its units; `dead` is
/// told of each parent that this ends.
///
/// # Safety
///
/// I4: the caller has set `RELEASED` or `DEAD` on the node.
unsafe fn detach_from_parents(node: NonNull<Node>, mut dead: impl FnMut(NonNull<Node>)) {
    // SAFETY: I4: the links are ours; each keeps its parent until `child_gone`.
    unsafe {
        for (link, entry) in node.as_ref().links() {
            let Some(parent) = NonNull::new(link.get().cast_mut()) else { continue };
            link.set(ptr::null());
            let above = Under::of(parent, entry);
            let left = above.child_gone(entry);
            above.release();
            match left {
                Left::InUse => {}
                Left::Dead => dead(parent),
                Left::Bare => dealloc(parent),
            }
        }
    }
}

/// Takes a cancelled node off the lists of those parents that are still live.
/// It keeps their memory as long as it has handles, nothing else of them.
///
/// # Safety
///
/// The caller owns a handle of the node, and the node is not `RELEASED`.
pub(super) unsafe fn unlink_from_parents(node: NonNull<Node>, panic: &mut Panic) {
    let mut graves = Graves::new();
    // SAFETY: I4: with our handle the links are stable, and they keep the
    // parents' memory.
    unsafe {
        for (link, entry) in node.as_ref().links() {
            let Some(parent) = NonNull::new(link.get().cast_mut()) else { continue };
            let above = Under::of(parent, entry);
            let dead = above.child_left(entry);
            above.release();
            if dead {
                graves.dig(parent);
            }
        }
        graves.reap(panic);
    }
}
