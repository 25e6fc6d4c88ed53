//! Making and freeing nodes, and the rarer parts of one: [`Ext`].

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::clock::Clock;
use super::list::{Entry, Kind, pop_front};
use super::lock::Lock;
use super::probe::Probe;
use super::stripes::Stripes;
use super::sync::{AtomicPtr, AtomicU32, AtomicU64, Guarded};
use super::timer::Timer;
use super::{EXT_INSIDE, Node, PROBED, Record, RecordRef, callback, wait};
use crate::unwind::Panic;

/// What only some nodes need. Made with the node, or once later when a deadline
/// is armed; then it stays.
pub(crate) struct Ext {
    /// The links to the second and further parents.
    pub(super) links: Vec<Link>,
    pub(super) clock: Clock,
    pub(super) timer: Timer,
    pub(super) probe: Option<Probe>,
    /// Made once, or never; goes with the node's memory, and so does the memory
    /// of an `Ext` that has them.
    pub(super) stripes: AtomicPtr<Stripes>,
    /// Written before the `Ext` is published, read by whoever finds it.
    #[cfg(all(test, loom))]
    made: super::plain::Plain,
}

impl Ext {
    /// Writes the `Ext` of `node`, each word where it stays: what was made on the stack
    /// would be read from there in other widths than it was just written in, at which
    /// processors are slow.
    ///
    /// # Safety
    ///
    /// The memory is the caller's.
    #[inline(always)]
    unsafe fn init(
        this: *mut Self,
        node: *const Node,
        links: Vec<Link>,
        clock: Clock,
        probe: Option<Probe>,
    ) {
        // SAFETY: I1 by the caller: nobody else can reach it.
        unsafe {
            (&raw mut (*this).links).write(links);
            (&raw mut (*this).clock).write(clock);
            Timer::init(&raw mut (*this).timer, node);
            (&raw mut (*this).probe).write(probe);
            (&raw mut (*this).stripes).write(AtomicPtr::new(ptr::null_mut()));
            #[cfg(all(test, loom))]
            {
                super::grave::born(super::grave::Kind::Ext);
                (&raw mut (*this).made).write(super::plain::Plain::new());
            }
        }
    }

    /// True if the `Ext` of a live node with a single parent at most has nothing that
    /// must be dropped, as a timeout's on the system's clock.
    #[inline]
    fn is_bare(&self) -> bool {
        debug_assert!(self.links.capacity() == 0, "the others go the long way");
        debug_assert!(self.probe.is_none(), "the state of what is counted is never null");
        // In a model whatever goes is looked at.
        cfg!(not(all(test, loom))) && self.clock.is_system()
    }

    /// Drops what an `Ext` has; its memory stays, and with it its stripes.
    ///
    /// # Safety
    ///
    /// I1: the content is the caller's.
    unsafe fn drop_content(this: *mut Self) {
        // SAFETY: I1 by the caller. What is not dropped here has no drop.
        unsafe {
            #[cfg(all(test, loom))]
            ptr::drop_in_place(&raw mut (*this).made);
            // Together, so that none stays if the drop of another panics.
            let (links, clock) = (&raw const (*this).links, &raw const (*this).clock);
            drop((links.read(), clock.read(), (&raw const (*this).probe).read()));
        }
    }
}

/// The link to a second or further parent. The entry comes first: a walk finds
/// the link from it.
#[repr(C)]
pub(super) struct Link {
    pub(super) entry: Entry,
    pub(super) parent: Guarded<*const Node>,
    pub(super) child: Guarded<*const Node>,
}

/// A node with its `Ext` in one allocation: what a fresh timeout is.
#[repr(C)]
struct Extended {
    node: Node,
    ext: Ext,
}

impl Node {
    fn blank(state: *mut Record, unit: u64, flags: u8) -> Self {
        #[cfg(all(test, loom))]
        super::grave::born(super::grave::Kind::Node);
        Self {
            state: AtomicPtr::new(state),
            parent: Guarded::new(ptr::null()),
            entry: Entry::new(Kind::Child),
            ext: AtomicPtr::new(ptr::null_mut()),
            walk: Guarded::new(ptr::null()),
            aside: Guarded::new(ptr::null()),
            refs: AtomicU64::new(unit),
            lock: Lock::new(),
            flags: Guarded::new(flags),
            meetings: Guarded::new(0),
            life: AtomicU32::new(1),
            list: Guarded::new(ptr::null()),
        }
    }

