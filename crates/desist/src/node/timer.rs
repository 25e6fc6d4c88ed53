//! The deadline of one node: armed, taken back, fired.
//!
//! | `firing` | in the wheel | meaning                                              |
//! |----------|--------------|------------------------------------------------------|
//! | no       | no           | nothing armed                                        |
//! | no       | yes          | armed                                                |
//! | yes      | no           | a thread is about to cancel the node, if `expired`   |
//! | yes      | yes          | the same, but it was armed anew meanwhile            |
//!
//! Arming and disarming happen under the node's lock and then the clock's, and
//! clear `expired`; the thread that fires looks at it under both. So a deadline
//! that was taken back in time does not fire, however late its thread is.
//! While `firing`, the node's memory is not freed: whoever wanted to free it
//! leaves a note, `orphan`, and the firing thread does it (I8).

use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::alloc::Ext;
use super::cancel::cancel_locked;
use super::clock::{Clock, ClockCore, MAX_NANOS};
use super::handle::{Handle, SourceRef};
use super::life::reap;
use super::lock::Lock;
use super::spread::place;
use super::sync::{AtomicU64, Guarded};
use super::wheel::Spoke;
use super::{DEAD, Node, RecordRef};
use crate::unwind::Panic;
use crate::{Cause, Reason};

/// `shown` when nothing is armed.
const NOTHING: u64 = u64::MAX;
/// `shown` when nothing was ever armed: the clock need not be asked.
const NEVER: u64 = u64::MAX - 1;

/// The spoke comes first: the wheel gives the timer back by it.
#[repr(C)]
pub(super) struct Timer {
    spoke: Spoke,
    node: Guarded<*const Node>,
    origin: Guarded<Option<&'static Location<'static>>>,
    expired: Guarded<bool>,
    orphan: Guarded<bool>,
    /// Which of the system clock's wheels it is on: that of the thread that made it.
    place: u8,
    /// The deadline for whoever asks, in the clock's nanoseconds.
    shown: AtomicU64,
}

impl Timer {
    /// Writes the timer of `node`; see `Ext::init`.
    ///
    /// # Safety
    ///
    /// The memory is the caller's.
    #[inline(always)]
    pub(super) unsafe fn init(this: *mut Self, node: *const Node) {
        // SAFETY: I2 by the caller: nobody else can reach it.
        unsafe {
            Spoke::init(&raw mut (*this).spoke);
            (&raw mut (*this).node).write(Guarded::new(node));
            (&raw mut (*this).origin).write(Guarded::new(None));
            (&raw mut (*this).expired).write(Guarded::new(false));
            (&raw mut (*this).orphan).write(Guarded::new(false));
            (&raw mut (*this).place).write(place());
            (&raw mut (*this).shown).write(AtomicU64::new(NEVER));
        }
    }

    /// Before its memory goes: whatever others did with it is over.
    ///
    /// # Safety
    ///
    /// Nobody else can reach the timer.
    #[cfg(all(test, loom))]
    pub(super) unsafe fn assert_sole(&self) {
        // SAFETY: I8 by the caller.
        unsafe {
            self.spoke.assert_sole();
            self.node.set(ptr::null());
            self.origin.set(None);
            self.expired.set(false);
            self.orphan.set(false);
        }
    }

    /// The deadline that is armed, or that has fired.
    pub(super) fn shown(&self, clock: &Clock) -> Option<Instant> {
        // Ordering: Relaxed: an answer about this moment, no more.
        match self.shown.load(Relaxed) {
            NOTHING | NEVER => None,
            due_ns => Some(clock.core().instant(due_ns)),
        }
    }

    fn was_used(&self) -> bool {
        // Ordering: Relaxed: written by who armed it: under the node's lock,
        // or before the node was shared; the reader comes after both.
        self.shown.load(Relaxed) != NEVER
    }
}

impl Ext {
    /// The core whose wheel the timer is on, if it is on one.
    #[inline]
    fn core(&self) -> &ClockCore {
        self.clock.core_of(self.timer.place)
    }

