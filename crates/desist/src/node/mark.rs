//! Marking: from the moment a cancel wins until nothing below it is live.
//!
//! Depth first over the children's links, without recursion and without an
//! allocation: the nodes on the way down are chained through `walk`, and so is
//! the queue of nodes that have somebody to wake or to call. A node is queued
//! when all its children are done, so descendants stand before their ancestors,
//! also where a node has several parents. One that has children and nobody to wake
//! or to call need not be queued: it is let go of in the hold in which the last of
//! its children is found, and that child takes its place on the way.
//!
//! | a child found on a list       | what happens to it                        |
//! |-------------------------------|-------------------------------------------|
//! | live, nothing on its lists    | marked, taken off                         |
//! | live, has children            | marked, taken off, pinned, next to walk   |
//! | live, waiters or callbacks    | marked, taken off, pinned, queued         |
//! | cancelled by another walk     | taken off; its record is remembered       |
//! | dead                          | taken off; its freer is on the way        |

use std::mem;
use std::ptr::{self, NonNull};

use super::alloc::Link;
use super::list::{Entry, Front, Kind, push_front};
use super::lock::{Lock, yield_to_waiter};
use super::record::{Advance, RecordRef};
use super::{DEAD, HAD_CHILD, Node, SEVERAL_PARENTS, ahead};

/// How many entries are handled under one hold of a lock.
#[cfg(not(all(test, loom)))]
pub(super) const CHUNK: usize = 64;
#[cfg(all(test, loom))]
pub(super) const CHUNK: usize = 2;

/// Nodes that are marked and kept and have more to come, in order.
pub(super) struct Queue {
    first: *const Node,
    last: *const Node,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { first: ptr::null(), last: ptr::null() }
    }

    /// # Safety
    ///
    /// I7: this walk marked the node and keeps it, and it is on no chain.
    pub(super) unsafe fn push(&mut self, node: NonNull<Node>) {
        // SAFETY: I7: `walk` of this node and of `last` is ours.
        unsafe {
            node.as_ref().walk.set(ptr::null());
            if let Some(last) = self.last.as_ref() {
                last.walk.set(node.as_ptr());
            } else {
                self.first = node.as_ptr();
            }
        }
        self.last = node.as_ptr();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    pub(super) fn pop(&mut self) -> Option<NonNull<Node>> {
        let node = NonNull::new(self.first.cast_mut())?;
        // SAFETY: I7: queued nodes are kept, their `walk` is ours.
        self.first = unsafe { node.as_ref().walk.get() };
        if self.first.is_null() {
            self.last = ptr::null();
        }
        Some(node)
    }
}

/// Marks all below `root`, which is marked; queues it last, if there is somebody to
/// wake or to call. Gives the records of other walks that it met.
///
/// # Safety
///
/// I7: the caller marked `root` with the record of `advance`, owns a handle of it,
/// and holds its lock, which is released.
pub(super) unsafe fn mark_below(
    root: NonNull<Node>,
    advance: Advance<'_>,
    queue: &mut Queue,
) -> Vec<RecordRef> {
    let mut walk = Walk { advance, queue, met: Vec::new() };
    // SAFETY: I7: `root`, and what `chunk` gives, is marked and kept.
    unsafe {
        root.as_ref().walk.set(ptr::null());
        let mut node = root;
        loop {
            let above = node.as_ref().walk.get();
            let (step, left) = walk.chunk(node, node == root);
            let next = match step {
                Step::Again => Some(node),
                Step::Down(child) => {
                    child.as_ref().walk.set(if left { above } else { node.as_ptr() });
                    Some(child)
                }
                Step::Done => {
                    if !left {
                        walk.queue.push(node);
                    }
                    NonNull::new(above.cast_mut())
                }
            };
            let Some(next) = next else { break };
            next.as_ref().lock.acquire();
            node = next;
        }
    }
    let Walk { advance, met, .. } = walk;
    drop(advance);
    met
}

struct Walk<'a> {
    advance: Advance<'a>,
    queue: &'a mut Queue,
    met: Vec<RecordRef>,
}

enum Step {
    /// There is more on this node's list.
    Again,
    /// This child has children of its own: they come first.
    Down(NonNull<Node>),
    /// Nothing is left that could be a child.
    Done,
}

