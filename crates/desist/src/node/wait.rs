//! Waiting for the cancel: an entry inside the future itself, no allocation for it.

use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, Waker};

use super::TokenRef;
use super::list::{Entry, Kind};
use super::sync::RawCell;
use super::under::Under;
use crate::{Cancelled, Token};

/// The future of [`Token::cancelled`]: ready once the token is cancelled.
///
/// It allocates nothing of its own (a signal at which threads meet gets lists by
/// thread, once), is cancel safe, and may be polled again after it was
/// ready. A token that can never be cancelled makes it pend for ever.
///
/// ```
/// use desist::{Source, Token};
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let source = Source::new();
/// let token: Token = source.token();
/// let mut stopped = pin!(token.cancelled());
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(stopped.as_mut().poll(&mut cx).is_pending());
/// source.cancel();
/// assert!(stopped.as_mut().poll(&mut cx).is_ready());
/// # use std::future::Future;
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct WhenCancelled<'a> {
    waiter: Waiter,
    token: Observed<'a>,
}

enum Observed<'a> {
    Borrowed(&'a Token),
    Owned(Token),
}

/// What stands on the node's list. The entry comes first: a walk finds the
/// waiter from it. `waker` is there since the entry was put on the list, and
/// belongs to whoever takes the entry off. It is written by its owner only,
/// under the node's lock; a walk takes it without a mark, so that the owner can
/// compare it without the lock.
#[repr(C)]
struct Waiter {
    entry: Entry,
    waker: RawCell<ManuallyDrop<Option<Waker>>>,
    _pinned: PhantomPinned,
}

// SAFETY: I2, I9: what other threads reach of it is guarded by the node's lock;
// a waker is Send.
unsafe impl Send for Waiter {}
// SAFETY: I2: as above; `&Waiter` gives access to nothing.
unsafe impl Sync for Waiter {}

impl<'a> WhenCancelled<'a> {
    pub(crate) fn borrowed(token: &'a Token) -> Self {
        Self::new(Observed::Borrowed(token))
    }

    fn new(token: Observed<'a>) -> Self {
        let waiter = Waiter {
            entry: Entry::new(Kind::Waiter),
            waker: RawCell::new(ManuallyDrop::new(None)),
            _pinned: PhantomPinned,
        };
        Self { waiter, token }
    }

    pub(super) fn token(&self) -> &Token {
        match &self.token {
            Observed::Borrowed(token) => token,
            Observed::Owned(token) => token,
        }
    }

    /// What has been recorded, without a look that a probe would count.
    pub(super) fn cancellation(&self) -> Option<Cancelled> {
        self.token().handle()?.recorded()
    }
}

impl WhenCancelled<'static> {
    pub(crate) fn owned(token: Token) -> Self {
        Self::new(Observed::Owned(token))
    }
}