    /// A live node with one handle.
    #[inline]
    pub(super) fn new(unit: u64) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Self::blank(ptr::null_mut(), unit, 0))))
    }

    /// A node that was never live.
    pub(super) fn new_cancelled(unit: u64, record: RecordRef, clock: Clock) -> NonNull<Self> {
        if clock.is_system() {
            return NonNull::from(Box::leak(Box::new(Self::blank(record.into_raw(), unit, 0))));
        }
        // For the deadlines of what is shielded from it.
        let node = Self::new_extended(unit, clock, None, Vec::new());
        // SAFETY: I3: nobody else can reach the node yet.
        unsafe { node.as_ref().set_record(record.into_raw()) };
        node
    }

    /// A live node with its `Ext`, in one allocation.
    #[inline]
    pub(super) fn new_extended(
        unit: u64,
        clock: Clock,
        probe: Option<Probe>,
        links: Vec<Link>,
    ) -> NonNull<Self> {
        let state = if probe.is_some() { PROBED } else { ptr::null_mut() };
        let whole = Box::leak(Box::<Extended>::new_uninit()).as_mut_ptr();
        // SAFETY: I2: nobody else can reach the node yet; both parts are
        // written in their place, whole. `node` is the first field of a
        // `repr(C)` struct, so its address is that of the whole.
        unsafe {
            (&raw mut (*whole).node).write(Self::blank(state, unit, EXT_INSIDE));
            let ext = &raw mut (*whole).ext;
            Ext::init(ext, whole.cast(), links, clock, probe);
            // Ordering: Relaxed: not shared yet.
            (*whole).node.ext.store(ext, Relaxed);
            NonNull::new_unchecked(whole.cast())
        }
    }

    /// The `Ext`, if there is one.
    #[inline]
    pub(super) fn ext(&self) -> Option<&Ext> {
        // Ordering: Acquire pairs with the Release in `ext_or_new`.
        let ext = self.ext.load(Acquire);
        // SAFETY: I1: an `Ext` is made once and freed with its node.
        let ext = unsafe { ext.as_ref() };
        #[cfg(all(test, loom))]
        if let Some(ext) = ext {
            ext.made.get();
        }
        ext
    }

    /// The `Ext`, made now where there is none: on the system's clock.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock.
    pub(super) unsafe fn ext_or_new<'a>(this: NonNull<Self>) -> &'a Ext {
        // SAFETY: I1: the caller keeps the node. I2: nobody else has the new
        // `Ext` yet, and the lock keeps anybody else from making one.
        unsafe {
            if let Some(ext) = this.as_ref().ext() {
                return ext;
            }
            let ext = Box::leak(Box::<Ext>::new_uninit()).as_mut_ptr();
            Ext::init(ext, this.as_ptr(), Vec::new(), Clock::system(), None);
            #[cfg(all(test, loom))]
            (*ext).made.add();
            // Ordering: Release pairs with the Acquire in `ext`.
            this.as_ref().ext.store(ext, Release);
            &*ext
        }
    }

    /// The clock that deadlines of this node and its children run on.
    pub(crate) fn clock(&self) -> Clock {
        self.ext().map_or_else(Clock::system, |ext| ext.clock.clone())
    }
}

/// Frees a node that nobody can reach any more. Foreign code may run (the drop
/// of a detached callback, of a detail): what it panics with is in `panic`.
///
/// # Safety
///
/// I6: the caller is the sole party; the node is on no list, its timer is off
/// its clock, and its parents were let go.
#[inline]
pub(super) unsafe fn free(node: NonNull<Node>, panic: &mut Panic) {
    // SAFETY: I6: the caller has the node to himself.
    unsafe {
        let this = node.as_ref();
        // Ordering: Relaxed: the caller has the node to himself.
        let (state, ext) = (this.state.load(Relaxed), this.ext.load(Relaxed));
        let bare = |ext: &Ext| this.has_flag(EXT_INSIDE) && ext.is_bare();
        let plain = state.is_null() && ext.as_ref().is_none_or(bare);
        if !plain || !this.list.get().is_null() || !this.aside.get().is_null() {
            empty(node, panic);
        }
        dealloc(node);
    }
}

