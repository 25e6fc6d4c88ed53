//! Making children: of one parent, which is nearly all, and of several.

use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::alloc::Link;
use super::clock::Clock;
use super::handle::{Handle, SourceRef, TokenRef, handles};
use super::life;
use super::list::{Entry, Kind, push_front};
use super::lock::Lock;
use super::probe::Probe;
use super::sync::Guarded;
use super::under::Under;
use super::{HAD_CHILD, Node, Record, RecordRef, SEVERAL_PARENTS, ahead};
use crate::unwind::Panic;

impl<const UNIT: u64> Handle<UNIT> {
    /// A child of this signal.
    #[inline]
    pub(crate) fn child(&self) -> SourceRef {
        // Ordering: Relaxed: only tells whether this is the plain case: live,
        // and nothing to inherit but the cancel.
        let plain = self.node().state.load(Relaxed).is_null() && self.node().ext().is_none();
        if !plain {
            return self.child_extended(false);
        }
        let child = SourceRef::new();
        // SAFETY: I4: the child is not shared yet. I1: our handles keep both.
        unsafe { attach_or_mark(self.ptr(), child.ptr()) };
        child
    }

    /// The same, with an `Ext` of its own if it is to be `timed`, or inherits a
    /// clock or a probe.
    pub(super) fn child_extended(&self, timed: bool) -> SourceRef {
        let this = self.node();
        if let Some(record) = this.record() {
            // SAFETY: I3: our handle keeps the node, the node its record.
            let record = unsafe { RecordRef::clone_raw(record) };
            return SourceRef::new_cancelled(record, this.clock());
        }
        let (clock, probe) = this.heritage();
        let child = if timed || !clock.is_system() || probe.is_some() {
            let node = Node::new_extended(SourceRef::UNIT, clock, probe, Vec::new());
            // SAFETY: I1: the node is made with one source counted.
            unsafe { SourceRef::adopt(node) }
        } else {
            SourceRef::new()
        };
        // SAFETY: I4: the child is not shared yet. I1: our handles keep both.
        unsafe { attach_or_mark(self.ptr(), child.ptr()) };
        child
    }
}

impl Node {
    /// What a child takes over from this node.
    fn heritage(&self) -> (Clock, Option<Probe>) {
        self.ext().map_or((Clock::system(), None), |ext| (ext.clock.clone(), ext.probe.clone()))
    }
}

/// A node below all of `parents`, which are distinct, can be cancelled, and are
/// at least one. It inherits from the first.
pub(crate) fn linked<const UNIT: u64>(parents: &[&TokenRef]) -> Handle<UNIT> {
    let cancelled = parents.iter().find_map(|parent| parent.node().record());
    if let Some(record) = cancelled {
        // SAFETY: I3: the caller's handle keeps the node, the node its record.
        let record = unsafe { RecordRef::clone_raw(record) };
        return Handle::new_cancelled(record, parents[0].clock());
    }
    let (clock, _) = parents[0].node().heritage();
    // A probe of any parent counts the looks at this one.
    let probe = parents.iter().find_map(|parent| parent.node().heritage().1);
    let links = parents[1..].iter().map(|_| Link::new()).collect();
    let node = Node::new_extended(UNIT, clock, probe, links);
    // SAFETY: I4: all links are written before the first `attach` shares the
    // node; the callers' handles keep the parents until each link has its own
    // unit. Our handle, counted when the node was made, keeps the node (I1), so
    // it is not released meanwhile.
    unsafe {
        let this = node.as_ref();
        this.set_flag(SEVERAL_PARENTS);
        for (parent, (up, _)) in parents.iter().zip(this.links()) {
            up.set(parent.ptr().as_ptr());
        }
        for link in this.ext().map_or(&[][..], |ext| &ext.links[..]) {
            link.child.set(node.as_ptr());
        }
        for (parent, entry) in parents.iter().zip(entries(node)) {
            if let Err(record) = attach_one_of_several(parent.ptr(), entry) {
                mark_unattached(node, record);
            }
        }
        // Cancelled meanwhile: the walk that did it may have looked for our
        // entries before the last of them was attached.
        let handle = Handle::adopt(node);
        if this.record().is_some() {
            let mut panic = Panic::none();
            life::unlink_from_parents(node, &mut panic);
            panic.resume();
        }
        handle
    }
}

