//! After the marking: waking, then calling. Foreign code runs here, and only
//! here, and never under a lock.
//!
//! Where a node's entries are, and in which order, newest first (`>`) or oldest
//! first (`<`):
//!
//! | after         | had children            | had none                      |
//! |---------------|-------------------------|-------------------------------|
//! | marking       | `aside <`: both kinds   | `list >`: both kinds          |
//! | waking        | `list >`: callbacks     | `aside <`, turned to `list >` |

use std::ptr::NonNull;
use std::task::Waker;

use super::cancel::finish;
use super::list::{Entry, Kind, pop_front, push_front};
use super::lock::{Lock, yield_to_waiter};
use super::mark::{CHUNK, Queue};
use super::record::RecordRef;
use super::sync::Guarded;
use super::{HAD_CALLBACK, HAD_CHILD, HAD_WAITER, Node, callback, wait};
use crate::Cancelled;
use crate::unwind::Panic;

/// How many wakers are taken out under one hold of a lock.
const BATCH: usize = 32;

/// Wakes everybody who waits on a node of the queue, then runs all callbacks,
/// then finishes the nodes.
///
/// # Safety
///
/// I7: the queue is of this walk, which began at `root`; the marking is settled.
pub(super) unsafe fn wake_and_call(
    mut queue: Queue,
    root: NonNull<Node>,
    record: &RecordRef,
    panic: &mut Panic,
) {
    let mut with_callbacks = Queue::new();
    // SAFETY: I7: each node is on one chain at a time.
    unsafe {
        while let Some(node) = queue.pop() {
            if wake(node, panic) {
                with_callbacks.push(node);
            } else {
                finish(node, root, panic);
            }
        }
        if with_callbacks.is_empty() {
            return;
        }
        let cancelled = Cancelled::new(record.clone());
        while let Some(node) = with_callbacks.pop() {
            callback::call_all(node, &cancelled, panic);
            finish(node, root, panic);
        }
        panic.catch(move || drop(cancelled));
    }
}

/// Wakes all who wait on the node. True if there are callbacks to run.
///
/// # Safety
///
/// I7: this walk marked and pinned the node.
unsafe fn wake(node: NonNull<Node>, panic: &mut Panic) -> bool {
    // SAFETY: I1: the pin keeps the node. I2: under its lock; what was ever on
    // its lists does not change any more, because it is marked.
    unsafe {
        let this = node.as_ref();
        this.lock.acquire();
        let had = this.flags.get();
        let callbacks = had & HAD_CALLBACK != 0;
        if had & (HAD_CHILD | HAD_WAITER) == 0 {
            Lock::release(&raw const (*node.as_ptr()).lock);
            return callbacks;
        }
        let children = had & HAD_CHILD != 0;
        let (from, to) =
            if children { (&this.aside, &this.list) } else { (&this.list, &this.aside) };
        if from.get().is_null() {
            // Nobody to wake, and no callback to move or to call.
            Lock::release(&raw const (*node.as_ptr()).lock);
            return false;
        }
        let mut batch = Batch::new();
        while batch.take(node, from, to) {
            batch.wake(panic);
            this.lock.acquire();
        }
        batch.wake(panic);
        if callbacks && !children {
            // The second turn, so that the newest comes first again.
            this.lock.acquire();
            while batch.take(node, &this.aside, &this.list) {
                this.lock.acquire();
            }
        }
        callbacks
    }
}

/// Wakers that were taken out under one hold of a lock.
struct Batch {
    wakers: [Option<Waker>; BATCH],
    taken: usize,
}

impl Batch {
    fn new() -> Self {
        Self { wakers: [const { None }; BATCH], taken: 0 }
    }

    /// Takes wakers off `from` and moves callbacks to `to`, then releases the
    /// lock. False when `from` is empty.
    ///
    /// # Safety
    ///
    /// I7: this walk marked and pinned the node, whose lists these are. The
    /// caller holds its lock, and has woken what was taken before.
    unsafe fn take(
        &mut self,
        node: NonNull<Node>,
        from: &Guarded<*const Entry>,
        to: &Guarded<*const Entry>,
    ) -> bool {
        let mut more = true;
        // SAFETY: I2: under the lock. I9: entries on the list are alive.
        unsafe {
            for _ in 0..CHUNK {
                if self.taken == BATCH {
                    break;
                }
                let Some(entry) = pop_front(from) else {
                    more = false;
                    break;
                };
                if (*entry).kind == Kind::Waiter {
                    self.wakers[self.taken] = wait::take_waker(entry);
                    self.taken += 1;
                } else {
                    push_front(to, entry);
                }
            }
            more &= !from.get().is_null();
            if Lock::release(&raw const (*node.as_ptr()).lock) {
                yield_to_waiter();
            }
        }
        more
    }

    fn wake(&mut self, panic: &mut Panic) {
        for waker in &mut self.wakers[..self.taken] {
            if let Some(waker) = waker.take() {
                panic.catch(move || waker.wake());
            }
        }
        self.taken = 0;
    }
}