/// Drops all that a dead node has; its memory, lock, counts and flags stay.
///
/// # Safety
///
/// I1: the caller set `DEAD`, or is the sole party. The node's timer is off its
/// clock, and its parents were let go.
#[cold]
pub(super) unsafe fn empty(node: NonNull<Node>, panic: &mut Panic) {
    // SAFETY: I1, I2: the content is the caller's. Children and held
    // registrations would have kept `life` up, so entries left on the lists are
    // detached callbacks, and waiters of futures that were forgotten (I9).
    unsafe {
        let this = node.as_ref();
        for head in [&this.list, &this.aside] {
            while let Some(entry) = pop_front(head) {
                if (*entry).kind == Kind::Waiter {
                    panic.catch(|| drop(wait::take_waker(entry)));
                } else {
                    callback::discard(entry, panic);
                }
            }
        }
        // Ordering: Relaxed: the content is the caller's.
        let state = this.state.swap(ptr::null_mut(), Relaxed);
        // Ordering: Relaxed: as above.
        let ext = this.ext.load(Relaxed);
        let inside = this.has_flag(EXT_INSIDE);
        let striped = this.stripes().is_some();
        let memory_stays = inside || striped;
        if !striped {
            // Ordering: Relaxed: nobody else looks for stripes that never were.
            this.ext.store(ptr::null_mut(), Relaxed);
        }
        #[cfg(all(test, loom))]
        if let Some(ext) = ext.as_ref() {
            super::grave::gone(super::grave::Kind::Ext);
            ext.timer.assert_sole();
            ext.links.iter().for_each(|link| link.entry.assert_sole());
        }
        // Foreign code: the detail's drop, a clock's drop.
        panic.catch(|| {
            if !ext.is_null() && memory_stays {
                Ext::drop_content(ext);
            } else if !ext.is_null() {
                drop(Box::from_raw(ext));
            }
        });
        if !state.is_null() && state != PROBED {
            panic.catch(|| drop(RecordRef::from_raw(state)));
        }
    }
}

/// The memory of a node that nobody needs any more.
pub(super) struct Remains {
    pub(super) node: NonNull<Node>,
    /// Its `Ext` is in the same allocation.
    extended: bool,
    /// Its `Ext`, if it has stripes or had nothing to drop.
    ext: *mut Ext,
    pub(super) stripes: *mut Stripes,
}

/// Frees the memory of a node. Runs no foreign code.
///
/// # Safety
///
/// I1: nobody needs the memory any more, and the node was emptied, or has nothing that
/// must be dropped.
#[inline]
pub(super) unsafe fn dealloc(node: NonNull<Node>) {
    // SAFETY: I1 by the caller. An `Ext` that is still there has its memory.
    unsafe {
        let extended = node.as_ref().has_flag(EXT_INSIDE);
        // Ordering: Relaxed: the memory is the caller's.
        let ext = node.as_ref().ext.load(Relaxed);
        let stripes = if ext.is_null() { ptr::null_mut() } else { Ext::stripes_of(ext) };
        let remains = Remains { node, extended, ext, stripes };
        #[cfg(all(test, loom))]
        super::grave::bury(remains);
        #[cfg(not(all(test, loom)))]
        remains.dealloc();
    }
}

impl Remains {
    /// # Safety
    ///
    /// As for `dealloc`.
    #[inline]
    pub(super) unsafe fn dealloc(self) {
        // SAFETY: I1: the memory is the caller's. Nothing in a node or in
        // stripes has a drop of its own, and the content of the `Ext` was dropped
        // in its place, or is bare.
        unsafe {
            if !self.stripes.is_null() {
                self.dealloc_stripes();
            }
            if self.extended {
                drop(Box::from_raw(self.node.as_ptr().cast::<MaybeUninit<Extended>>()));
            } else {
                drop(Box::from_raw(self.node.as_ptr().cast::<MaybeUninit<Node>>()));
            }
        }
    }

    /// # Safety
    ///
    /// As for `dealloc`; there are stripes.
    #[cold]
    unsafe fn dealloc_stripes(&self) {
        // SAFETY: I1: as in `dealloc`.
        unsafe {
            drop(Box::from_raw(self.stripes.cast::<MaybeUninit<Stripes>>()));
            if !self.extended {
                drop(Box::from_raw(self.ext.cast::<MaybeUninit<Ext>>()));
            }
        }
    }
}
