//! Lists by thread, for a signal at which threads meet.
//!
//! A node has one list under one lock. That is the least that a signal can have,
//! and enough for nearly all. Where many threads make children of one signal, or
//! wait for it, they would hand its cache line around, for twenty times what one
//! thread pays. So whoever finds the lock taken, as others did before, gives the
//! node [`Stripes`]: one list for each place (see [`spread`](super::spread)), under a lock and on
//! a cache line of its own. From then on new children and waiters go there.
//! Callbacks do not, because they are called in order; nor do nodes of several
//! parents.
//!
//! | the stripes are | `life`, `shells`, list of an entry in them | next     |
//! |-----------------|--------------------------------------------|----------|
//! | not there       | –                                          | open     |
//! | open            | the stripe's, under the stripe's lock      | closed   |
//! | closed          | the node's, under the node's lock          | –        |
//!
//! They are open only while the handles' unit of the node's `life` is held, so
//! what is counted in them need not keep the node. Two close them, before they
//! do anything that the entries are part of: a walk that marked the node, before
//! it looks at its list, and the last handle, before it gives its unit back.
//! Closing happens under the node's lock and takes each stripe's in turn: the
//! counts are added to the node's, the list is put in front of the node's. Of
//! what follows, nothing knows that there ever were stripes.
//!
//! An entry that goes asks its own stripe first, which is the one that it was
//! put in, and goes on to the node if that is closed: see [`under`](super::under).
//! It has a unit of the node's `life` or `shells` then, or a handle, so the node is
//! there; and the stripes are there as long as the memory of the node.
//!
//! Whoever puts an entry in a stripe that is open looks whether the node is live,
//! as with a node's own list. It may be marked a moment later, before the entry is
//! there: that walk has yet to close the stripe, and finds it.

use std::array;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Release};

use super::alloc::Ext;
use super::list::{Entry, push_front, unlink};
use super::lock::Lock;
use super::spread::{OwnLine, PLACES};
use super::sync::Guarded;
use super::{HAD_CHILD, Node};

/// True if a signal at which threads met so often needs lists for them. Those of
/// requests, at which two meet now and then, do not: they are many.
#[cfg(not(all(test, loom)))]
fn are_enough(meetings: u8) -> bool {
    meetings >= 4
}

/// In a model that is about it once is enough.
#[cfg(all(test, loom))]
fn are_enough(_: u8) -> bool {
    crate::models::spreads()
}

/// The list of one place.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Stripe {
    _own: OwnLine,
    pub(super) lock: Lock,
    closed: Guarded<bool>,
    pub(super) place: u8,
    /// How many children are on the list.
    pub(super) children: Guarded<u32>,
    /// How many are off it that need the node's memory.
    pub(super) shells: Guarded<u32>,
    first: Guarded<*const Entry>,
    last: Guarded<*const Entry>,
}

#[cfg(not(all(test, loom)))]
const _: () = assert!(size_of::<Stripe>() == 128);

/// The lists of all places.
#[derive(Debug)]
pub(super) struct Stripes {
    /// Under the node's lock.
    closed: Guarded<bool>,
    of_places: [Stripe; PLACES],
}

impl Stripe {
    fn new(place: usize) -> Self {
        Self {
            _own: OwnLine,
            lock: Lock::new(),
            closed: Guarded::new(false),
            place: place as u8,
            children: Guarded::new(0),
            shells: Guarded::new(0),
            first: Guarded::new(ptr::null()),
            last: Guarded::new(ptr::null()),
        }
    }

    /// # Safety
    ///
    /// The caller holds the stripe's lock; `entry` is on no list, and stays where
    /// it is until it is unlinked (I9).
    #[inline(always)]
    pub(super) unsafe fn push(&self, entry: *const Entry) {
        // SAFETY: I2, I9 by the caller.
        unsafe {
            if self.first.get().is_null() {
                self.last.set(entry);
            }
            push_front(&self.first, entry);
        }
    }

    /// # Safety
    ///
    /// The caller holds the stripe's lock; `entry` is on its list.
    #[inline(always)]
    pub(super) unsafe fn unlink(&self, entry: &Entry) {
        // SAFETY: I2, I9 by the caller.
        unsafe {
            if self.last.get() == ptr::from_ref(entry) {
                self.last.set(entry.before());
            }
            unlink(&self.first, entry);
        }
    }

    /// # Safety
    ///
    /// The caller holds the stripe's lock.
    #[inline(always)]
    pub(super) unsafe fn count(count: &Guarded<u32>, add: impl FnOnce(u32) -> u32) {
        // SAFETY: I2 by the caller.
        unsafe { count.set(add(count.get())) };
    }
}

impl Stripes {
    fn new() -> Self {
        #[cfg(all(test, loom))]
        super::grave::born(super::grave::Kind::Stripes);
        Self { closed: Guarded::new(false), of_places: array::from_fn(Stripe::new) }
    }

