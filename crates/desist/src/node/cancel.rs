//! One cancel, from the request to the last callback.

use std::panic::Location;
use std::ptr::NonNull;
use std::time::Instant;

use super::handle::SourceRef;
use super::life::{give_back, unlink_from_parents};
use super::lock::Lock;
use super::mark::{Queue, mark_below};
use super::record::{Advance, Record, RecordRef, wait_settled};
use super::{HAD_CALLBACK, HAD_CHILD, Node, RELEASED, SEVERAL_PARENTS, notify};
use crate::Cause;
use crate::unwind::Panic;

impl SourceRef {
    /// Cancels. True for the one call that did it; its callbacks have run.
    pub(crate) fn cancel(&self, cause: Cause, origin: &'static Location<'static>) -> bool {
        self.cancel_due(cause, origin, None)
    }

    /// The same, with the deadline that is the cause.
    pub(crate) fn cancel_due(
        &self,
        cause: Cause,
        origin: &'static Location<'static>,
        due: Option<Instant>,
    ) -> bool {
        if let Some(record) = self.node().record() {
            // SAFETY: I3: our handle keeps the node, the node its record.
            wait_settled(&unsafe { RecordRef::clone_raw(record) });
            return false;
        }
        let clock = self.clock();
        let at = if clock.is_system() { Instant::now() } else { clock.now() };
        let record = RecordRef::new(cause, origin, at, due);
        let mut panic = Panic::none();
        // SAFETY: I1: our handle keeps the node.
        let won = unsafe {
            self.node().lock.acquire();
            cancel_locked(self.ptr(), record, &mut panic)
        };
        panic.resume();
        won
    }
}

/// Cancels `node`, unless it was already.
///
/// # Safety
///
/// I1: the caller owns a handle of the node, and holds its lock, which is released.
pub(super) unsafe fn cancel_locked(
    node: NonNull<Node>,
    record: RecordRef,
    panic: &mut Panic,
) -> bool {
    // SAFETY: I1: the caller's handle keeps the node. I2, I3: the lock is held up to
    // `release`, or to the call that releases it. I7: it was marked here.
    unsafe {
        let this = node.as_ref();
        if let Some(first) = this.record() {
            let first = RecordRef::clone_raw(first);
            Lock::release(&raw const (*node.as_ptr()).lock);
            wait_settled(&first);
            return false;
        }
        if this.has_flag(HAD_CHILD) {
            let mut queue = Queue::new();
            let mut advance = Advance::take(&record);
            mark(this, advance.hand_out());
            let met = mark_below(node, advance, &mut queue);
            panic.catch(|| Record::settle(&record, met));
            notify::wake_and_call(queue, node, &record, panic);
        } else {
            // There is nothing more to mark.
            record.settle_unpublished();
            let called = this.has_flag(HAD_CALLBACK).then(|| record.clone());
            mark(this, record.into_raw());
            notify::wake_locked(node, panic);
            if let Some(record) = called {
                let mut queue = Queue::new();
                queue.push(node);
                notify::call(queue, node, record, panic);
            }
        }
        // With a handle the links are stable (I4).
        if this.links().any(|(up, _)| !up.get().is_null()) {
            unlink_from_parents(node, panic);
        }
        true
    }
}

/// Marks a live node; its deadline does not matter any more.
///
/// # Safety
///
/// The caller holds the node's lock, and hands over one count of `record`.
#[inline(always)]
unsafe fn mark(node: &Node, record: *mut Record) {
    // SAFETY: I3 by the caller.
    unsafe {
        node.set_record(record);
        if let Some(ext) = node.ext() {
            ext.disarm();
        }
    }
}

/// Ends the walk's business with a node below the one it began at: takes it off the
/// lists of parents that are still live, and gives back the pin.
///
/// # Safety
///
/// I7: this walk marked and pinned the node; it is on no chain any more.
pub(super) unsafe fn finish(node: NonNull<Node>, panic: &mut Panic) {
    // SAFETY: I1: the pin keeps the node. I2: under its lock. I4: with a handle
    // of ours the links are stable.
    unsafe {
        let this = node.as_ref();
        this.lock.acquire();
        // What was found on the list of its only parent was taken off there.
        if !this.has_flag(SEVERAL_PARENTS) || this.has_flag(RELEASED) || this.is_orphaned() {
            return give_back(node, panic);
        }
        let handle = this.handle_under_lock(node);
        give_back(node, panic);
        unlink_from_parents(node, panic);
        panic.catch(|| drop(handle));
    }
}
