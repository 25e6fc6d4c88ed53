//! The end of a node: who frees it, and how the end climbs to its parents.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::alloc::free;
use super::handle::handles;
use super::list::{Entry, unlink};
use super::lock::Lock;
use super::sync::Guarded;
use super::{DEAD, Node, RELEASED};
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
        // Ordering: Release pairs with the Acquire in `free_if_sole`.
        self.life.store(life + 1, Release);
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
        // Ordering: Release pairs with the Acquire in `free_if_sole`.
        self.life.store(life - 1, Release);
        if life == 1 {
            // SAFETY: I2: the caller holds the lock.
            unsafe { self.set_flag(DEAD) };
        }
        life == 1
    }

    /// The links to the parents. The first one lies in the node itself.
    pub(super) fn links(&self) -> impl Iterator<Item = (&Guarded<*const Self>, &Entry)> {
        let further = self.ext().map_or(&[][..], |ext| &ext.links[..]);
        std::iter::once((&self.parent, &self.entry))
            .chain(further.iter().map(|link| (&link.parent, &link.entry)))
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
            if !ext.links.is_empty() || !ext.retire_if_quiet() {
                return false;
            }
        }
        let mut panic = Panic::none();
        let parent = this.parent.get();
        if let Some(above) = parent.as_ref() {
            above.lock.acquire();
            // A walk may have come between; from now on none can.
            if !is_sole(this) {
                Lock::release(&raw const (*parent).lock);
                return false;
            }
            if this.entry.is_linked() {
                unlink(above, &this.entry);
            }
            let above_dead = above.let_go();
            Lock::release(&raw const (*parent).lock);
            free(node, &mut panic);
            if above_dead {
                reap(NonNull::new_unchecked(parent.cast_mut()), &mut panic);
            }
        } else {
            free(node, &mut panic);
        }
        panic.resume();
        true
    }
}

/// Three of the four loads of I6; the caller has made the first.
///
/// # Safety
///
/// The caller owns a handle of the node.
#[inline(always)]
unsafe fn is_sole(this: &Node) -> bool {
    // Ordering: Acquire, each: pairs with the Release of whoever gave up the
    // last other unit, in this order: its `life`, then the lock; and with the
    // Release of a handle that looked upward meanwhile.
    this.life.load(Acquire) == 1 && this.lock.is_free() && handles(this.refs.load(Acquire)) == 1
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
        // Ordering: Relaxed: a handle can only be made under this lock, or from
        // another handle.
        let orphaned = handles(this.refs.load(Relaxed)) == 0;
        if orphaned && this.record().is_some() && !this.has_flag(RELEASED) {
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

/// Frees a dead node, and its parents if that was what kept them, in a loop.
///
/// # Safety
///
/// The caller has set `DEAD` on the node.
pub(super) unsafe fn reap(node: NonNull<Node>, panic: &mut Panic) {
    let mut graves: *const Node = ptr::null();
    // SAFETY: I1: dead nodes are ours. I7: their `walk` is ours too.
    unsafe {
        let mut next = Some(node);
        while let Some(dead) = next {
            // A timer in flight takes over the duty to free (I8).
            if dead.as_ref().ext().is_none_or(|ext| ext.retire()) {
                detach_from_parents(dead, |parent| {
                    parent.as_ref().walk.set(graves);
                    graves = parent.as_ptr();
                });
                free(dead, panic);
            }
            next = NonNull::new(graves.cast_mut());
            if let Some(grave) = next {
                graves = grave.as_ref().walk.get();
            }
        }
    }
}

/// # Safety
///
/// The caller has set `RELEASED` and keeps the node.
unsafe fn release_parents(node: NonNull<Node>, panic: &mut Panic) {
    let mut graves: *const Node = ptr::null();
    // SAFETY: I4: the caller set `RELEASED`. I7: dead parents are ours.
    unsafe {
        detach_from_parents(node, |parent| {
            parent.as_ref().walk.set(graves);
            graves = parent.as_ptr();
        });
        while let Some(grave) = NonNull::new(graves.cast_mut()) {
            graves = grave.as_ref().walk.get();
            reap(grave, panic);
        }
    }
}

/// Takes the node off its parents' lists and gives back their units; `dead` is
/// told of each that this ends.
///
/// # Safety
///
/// I4: the caller has set `RELEASED` or `DEAD` on the node.
unsafe fn detach_from_parents(node: NonNull<Node>, mut dead: impl FnMut(NonNull<Node>)) {
    // SAFETY: I4: the links are ours; each keeps its parent until `let_go`.
    unsafe {
        for (link, entry) in node.as_ref().links() {
            let Some(parent) = NonNull::new(link.get().cast_mut()) else {
                continue;
            };
            link.set(ptr::null());
            parent.as_ref().lock.acquire();
            if entry.is_linked() {
                unlink(parent.as_ref(), entry);
            }
            let parent_dead = parent.as_ref().let_go();
            Lock::release(&raw const (*parent.as_ptr()).lock);
            if parent_dead {
                dead(parent);
            }
        }
    }
}

/// Takes a cancelled node off the lists of those parents that are still live.
/// It keeps their memory as long as it has handles, nothing else.
///
/// # Safety
///
/// The caller owns a handle of the node, and the node is not `RELEASED`.
pub(super) unsafe fn unlink_from_parents(node: NonNull<Node>) {
    // SAFETY: I4: with our handle the links are stable, and they keep the
    // parents.
    unsafe {
        for (link, entry) in node.as_ref().links() {
            let Some(parent) = link.get().as_ref() else {
                continue;
            };
            parent.lock.acquire();
            if entry.is_linked() {
                unlink(parent, entry);
            }
            Lock::release(&parent.lock);
        }
    }
}