    /// Arms for `due_ns`. True if the clock's keeper must be told.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock, or nobody else can reach the node.
    unsafe fn arm(&self, due_ns: u64, origin: &'static Location<'static>) -> bool {
        let timer = &self.timer;
        // Ordering: Relaxed: see `was_used`.
        timer.shown.store(due_ns, Relaxed);
        let core = self.core();
        // SAFETY: I2: under the clock's lock. I8: the timer is taken out
        // before the node goes. The spoke's pointer is the whole timer's.
        unsafe {
            core.with_wheel(|wheel| {
                wheel.remove(&timer.spoke);
                timer.expired.set(false);
                timer.origin.set(Some(origin));
                wheel.insert(ptr::from_ref(timer).cast(), due_ns);
                core.wants_telling(due_ns)
            })
        }
    }

    /// Takes the deadline back. For a node that is being marked, too.
    ///
    /// # Safety
    ///
    /// The caller holds the node's lock.
    pub(super) unsafe fn disarm(&self) {
        if self.timer.was_used() {
            // SAFETY: I2: under the clock's lock.
            self.core().with_wheel(|wheel| unsafe {
                wheel.remove(&self.timer.spoke);
                self.timer.expired.set(false);
            });
        }
    }

    /// Before the node is freed. False if a thread fires: then that one frees.
    /// The `Ext`, and with it perhaps its clock, may be gone when this returns
    /// false, so it takes a pointer.
    ///
    /// # Safety
    ///
    /// I1: the caller has set `DEAD` on the node whose `Ext` this is.
    pub(super) unsafe fn retire(this: *const Self) -> bool {
        // SAFETY: I8: until the clock's lock is released the `Ext` is alive,
        // and keeps its clock. I2: under the clock's lock.
        unsafe {
            if !(*this).timer.was_used() {
                return true;
            }
            let core: *const ClockCore = (*this).core();
            ClockCore::with_wheel_of(core, |wheel| {
                let timer = &(*this).timer;
                wheel.remove(&timer.spoke);
                timer.expired.set(false);
                let firing = timer.spoke.firing.get();
                timer.orphan.set(firing);
                !firing
            })
        }
    }

    /// The same, but leaves everything as it is if a thread fires.
    pub(super) fn retire_if_quiet(&self) -> bool {
        // SAFETY: I2: under the clock's lock.
        !self.timer.was_used()
            || self.core().with_wheel(|wheel| unsafe {
                let quiet = !self.timer.spoke.firing.get();
                if quiet {
                    wheel.remove(&self.timer.spoke);
                }
                quiet
            })
    }
}

/// When a deadline is: now or before, later, or out of any range.
enum When {
    Past(Instant),
    Later(u64),
    Never,
}

impl Clock {
    fn when(&self, due: Instant, now: Instant) -> When {
        if due <= now {
            return When::Past(due);
        }
        self.core().nanos(due).map_or(When::Never, When::Later)
    }

    fn when_after(&self, timeout: Duration) -> When {
        if timeout.is_zero() {
            return When::Past(self.now());
        }
        let core = self.core();
        let due_ns = core.nanos(core.now()).and_then(|now_ns| {
            let timeout_ns = u64::try_from(timeout.as_nanos()).ok()?;
            now_ns.checked_add(timeout_ns).filter(|&due_ns| due_ns < MAX_NANOS)
        });
        due_ns.map_or(When::Never, When::Later)
    }
}

impl SourceRef {
    /// A fresh signal of the system's clock under a deadline.
    pub(crate) fn with_timeout(timeout: Duration, origin: &'static Location<'static>) -> Self {
        Self::under(Clock::system().when_after(timeout), origin)
    }

    pub(crate) fn with_deadline(due: Instant, origin: &'static Location<'static>) -> Self {
        let clock = Clock::system();
        Self::under(clock.when(due, clock.now()), origin)
    }

    fn under(when: When, origin: &'static Location<'static>) -> Self {
        let When::Later(due_ns) = when else {
            let source = Self::new();
            source.arm(when, origin);
            return source;
        };
        let node = Node::new_extended(Self::UNIT, Clock::system(), None, Vec::new());
        // SAFETY: I1: the node is made with one source counted. I2: nobody else can
        // reach it yet.
        let source = unsafe { Self::adopt(node) };
        if let Some(ext) = source.node().ext() {
            // SAFETY: I2: as above.
            if unsafe { ext.arm(due_ns, origin) } {
                ext.core().tell();
            }
        }
        source
    }

    pub(crate) fn cancel_after(&self, timeout: Duration, origin: &'static Location<'static>) {
        self.arm(self.clock().when_after(timeout), origin);
    }

    pub(crate) fn cancel_at(&self, due: Instant, origin: &'static Location<'static>) {
        let clock = self.clock();
        self.arm(clock.when(due, clock.now()), origin);
    }

