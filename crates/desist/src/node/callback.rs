//! Callbacks: one closure on one node's list.
//!
//! | phase     | on the list | closure | next                                  |
//! |-----------|-------------|---------|---------------------------------------|
//! | `Waiting` | yes         | there   | `Running` by a walk, `Over` by taking it back |
//! | `Running` | no          | taken   | `Over` when it returned or panicked   |
//! | `Over`    | no          | gone    | –                                     |
//!
//! `phase`, `held` and `waiter` are guarded by the node's lock (I2, I11).
//! `held` is true while a registration, or a scope on a stack, may still look
//! at the callback: then that side disposes of it. Otherwise whoever ends it
//! does: the walk that ran it, or the freeing of the node. A held callback
//! counts one unit of the node's `life`.
//!
//! Which callbacks run on this thread right now is kept in a thread-local list
//! of stack frames: that list, not the thread's identity, decides whether
//! waiting for a callback would be waiting for oneself.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::task::Waker;

use super::handle::TokenRef;
use super::list::{Entry, Kind, pop_front, push_front};
use super::lock::Lock;
use super::record::{RecordRef, wait_settled};
use super::sync::{Guarded, RawCell, per_thread};
use super::take_back::CallbackHandle;
use super::{HAD_CALLBACK, Node};
use crate::Cancelled;
use crate::unwind::Panic;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Running,
    Over,
}

/// What all callbacks have in common, whatever their closure. The entry comes
/// first: a walk finds the callback from it.
#[repr(C)]
pub(super) struct Callback {
    pub(super) entry: Entry,
    pub(super) node: NonNull<Node>,
    pub(super) phase: Guarded<Phase>,
    pub(super) held: Guarded<bool>,
    pub(super) waiter: RawCell<Option<Waker>>,
    /// Takes the closure out and calls it.
    call: unsafe fn(NonNull<Callback>, &Cancelled),
    /// Drops the closure if `bool`, and the memory if it is the heap's.
    pub(super) dispose: unsafe fn(NonNull<Callback>, bool),
}

#[repr(C)]
pub(super) struct WithClosure<F> {
    common: Callback,
    closure: RawCell<ManuallyDrop<F>>,
}

impl<F: FnOnce(&Cancelled)> WithClosure<F> {
    fn new(node: NonNull<Node>, closure: F, dispose: unsafe fn(NonNull<Callback>, bool)) -> Self {
        Self {
            common: Callback {
                entry: Entry::new(Kind::Callback),
                node,
                phase: Guarded::new(Phase::Waiting),
                held: Guarded::new(true),
                waiter: RawCell::new(None),
                call: Self::call,
                dispose,
            },
            closure: RawCell::new(ManuallyDrop::new(closure)),
        }
    }

    /// A callback whose memory belongs to a stack frame.
    pub(super) fn scoped(node: NonNull<Node>, closure: F) -> Self {
        Self::new(node, closure, Self::dispose_scoped)
    }

    /// # Safety
    ///
    /// I11: the closure is there, and the caller is the one to take it.
    unsafe fn call(this: NonNull<Callback>, cancelled: &Cancelled) {
        // SAFETY: I11 by the caller; `this` was made from a `Self`.
        let closure = unsafe {
            let this = this.cast::<Self>();
            this.as_ref().closure.with_mut(|closure| ManuallyDrop::take(&mut *closure))
        };
        closure(cancelled);
    }

    /// # Safety
    ///
    /// Nobody else can reach the callback. The flag tells whether the closure
    /// is still there (I11).
    unsafe fn dispose_boxed(this: NonNull<Callback>, with_closure: bool) {
        // SAFETY: I11 by the caller; the memory came from a box of `Self`.
        unsafe {
            let this = *Box::from_raw(this.cast::<Self>().as_ptr());
            #[cfg(all(test, loom))]
            {
                super::grave::gone(super::grave::Kind::Callback);
                this.common.assert_sole();
            }
            if with_closure {
                this.closure.with_mut(|closure| ManuallyDrop::drop(&mut *closure));
            }
        }
    }

    /// # Safety
    ///
    /// As for `dispose_boxed`, but the memory is not ours.
    unsafe fn dispose_scoped(this: NonNull<Callback>, with_closure: bool) {
        // SAFETY: I11 by the caller.
        unsafe {
            #[cfg(all(test, loom))]
            this.as_ref().assert_sole();
            if with_closure {
                let this = this.cast::<Self>();
                this.as_ref().closure.with_mut(|closure| ManuallyDrop::drop(&mut *closure));
            }
        }
    }
}

impl Callback {
    /// Before its memory goes: whatever others did with it is over.
    ///
    /// # Safety
    ///
    /// Nobody else can reach the callback.
    #[cfg(all(test, loom))]
    unsafe fn assert_sole(&self) {
        // SAFETY: I9, I11 by the caller.
        unsafe {
            self.entry.assert_sole();
            self.phase.set(self.phase.get());
            self.held.set(false);
            self.waiter.with_mut(|_| ());
        }
    }

    /// Calls a closure that could not be registered.
    ///
    /// # Safety
    ///
    /// I11: the callback was never put on a list, and is called once.
    pub(super) unsafe fn call_unregistered(this: NonNull<Self>, cancelled: &Cancelled) {
        // SAFETY: I11 by the caller.
        unsafe { (this.as_ref().call)(this, cancelled) };
    }
}

/// One callback that runs on this thread.
struct Frame {
    callback: *const Callback,
    outer: *const Frame,
}

per_thread! {
    static RUNNING: Cell<*const Frame> = const { Cell::new(ptr::null()) };
}

