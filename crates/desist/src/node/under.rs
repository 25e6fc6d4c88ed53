//! The lock that guards an entry's place on a node's lists: of the stripe it was
//! put in, as long as that is open, or else of the node.
//!
//! Whoever puts an entry on a list, or takes it off because it goes, holds an
//! [`Under`]. A walk does not: it closes the [`stripes`](super::stripes) first, and
//! what is left is under the node's lock.

use std::ptr::NonNull;

use super::life::Left;
use super::list::{Entry, push_front};
use super::lock::Lock;
use super::spread::place;
use super::stripes::Stripe;
use super::{HAD_CHILD, HAD_WAITER, Node};

/// The lock that guards an entry's place, held: of a stripe that is open, or
/// else of the node.
#[must_use = "a lock is given back"]
pub(super) struct Under {
    node: NonNull<Node>,
    stripe: Option<NonNull<Stripe>>,
}

impl Under {
    /// To put an entry on a list of `node`: on that of this thread's place, if
    /// the node has them.
    ///
    /// # Safety
    ///
    /// I1: the caller owns a handle of the node.
    #[inline(always)]
    pub(super) unsafe fn to_put(node: NonNull<Node>) -> Self {
        // SAFETY: I1 by the caller.
        unsafe {
            if let Some(stripes) = node.as_ref().stripes() {
                if let Some(stripe) = stripes.open(place()) {
                    return Self { node, stripe: Some(stripe) };
                }
            }
            if node.as_ref().lock.acquire_noting() {
                // This entry still goes to the node's own list.
                Node::met(node);
            }
            Self { node, stripe: None }
        }
    }

    /// To take an entry off the list of `node` that it was put on, or to see
    /// that somebody else did.
    ///
    /// # Safety
    ///
    /// I1: the entry has a unit of the node's `life` or `shells`, or its owner a
    /// handle of the node.
    #[inline(always)]
    pub(super) unsafe fn of(node: NonNull<Node>, entry: &Entry) -> Self {
        // SAFETY: I1 by the caller. I4: `place` was written before the entry was
        // shared.
        unsafe {
            if let Some(place) = entry.place() {
                let stripes = node.as_ref().stripes();
                let stripe = stripes.and_then(|stripes| stripes.open(place));
                if stripe.is_some() {
                    return Self { node, stripe };
                }
            }
            node.as_ref().lock.acquire();
            Self { node, stripe: None }
        }
    }

    /// True if an entry that is put here is found by the cancel.
    ///
    /// # Safety
    ///
    /// I1: the caller keeps the node.
    #[inline(always)]
    pub(super) unsafe fn is_live(&self) -> bool {
        // SAFETY: I1 by the caller.
        unsafe { self.node.as_ref().record().is_none() }
    }

    /// Puts a child on the list, and counts it.
    ///
    /// # Safety
    ///
    /// `is_live` said so. I9: whoever owns the entry, which is on no list, takes
    /// it off before it goes. I4: nobody else can reach the entry.
    #[inline(always)]
    pub(super) unsafe fn put_child(&self, entry: *const Entry) {
        // SAFETY: I2: the lock is held.
        unsafe {
            if let Some(stripe) = self.put_striped(entry) {
                Stripe::count(&stripe.children, |children| children + 1);
            } else {
                let node = self.node.as_ref();
                push_front(&node.list, entry);
                node.set_flag(HAD_CHILD);
                node.keep();
            }
        }
    }

    /// Puts a waiter on the list.
    ///
    /// # Safety
    ///
    /// As for `put_child`.
    #[inline(always)]
    pub(super) unsafe fn put_waiter(&self, entry: *const Entry) {
        // SAFETY: I2: the lock is held.
        unsafe {
            if self.put_striped(entry).is_none() {
                push_front(&self.node.as_ref().list, entry);
                self.node.as_ref().set_flag(HAD_WAITER);
            }
        }
    }

    /// # Safety
    ///
    /// As for `put_child`.
    #[inline(always)]
    unsafe fn put_striped(&self, entry: *const Entry) -> Option<&Stripe> {
        // SAFETY: I1: the node's memory is kept, and with it the stripes. I2:
        // the lock is held.
        unsafe {
            let stripe = self.stripe?.as_ref();
            (*entry).set_place(stripe.place);
            stripe.push(entry);
            Some(stripe)
        }
    }

    /// Takes a waiter off, if it is still on the list.
    ///
    /// # Safety
    ///
    /// This is the lock `of` that entry.
    #[inline(always)]
    pub(super) unsafe fn take_waiter(&self, entry: &Entry) -> bool {
        // SAFETY: I2: the lock is held.
        unsafe {
            let linked = entry.is_linked();
            if linked {
                self.unlink(entry);
            }
            linked
        }
    }

    /// # Safety
    ///
    /// This is the lock `of` that entry, which is on the list.
    #[inline(always)]
    unsafe fn unlink(&self, entry: &Entry) {
        // SAFETY: I1: whoever has the lock keeps the memory. I2: it is held.
        unsafe {
            match self.stripe {
                Some(stripe) => stripe.as_ref().unlink(entry),
                None => self.node.as_ref().unlink(entry),
            }
        }
    }

    /// Ends a child's business with the node.
    ///
    /// # Safety
    ///
    /// This is the lock `of` that entry: a child's, which never comes back.
    #[inline(always)]
    pub(super) unsafe fn child_gone(&self, entry: &Entry) -> Left {
        // SAFETY: I1: the child's unit keeps the memory. I2: the lock is held.
        unsafe {
            let Some(stripe) = self.stripe else {
                return self.node.as_ref().child_gone(entry);
            };
            let stripe = stripe.as_ref();
            if entry.is_linked() {
                stripe.unlink(entry);
                Stripe::count(&stripe.children, |children| children - 1);
            } else {
                Stripe::count(&stripe.shells, |shells| shells - 1);
            }
            // Open, so there are handles.
            Left::InUse
        }
    }

    /// Takes a child that is cancelled off the list, if it is on it: from now
    /// on it needs the memory only. True if that ends the node.
    ///
    /// # Safety
    ///
    /// This is the lock `of` that entry, a child's.
    pub(super) unsafe fn child_left(&self, entry: &Entry) -> bool {
        // SAFETY: I1: the child's unit keeps the memory. I2: the lock is held.
        unsafe {
            let Some(stripe) = self.stripe else {
                return self.node.as_ref().child_left(entry);
            };
            let stripe = stripe.as_ref();
            debug_assert!(entry.is_linked(), "who leaves a stripe that is open does so once");
            stripe.unlink(entry);
            Stripe::count(&stripe.children, |children| children - 1);
            Stripe::count(&stripe.shells, |shells| shells + 1);
            false
        }
    }

    /// Gives the lock back.
    ///
    /// # Safety
    ///
    /// I1: the caller kept the memory so far; after this it may be gone.
    #[inline(always)]
    pub(super) unsafe fn release(self) {
        // SAFETY: I1: the memory is there until the lock is given back.
        unsafe {
            match self.stripe {
                Some(stripe) => Lock::release(&raw const (*stripe.as_ptr()).lock),
                None => Lock::release(&raw const (*self.node.as_ptr()).lock),
            };
        }
    }
}