    /// Takes the own deadline back.
    pub(crate) fn disarm(&self) {
        let this = self.node();
        this.lock.acquire();
        // SAFETY: I2: under the lock.
        unsafe {
            if let (Some(ext), None) = (this.ext(), this.record()) {
                ext.disarm();
                if ext.timer.was_used() {
                    // Ordering: Relaxed: see `was_used`.
                    ext.timer.shown.store(NOTHING, Relaxed);
                }
            }
            Lock::release(&this.lock);
        }
    }

    fn arm(&self, when: When, origin: &'static Location<'static>) {
        match when {
            When::Past(due) => {
                self.cancel_due(Cause::new(Reason::Deadline), origin, Some(due));
            }
            When::Never => self.disarm(),
            When::Later(due_ns) => {
                let this = self.node();
                this.lock.acquire();
                // SAFETY: I2: under the lock.
                let tell = unsafe {
                    let live = this.record().is_none();
                    let tell = live && Node::ext_or_new(self.ptr()).arm(due_ns, origin);
                    Lock::release(&this.lock);
                    tell
                };
                if let (true, Some(ext)) = (tell, this.ext()) {
                    ext.core().tell();
                }
            }
        }
    }
}

impl<const UNIT: u64> Handle<UNIT> {
    pub(crate) fn child_with_timeout(
        &self,
        timeout: Duration,
        origin: &'static Location<'static>,
    ) -> SourceRef {
        self.child_under(self.clock().when_after(timeout), origin)
    }

    pub(crate) fn child_with_deadline(
        &self,
        due: Instant,
        origin: &'static Location<'static>,
    ) -> SourceRef {
        let clock = self.clock();
        self.child_under(clock.when(due, clock.now()), origin)
    }

    fn child_under(&self, when: When, origin: &'static Location<'static>) -> SourceRef {
        let child = match when {
            When::Later(_) => self.child_extended(true),
            When::Past(_) | When::Never => self.child(),
        };
        child.arm(when, origin);
        child
    }
}

/// One deadline that passed, taken off the wheel to be fired.
pub(super) struct Expired {
    timer: NonNull<Timer>,
    due_ns: u64,
    origin: &'static Location<'static>,
}

impl Expired {
    /// # Safety
    ///
    /// The caller holds the clock's lock and has the spoke from `take_due`.
    pub(super) unsafe fn new(spoke: *const Spoke, due_ns: u64) -> Option<Self> {
        // SAFETY: I8: `firing` keeps the timer. I2: under the clock's lock.
        unsafe {
            let timer = NonNull::new(spoke.cast_mut())?.cast::<Timer>();
            timer.as_ref().expired.set(true);
            let origin = timer.as_ref().origin.get()?;
            Some(Self { timer, due_ns, origin })
        }
    }

    /// Cancels the node, unless its deadline was taken back meanwhile. Foreign
    /// code runs in here: its panics end here, the panic hook has heard them.
    pub(super) fn fire(self, core: &ClockCore, now: Instant) {
        let mut panic = Panic::none();
        let cause = Cause::new(Reason::Deadline);
        let due = core.instant(self.due_ns);
        let record = RecordRef::new(cause, self.origin, now.max(due), Some(due));
        let timer = self.timer;
        // SAFETY: I8: `firing` keeps the timer and its node until it is
        // cleared; then the node's lock does, if it is not dead, and after that a
        // handle.
        unsafe {
            let node = NonNull::new_unchecked(timer.as_ref().node.get().cast_mut());
            node.as_ref().lock.acquire();
            if node.as_ref().has_flag(DEAD) {
                Lock::release(&raw const (*node.as_ptr()).lock);
                let orphan = core.with_wheel(|_| {
                    timer.as_ref().spoke.firing.set(false);
                    timer.as_ref().orphan.get()
                });
                if orphan {
                    reap(node, &mut panic);
                }
            } else {
                let go = core.with_wheel(|_| {
                    timer.as_ref().spoke.firing.set(false);
                    let expired = timer.as_ref().expired.get();
                    timer.as_ref().expired.set(false);
                    expired
                });
                if go {
                    let handle = node.as_ref().handle_under_lock(node);
                    cancel_locked(node, record, &mut panic);
                    panic.catch(|| drop(handle));
                } else {
                    Lock::release(&raw const (*node.as_ptr()).lock);
                }
            }
        }
        panic.swallow();
    }
}