    /// Takes the lock of a place's stripe; not if it is closed.
    #[inline(always)]
    pub(super) fn open(&self, place: u8) -> Option<NonNull<Stripe>> {
        let stripe = &self.of_places[usize::from(place) % PLACES];
        stripe.lock.acquire();
        // SAFETY: I2: under the lock.
        unsafe {
            if stripe.closed.get() {
                Lock::release(&raw const stripe.lock);
                return None;
            }
        }
        Some(NonNull::from(stripe))
    }

    /// Hands all that is on the stripes, and was counted there, over to the node.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of `node`, whose stripes these are, and the
    /// node is not dead.
    unsafe fn close(&self, node: &Node) {
        // SAFETY: I2: under the node's lock, and the stripe's in turn. I5: node
        // before stripe. I9: entries on the lists are alive.
        unsafe {
            if self.closed.get() {
                return;
            }
            self.closed.set(true);
            for stripe in &self.of_places {
                stripe.lock.acquire();
                stripe.closed.set(true);
                node.take_over(stripe.children.get(), stripe.shells.get());
                node.list.set(Entry::joined(
                    stripe.first.get(),
                    stripe.last.get(),
                    node.list.get(),
                ));
                Lock::release(&raw const stripe.lock);
            }
        }
    }

    /// Before the memory goes: whatever others did with it is over.
    ///
    /// # Safety
    ///
    /// Nobody else can reach the stripes.
    #[cfg(all(test, loom))]
    pub(super) unsafe fn freed(&mut self) {
        // SAFETY: I1 by the caller.
        unsafe {
            assert!(self.closed.get(), "what goes is closed");
            self.closed.set(true);
            for stripe in &mut self.of_places {
                stripe.lock.freed();
                stripe.closed.set(true);
                stripe.children.set(0);
                stripe.shells.set(0);
                stripe.first.set(ptr::null());
                stripe.last.set(ptr::null());
            }
        }
    }
}

impl Node {
    /// The stripes, if threads have met here.
    #[inline(always)]
    pub(super) fn stripes(&self) -> Option<&Stripes> {
        // Ordering: Acquire pairs with the Release in `ext_or_new`.
        let ext = self.ext.load(Acquire);
        if ext.is_null() {
            return None;
        }
        // SAFETY: I1: the memory of an `Ext` with stripes goes with the node's;
        // of its content, which goes earlier, this touches nothing. Stripes are
        // made once and go with the node's memory.
        unsafe { Ext::stripes_of(ext).as_ref() }
    }

    /// The lock was found taken: threads have met here.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock and owns a handle.
    #[cold]
    pub(super) unsafe fn met(this: NonNull<Self>) {
        // SAFETY: I1, I2 by the caller.
        unsafe {
            let meetings = this.as_ref().meetings.get().saturating_add(1);
            this.as_ref().meetings.set(meetings);
            if are_enough(meetings) {
                Self::spread(this);
            }
        }
    }

    /// Gives the node stripes, unless it has them or needs none any more.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock and owns a handle.
    #[cold]
    unsafe fn spread(this: NonNull<Self>) {
        // SAFETY: I1, I2 by the caller. The `Ext` is there as long as the node.
        unsafe {
            if this.as_ref().record().is_some() || this.as_ref().stripes().is_some() {
                return;
            }
            let ext = Self::ext_or_new(this);
            // So that a walk comes to close them, whatever was put there.
            this.as_ref().set_flag(HAD_CHILD);
            // Ordering: Release pairs with the Acquire in `Ext::stripes_of`.
            ext.stripes.store(Box::into_raw(Box::new(Stripes::new())), Release);
        }
    }

    /// From now on all entries are on the node's own lists, under its own lock.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock, and the node is not dead.
    #[inline]
    pub(super) unsafe fn close_stripes(&self) {
        if let Some(stripes) = self.stripes() {
            // SAFETY: I2 by the caller.
            unsafe { stripes.close(self) };
        }
    }
}

impl Ext {
    /// The stripes of an `Ext` whose content may be gone.
    ///
    /// # Safety
    ///
    /// I1: the memory of the `Ext` is there.
    #[inline(always)]
    pub(super) unsafe fn stripes_of(this: *const Self) -> *mut Stripes {
        // Ordering: Acquire pairs with the Release in `spread`.
        // SAFETY: I1 by the caller.
        unsafe { (*this).stripes.load(Acquire) }
    }
}

/// For the models: as if threads had met here.
#[cfg(all(test, loom))]
pub(crate) fn spread<const UNIT: u64>(handle: &super::handle::Handle<UNIT>) {
    handle.node().lock.acquire();
    // SAFETY: I1: the handle keeps the node. I2: under its lock.
    unsafe {
        Node::spread(handle.ptr());
        Lock::release(&raw const handle.node().lock);
    }
}

/// For the models: whether threads met here, or as if.
#[cfg(all(test, loom))]
pub(crate) fn is_spread<const UNIT: u64>(handle: &super::handle::Handle<UNIT>) -> bool {
    handle.node().stripes().is_some()
}