impl Walk<'_> {
    /// Walks a part of `node`'s list under one hold of its lock. True if the node has
    /// nothing more to do with the cancel; the walk has let go of it then.
    ///
    /// # Safety
    ///
    /// I7: this walk marked the node and keeps it. The caller holds its lock, which
    /// is released.
    unsafe fn chunk(&mut self, node: NonNull<Node>, is_root: bool) -> (Step, bool) {
        // SAFETY: I1: the walk keeps the node. I2: under its lock. I9: entries
        // on the list are alive.
        unsafe {
            let this = node.as_ref();
            this.close_stripes();
            let mut down = None;
            let mut children = 0;
            let mut front = Front::of(&this.list);
            for _ in 0..CHUNK {
                let Some(entry) = front.take() else { break };
                match (*entry).kind {
                    Kind::Child | Kind::FurtherChild => {
                        children += 1;
                        down = self.child(child_of(entry));
                        if down.is_some() {
                            break;
                        }
                    }
                    Kind::Waiter | Kind::Callback => push_front(&this.aside, entry),
                }
            }
            let all = front.end();
            this.children_left(children);
            let step = match down {
                Some(child) => Step::Down(child),
                None if all => Step::Done,
                None => Step::Again,
            };
            let idle = is_idle(this);
            if idle && !is_root {
                // Not the last unit: there are handles.
                this.let_go();
            }
            if Lock::release(&raw const (*node.as_ptr()).lock) {
                yield_to_waiter();
            }
            (step, idle)
        }
    }

    /// Marks one child. Gives it back if the walk must go on below it.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of a parent on whose list the child was.
    #[inline]
    unsafe fn child(&mut self, child: NonNull<Node>) -> Option<NonNull<Node>> {
        // SAFETY: I1: it was on the list of a parent whose lock is held, so it
        // cannot be freed. I5: parent before child. I2, I3, I7: under its lock.
        unsafe {
            let this = child.as_ref();
            this.lock.acquire();
            let mut down = None;
            if this.has_flag(DEAD) {
                // Its freer waits for the parent's lock.
            } else if let Some(other) = this.record() {
                if !self.advance.is_of(other) {
                    self.meet(other);
                }
            } else {
                ahead::fetch(this.walk.get());
                this.set_record(self.advance.hand_out());
                if let Some(ext) = this.ext() {
                    ext.disarm();
                }
                let empty = this.list.get().is_null() && this.stripes().is_none();
                let plain = empty && !this.has_flag(SEVERAL_PARENTS);
                if !plain || this.is_orphaned() {
                    this.keep();
                    if this.has_flag(HAD_CHILD) {
                        down = Some(child);
                    } else {
                        self.queue.push(child);
                    }
                }
            }
            Lock::release(&raw const (*child.as_ptr()).lock);
            down
        }
    }

    /// Remembers the record of a walk that came first, if it is not done.
    ///
    /// # Safety
    ///
    /// I3: the caller holds the lock of a node that owns a count of `other`.
    #[cold]
    unsafe fn meet(&mut self, other: *mut super::Record) {
        if self.met.last().is_some_and(|last| last.as_raw() == other) {
            return;
        }
        // SAFETY: I3 by the caller.
        let other = unsafe { RecordRef::clone_raw(other) };
        if other.is_settled() {
            // Not the last count: the node has one.
            drop(other);
        } else {
            self.met.push(other);
        }
    }
}

/// True if there is nobody to wake or to call, and nothing to do with the links: of
/// a single parent's list it was taken off, or will be by whoever cancels it, and that
/// parent is let go of by whoever gives up the last handle.
///
/// # Safety
///
/// The caller holds the lock of the node, which was marked.
unsafe fn is_idle(node: &Node) -> bool {
    // SAFETY: I2: under the lock.
    unsafe {
        node.list.get().is_null()
            && node.aside.get().is_null()
            && !node.has_flag(SEVERAL_PARENTS)
            && !node.is_orphaned()
    }
}

/// The child that an entry stands for.
///
/// # Safety
///
/// The entry is a child's, and the lock of the parent it is on is held.
#[inline(always)]
unsafe fn child_of(entry: *const Entry) -> NonNull<Node> {
    // SAFETY: I9: the entry is alive, at its known place in the node or link,
    // and its pointer was made from the whole of it.
    unsafe {
        match (*entry).kind {
            Kind::Child => {
                let node = entry.byte_sub(mem::offset_of!(Node, entry)).cast::<Node>();
                NonNull::new_unchecked(node.cast_mut())
            }
            _ => NonNull::new_unchecked((*entry.cast::<Link>()).child.get().cast_mut()),
        }
    }
}