impl Future for WhenCancelled<'_> {
    type Output = Cancelled;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cancelled> {
        let this = self.into_ref().get_ref();
        let Some(handle) = this.token().handle() else {
            return Poll::Pending;
        };
        if !handle.is_cancelled() {
            // SAFETY: I9: the future is pinned, and its drop takes the entry
            // off. I1: its token keeps the node. Only the owner polls.
            if unsafe { this.waiter.wait(handle, cx.waker()) } {
                return Poll::Pending;
            }
        }
        // SAFETY: I9: only we write it. I1: as above.
        unsafe {
            if !this.waiter.has_no_waker() {
                this.waiter.leave(handle);
            }
        }
        handle.recorded().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Waiter {
    /// Sees to it that `waker` is woken by the cancel; false if it came first.
    ///
    /// # Safety
    ///
    /// I9: the waiter stays in its place until `leave`. I1: `handle` keeps the
    /// node, the same one at every call.
    #[inline]
    unsafe fn wait(&self, handle: &TokenRef, waker: &Waker) -> bool {
        // A walk may have taken it meanwhile, but its words are still there, and
        // comparing them follows none. The node was live a moment ago with this
        // waker on its list, so it is either still there or has been woken since:
        // nothing is missed.
        // SAFETY: I9: only we write it.
        if self.waker.with(|own| unsafe { is_like(&*own, waker) }) {
            return true;
        }
        // SAFETY: I1, I9 by the caller.
        unsafe { self.register(handle, waker) }
    }

    /// # Safety
    ///
    /// As for `wait`.
    unsafe fn register(&self, handle: &TokenRef, waker: &Waker) -> bool {
        // Foreign code, so before the lock.
        let own = waker.clone();
        let mut displaced = None;
        // SAFETY: I1: the handle. I2: under the lock. I4, I9: by the caller.
        let live = unsafe {
            let under = if self.has_no_waker() {
                Under::to_put(handle.ptr())
            } else {
                Under::of(handle.ptr(), &self.entry)
            };
            let live = under.is_live();
            if self.entry.is_linked() {
                displaced = ManuallyDrop::into_inner(self.replace(Some(own)));
            } else if live {
                self.replace(Some(own));
                under.put_waiter(ptr::from_ref(self).cast());
            } else {
                displaced = Some(own);
            }
            under.release();
            live
        };
        if let Some(probe) = handle.probe() {
            probe.waits(waker, true);
            displaced.iter().for_each(|displaced| probe.waits(displaced, false));
        }
        drop(displaced);
        live
    }

    /// True if it is on no list, and never was, or has left it.
    ///
    /// # Safety
    ///
    /// I9: only the owner asks.
    #[inline(always)]
    unsafe fn has_no_waker(&self) -> bool {
        // SAFETY: I9: only the owner writes it.
        self.waker.with(|own| unsafe { (*own).is_none() })
    }

    /// Gives what was there.
    ///
    /// # Safety
    ///
    /// The node's lock is held; what comes back is not dropped if a walk has it.
    unsafe fn replace(&self, waker: Option<Waker>) -> ManuallyDrop<Option<Waker>> {
        // SAFETY: I2 by the caller.
        self.waker.with_mut(|own| unsafe { mem::replace(&mut *own, ManuallyDrop::new(waker)) })
    }

    /// Takes the entry off the list if it is still there; where there is no waker
    /// it is not.
    ///
    /// # Safety
    ///
    /// I1: `handle` keeps the node that was given to `wait`.
    unsafe fn leave(&self, handle: &TokenRef) {
        let mut waker = None;
        // SAFETY: I1: the handle. I2: under the lock. The waker is ours while the
        // entry is linked.
        unsafe {
            let under = Under::of(handle.ptr(), &self.entry);
            let own = self.replace(None);
            if under.take_waiter(&self.entry) {
                waker = ManuallyDrop::into_inner(own);
            }
            under.release();
        }
        if let (Some(waker), Some(probe)) = (&waker, handle.probe()) {
            probe.waits(waker, false);
        }
        drop(waker);
    }
}

fn is_like(own: &Option<Waker>, waker: &Waker) -> bool {
    own.as_ref().is_some_and(|own| own.will_wake(waker))
}

/// Moves the waker out of a waiter that was just taken off its list.
///
/// # Safety
///
/// The entry is a waiter's, and the node's lock is held.
pub(super) unsafe fn take_waker(entry: *const Entry) -> Option<Waker> {
    // SAFETY: I9: the waiter is alive while the lock is held; its waker is
    // there, and nobody else will take it, because the entry is off the list.
    let waker = unsafe { (*entry.cast::<Waiter>()).waker.with(|waker| waker.read()) };
    ManuallyDrop::into_inner(waker)
}

impl Drop for WhenCancelled<'_> {
    #[inline]
    fn drop(&mut self) {
        let this = &*self;
        // SAFETY: I9: only we write it. I1: it is the handle that was given to `wait`.
        unsafe {
            if !this.waiter.has_no_waker() {
                if let Some(handle) = this.token().handle() {
                    this.waiter.leave(handle);
                }
            }
        }
        #[cfg(all(test, loom))]
        // SAFETY: I9: off the list, so nobody else reaches it.
        unsafe {
            this.waiter.entry.assert_sole();
            this.waiter.waker.with_mut(|_| ());
        }
    }
}

impl fmt::Debug for WhenCancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenCancelled").field("token", self.token()).finish_non_exhaustive()
    }
}