/// The node's places on its parents' lists.
///
/// # Safety
///
/// I1: the caller keeps the node.
unsafe fn entries(node: NonNull<Node>) -> impl Iterator<Item = *const Entry> {
    // SAFETY: I1 by the caller. The first entry's pointer comes from the whole
    // node's, because a walk finds the node from it.
    unsafe {
        let further = node.as_ref().ext().map_or(&[][..], |ext| &ext.links[..]);
        let first = &raw const (*node.as_ptr()).entry;
        std::iter::once(first).chain(further.iter().map(|link| ptr::from_ref(link).cast()))
    }
}

impl Link {
    fn new() -> Self {
        Self {
            entry: Entry::new(Kind::FurtherChild),
            parent: Guarded::new(ptr::null()),
            child: Guarded::new(ptr::null()),
        }
    }
}

/// Puts a new node on its only parent's list; if the parent was cancelled
/// meanwhile, the node is cancelled with the same cause instead.
///
/// # Safety
///
/// I4: nobody else can reach `child` yet. I1: the caller keeps both.
#[inline]
unsafe fn attach_or_mark(parent: NonNull<Node>, child: NonNull<Node>) {
    // SAFETY: I1: the caller keeps both, with a handle of the parent. I4, I7:
    // `parent` and `walk` are written before anybody can see the child, and
    // `parent` is cleared while still nobody can.
    unsafe {
        let up = &child.as_ref().parent;
        up.set(parent.as_ptr());
        child.as_ref().walk.set(ahead::note(child.as_ptr()));
        let under = Under::to_put(parent);
        if under.is_live() {
            under.put_child(&raw const (*child.as_ptr()).entry);
            under.release();
            return;
        }
        let record = parent.as_ref().record().map(|record| RecordRef::clone_raw(record).into_raw());
        under.release();
        up.set(ptr::null());
        if let Some(record) = record {
            mark_unattached(child, record);
        }
    }
}

/// Puts the entry of a node with several parents on the list of one of them, its
/// own and not a stripe's: a walk that came through another parent may look for
/// it there already. Gives the parent's cause if it was cancelled.
///
/// # Safety
///
/// I1: the caller keeps `parent`. I9: whoever owns `entry` takes it off before
/// it goes.
unsafe fn attach_one_of_several(
    parent: NonNull<Node>,
    entry: *const Entry,
) -> Result<(), *mut Record> {
    // SAFETY: I2: under the parent's lock.
    unsafe {
        let above = parent.as_ref();
        above.lock.acquire();
        let cancelled = above.record().map(|record| RecordRef::clone_raw(record).into_raw());
        if cancelled.is_none() {
            push_front(&above.list, entry);
            above.set_flag(HAD_CHILD);
            above.keep();
        } else {
            above.keep_memory();
        }
        Lock::release(&raw const (*parent.as_ptr()).lock);
        cancelled.map_or(Ok(()), Err)
    }
}

/// Cancels a node that was born too late to be met by the walk of `record`.
///
/// # Safety
///
/// I1: the caller keeps the node, and hands over one count of `record`.
#[cold]
unsafe fn mark_unattached(node: NonNull<Node>, record: *mut Record) {
    // SAFETY: I3: under the lock, once. With several parents, one that was
    // attached before may have marked the node already.
    unsafe {
        let this = node.as_ref();
        this.lock.acquire();
        let late = this.record().is_some();
        if !late {
            this.set_record(record);
        }
        Lock::release(&this.lock);
        if late {
            drop(RecordRef::from_raw(record));
        }
    }
}

impl Node {
    /// Publishes the cause.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock, the node is live, and one count of
    /// `record` is handed over.
    #[inline(always)]
    pub(super) unsafe fn set_record(&self, record: *mut Record) {
        // Ordering: Release pairs with the Acquire of every look at `state`.
        self.state.store(record, Release);
    }

    /// True if no handle is left.
    pub(super) fn is_orphaned(&self) -> bool {
        // Ordering: Acquire pairs with the Release of the last handle's drop:
        // what its holder read of the links comes before we clear them.
        handles(self.refs.load(Acquire)) == 0
    }
}
