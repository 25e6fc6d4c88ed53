//! Taking a callback back: the holder's side.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::callback::{Callback, Phase, runs_here};
use super::life::reap;
use super::lock::Lock;
use crate::park::Parker;
use crate::unwind::Panic;

/// The holder's side of a callback: owns a unit of the node's `life`.
pub(crate) struct CallbackHandle(pub(super) NonNull<Callback>);

// SAFETY: I2, I11: what is behind it is guarded by the node's lock; the closure
// is Send.
unsafe impl Send for CallbackHandle {}
// SAFETY: I2: as above; `&CallbackHandle` gives access to nothing.
unsafe impl Sync for CallbackHandle {}

/// How an attempt to take a callback back ended.
pub(super) enum Taken {
    /// It was waiting: it will never run, its closure is the caller's.
    Prevented,
    /// It runs right now, on some thread.
    Running,
    /// It has run.
    Over,
}

/// Takes a callback off its list if it has not begun. Unless it is running, the
/// holder leaves with that: its unit is given back and the callback disposed
/// of. While it is running, the holder leaves only if `leave_running`; then
/// whoever runs it disposes of it.
///
/// # Safety
///
/// The caller is the callback's holder, and does not come back once it left.
pub(super) unsafe fn take_back(callback: NonNull<Callback>, leave_running: bool) -> Taken {
    let mut panic = Panic::none();
    // SAFETY: I1: the holder's unit keeps the node. I2: under its lock. I11:
    // the closure is there exactly if the phase was `Waiting`.
    let taken = unsafe {
        let node = callback.as_ref().node;
        node.as_ref().lock.acquire();
        let taken = match callback.as_ref().phase.get() {
            Phase::Waiting => {
                node.as_ref().unlink(callback.as_ptr().cast());
                Taken::Prevented
            }
            Phase::Running => Taken::Running,
            Phase::Over => Taken::Over,
        };
        let running = matches!(taken, Taken::Running);
        let mut dead = false;
        let mut waiter = None;
        if !running || leave_running {
            callback.as_ref().held.set(false);
            waiter = callback.as_ref().waiter.with_mut(|waiter| (*waiter).take());
            dead = node.as_ref().let_go();
        }
        Lock::release(&raw const (*node.as_ptr()).lock);
        if !running {
            let with_closure = matches!(taken, Taken::Prevented);
            panic.catch(|| (callback.as_ref().dispose)(callback, with_closure));
        }
        if waiter.is_some() {
            panic.catch(move || drop(waiter));
        }
        if dead {
            reap(node, &mut panic);
        }
        taken
    };
    panic.resume();
    taken
}

/// Ready once the callback is over; until then `waker` is woken when
/// it is. Not to be called for a callback that still waits to run.
///
/// # Safety
///
/// The caller is the callback's holder.
unsafe fn poll_over(callback: NonNull<Callback>, waker: &Waker) -> Poll<()> {
    // Foreign code, so before the lock.
    let own = waker.clone();
    let mut spare = None;
    // SAFETY: I1: the holder's unit keeps the node. I2: under its lock.
    let over = unsafe {
        let node = callback.as_ref().node;
        node.as_ref().lock.acquire();
        let over = callback.as_ref().phase.get() == Phase::Over;
        if !over {
            spare = callback.as_ref().waiter.with_mut(|waiter| (*waiter).replace(own));
        }
        Lock::release(&raw const (*node.as_ptr()).lock);
        over
    };
    drop(spare);
    if over { Poll::Ready(()) } else { Poll::Pending }
}

/// Blocks until the callback is over.
///
/// # Safety
///
/// The caller is the callback's holder, and the callback does not run on this
/// thread.
pub(super) unsafe fn wait_over(callback: NonNull<Callback>) {
    let parker = Arc::new(Parker::new());
    let waker = Waker::from(Arc::clone(&parker));
    // SAFETY: I11 by the caller.
    while unsafe { poll_over(callback, &waker) }.is_pending() {
        parker.park();
    }
}

/// Takes a callback back, and if it is running elsewhere waits until it is
/// over. True if the call was prevented.
///
/// # Safety
///
/// The caller is the callback's holder, and does not come back.
pub(super) unsafe fn take_back_blocking(callback: NonNull<Callback>) -> bool {
    let here = runs_here(callback);
    // SAFETY: I11 by the caller.
    unsafe {
        match take_back(callback, here) {
            Taken::Prevented => true,
            Taken::Running if !here => {
                wait_over(callback);
                take_back(callback, true);
                false
            }
            Taken::Running | Taken::Over => false,
        }
    }
}

impl CallbackHandle {
    /// Takes the callback back; true if that prevented the call.
    pub(crate) fn unregister(self) -> bool {
        let this = ManuallyDrop::new(self);
        // SAFETY: I11: we are the holder and leave.
        matches!(unsafe { take_back(this.0, true) }, Taken::Prevented)
    }

    /// The same, and waits for a running one, but not for oneself.
    pub(crate) fn blocking_unregister(self) -> bool {
        let this = ManuallyDrop::new(self);
        // SAFETY: I11: we are the holder and leave.
        unsafe { take_back_blocking(this.0) }
    }

    /// The same, without blocking; the handle is used up when it is ready.
    pub(crate) fn poll_unregister(handle: &mut Option<Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(this) = handle.take() else {
            return Poll::Ready(false);
        };
        let this = ManuallyDrop::new(this);
        let here = runs_here(this.0);
        // SAFETY: I11: we are the holder; we leave, or become the holder again.
        unsafe {
            match take_back(this.0, here) {
                Taken::Prevented => Poll::Ready(true),
                Taken::Running if !here => {
                    // The clone of the waker is foreign code and may panic.
                    let this = handle.insert(ManuallyDrop::into_inner(this));
                    if poll_over(this.0, cx.waker()).is_pending() {
                        return Poll::Pending;
                    }
                    drop(handle.take());
                    Poll::Ready(false)
                }
                Taken::Running | Taken::Over => Poll::Ready(false),
            }
        }
    }

    /// Leaves the callback in its place without a holder.
    pub(crate) fn detach(self) {
        let this = ManuallyDrop::new(self);
        let mut panic = Panic::none();
        // SAFETY: I1: our unit keeps the node. I2: under its lock.
        unsafe {
            let callback = this.0;
            let node = callback.as_ref().node;
            node.as_ref().lock.acquire();
            callback.as_ref().held.set(false);
            let over = callback.as_ref().phase.get() == Phase::Over;
            let dead = node.as_ref().let_go();
            Lock::release(&raw const (*node.as_ptr()).lock);
            if over {
                (callback.as_ref().dispose)(callback, false);
            }
            if dead {
                reap(node, &mut panic);
            }
        }
        panic.resume();
    }
}

impl Drop for CallbackHandle {
    fn drop(&mut self) {
        // SAFETY: I11: we are the holder and leave.
        unsafe { take_back(self.0, true) };
    }
}
