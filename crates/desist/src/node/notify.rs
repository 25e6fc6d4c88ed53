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

use std::mem::{self, MaybeUninit};
use std::ptr::NonNull;
use std::task::Waker;

use super::cancel::finish;
use super::list::{Entry, Front, Kind, push_front};
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
    // SAFETY: I7: each node is on one chain at a time. I2: `wake_locked` takes
    // what was locked.
    unsafe {
        while let Some(node) = queue.pop() {
            node.as_ref().lock.acquire();
            if wake_locked(node, panic) {
                with_callbacks.push(node);
            } else if node != root {
                finish(node, panic);
            }
        }
        if !with_callbacks.is_empty() {
            call(with_callbacks, root, record.clone(), panic);
        }
    }
}

/// Runs the callbacks of a queue, and finishes its nodes.
///
/// # Safety
///
/// I7: the queue is of this walk, which began at `root`; who waited was woken.
pub(super) unsafe fn call(
    mut queue: Queue,
    root: NonNull<Node>,
    record: RecordRef,
    panic: &mut Panic,
) {
    let cancelled = Cancelled::new(record);
    // SAFETY: I7: each node is on one chain at a time.
    unsafe {
        while let Some(node) = queue.pop() {
            callback::call_all(node, &cancelled, panic);
            if node != root {
                finish(node, panic);
            }
        }
    }
    panic.catch(move || drop(cancelled));
}

/// Wakes all who wait on the node. True if there are callbacks to run.
///
/// # Safety
///
/// I7: the caller marked the node, keeps it, and holds its lock, which is released.
pub(super) unsafe fn wake_locked(node: NonNull<Node>, panic: &mut Panic) -> bool {
    // SAFETY: I1: the caller keeps the node. I2: under its lock; what was ever on
    // its lists does not change any more, because it is marked.
    unsafe {
        let this = node.as_ref();
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
    /// The first `taken` are there.
    wakers: [MaybeUninit<Waker>; BATCH],
    taken: usize,
}

impl Batch {
    fn new() -> Self {
        Self { wakers: [const { MaybeUninit::uninit() }; BATCH], taken: 0 }
    }

    /// Takes wakers off `from` and moves callbacks to `to`, then releases the
    /// lock. False when `from` is empty.
    ///
    /// # Safety
    ///
    /// I7: this walk marked the node, whose lists these are, and keeps it. The
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
            let mut front = Front::of(from);
            for _ in 0..CHUNK {
                if self.taken == BATCH {
                    break;
                }
                let Some(entry) = front.take() else {
                    more = false;
                    break;
                };
                if (*entry).kind == Kind::Waiter {
                    if let Some(waker) = wait::take_waker(entry) {
                        self.wakers[self.taken].write(waker);
                        self.taken += 1;
                    }
                } else {
                    push_front(to, entry);
                }
            }
            more &= !front.end();
            if Lock::release(&raw const (*node.as_ptr()).lock) {
                yield_to_waiter();
            }
        }
        more
    }

    fn wake(&mut self, panic: &mut Panic) {
        let mut left = self.wakers[..mem::take(&mut self.taken)].iter();
        // Once more for each that panics.
        while left.len() > 0 {
            panic.catch(|| {
                for waker in left.by_ref() {
                    // SAFETY: I9: `take` wrote it, and it is read once: it was ours
                    // when its waiter was off the list.
                    unsafe { waker.assume_init_read() }.wake();
                }
            });
        }
    }
}