/// True if `callback` is one of those that run on this thread right now.
pub(super) fn runs_here(callback: NonNull<Callback>) -> bool {
    let mut frame = RUNNING.with(Cell::get);
    // SAFETY: frames live on this thread's stack, below the current one.
    // I11: only their addresses are compared.
    while let Some(running) = unsafe { frame.as_ref() } {
        if ptr::eq(running.callback, callback.as_ptr()) {
            return true;
        }
        frame = running.outer;
    }
    false
}

impl TokenRef {
    /// Registers `closure`, or runs it here and now if the signal is cancelled
    /// and all below it is marked.
    pub(crate) fn on_cancel<F>(&self, closure: F) -> Option<CallbackHandle>
    where
        F: FnOnce(&Cancelled) + Send + 'static,
    {
        if let Some(cancelled) = self.settled() {
            closure(&cancelled);
            return None;
        }
        let callback = WithClosure::new(self.ptr(), closure, WithClosure::<F>::dispose_boxed);
        let callback = NonNull::from(Box::leak(Box::new(callback))).cast::<Callback>();
        #[cfg(all(test, loom))]
        super::grave::born(super::grave::Kind::Callback);
        // SAFETY: I9: the callback stays on the heap until one side disposes of it.
        if unsafe { register(callback) } {
            return Some(CallbackHandle(callback));
        }
        // SAFETY: I11: it is on no list, so the closure is ours to call; no
        // other can reach it. It is called before its memory goes, and the
        // memory goes also when it panics.
        unsafe {
            let _memory = Memory(callback);
            let cancelled = self.settled();
            (callback.as_ref().call)(callback, &cancelled.expect("it was found cancelled"));
        }
        None
    }

    /// The cause, once nothing below is live: what an inline call waits for.
    pub(super) fn settled(&self) -> Option<Cancelled> {
        let record = self.node().record()?;
        // SAFETY: I3: our handle keeps the node, the node its record.
        let record = unsafe { RecordRef::clone_raw(record) };
        wait_settled(&record);
        Some(Cancelled::new(record))
    }
}

/// Frees the memory of a callback whose closure is gone.
struct Memory(NonNull<Callback>);

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: I11: made only where nobody else can reach the callback and
        // its closure was taken.
        unsafe { (self.0.as_ref().dispose)(self.0, false) };
    }
}

/// Puts a callback on its node's list; false if the node is cancelled.
///
/// # Safety
///
/// I9: the callback stays in its place while it is on the list. I1: the caller
/// keeps the node.
pub(super) unsafe fn register(callback: NonNull<Callback>) -> bool {
    // SAFETY: I2: under the lock.
    unsafe {
        let node = callback.as_ref().node;
        let this = node.as_ref();
        this.lock.acquire();
        let live = this.record().is_none();
        if live {
            push_front(&this.list, callback.as_ptr().cast());
            this.set_flag(HAD_CALLBACK);
            this.keep();
        }
        Lock::release(&raw const (*node.as_ptr()).lock);
        live
    }
}

/// Runs all callbacks of a node, newest first.
///
/// # Safety
///
/// I7: this walk marked the node and keeps it; its `list` holds callbacks only.
pub(super) unsafe fn call_all(node: NonNull<Node>, cancelled: &Cancelled, panic: &mut Panic) {
    // SAFETY: I1: the walk keeps the node. I2: guarded words under its lock.
    unsafe {
        loop {
            node.as_ref().lock.acquire();
            let entry = pop_front(&node.as_ref().list);
            let callback = entry.map(|entry| {
                let callback = NonNull::new_unchecked(entry.cast_mut()).cast::<Callback>();
                callback.as_ref().phase.set(Phase::Running);
                callback
            });
            Lock::release(&raw const (*node.as_ptr()).lock);
            let Some(callback) = callback else { return };
            call_one(node, callback, cancelled, panic);
        }
    }
}

/// # Safety
///
/// I11: the caller has set `Running`. I1: it keeps the node.
unsafe fn call_one(
    node: NonNull<Node>,
    callback: NonNull<Callback>,
    cancelled: &Cancelled,
    panic: &mut Panic,
) {
    let outer = RUNNING.with(Cell::get);
    let frame = Frame { callback: callback.as_ptr(), outer };
    RUNNING.with(|running| running.set(&raw const frame));
    // SAFETY: I11: `Running`: the closure is ours. I2: under the lock. After
    // `release` a held callback may be gone; one that is not held is ours.
    unsafe {
        panic.catch(|| (callback.as_ref().call)(callback, cancelled));
        RUNNING.with(|running| running.set(outer));
        node.as_ref().lock.acquire();
        callback.as_ref().phase.set(Phase::Over);
        let held = callback.as_ref().held.get();
        let waiter = callback.as_ref().waiter.with_mut(|waiter| (*waiter).take());
        Lock::release(&raw const (*node.as_ptr()).lock);
        if !held {
            (callback.as_ref().dispose)(callback, false);
        }
        if let Some(waiter) = waiter {
            panic.catch(move || waiter.wake());
        }
    }
}

/// Drops a detached callback that will never run, because its node is freed.
///
/// # Safety
///
/// The entry is a callback's, off its list, and the caller has the node to
/// himself.
pub(super) unsafe fn discard(entry: *const Entry, panic: &mut Panic) {
    // SAFETY: I11: the freeing of the node takes the closure.
    unsafe {
        debug_assert_eq!((*entry).kind, Kind::Callback, "nothing else outlives all units of life");
        let callback = NonNull::new_unchecked(entry.cast_mut()).cast::<Callback>();
        panic.catch(|| (callback.as_ref().dispose)(callback, true));
    }
}
