//! Where time comes from: a clock has a wheel of timers, and somebody who
//! looks at it in time.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::lock::Lock;
use super::spread::OwnLine;
use super::sync::{Guarded, RawCell};
use super::system::SystemClock;
use super::timer::Expired;
use super::wheel::{Next, Wheel, look_for};
use crate::keeper;
use crate::unwind::Panic;

/// How many timers are moved under one hold of the system clock's lock.
const BUDGET: usize = 256;

/// `told` when the source was told that nothing is armed, or nothing at all.
const NOTHING: u64 = u64::MAX;

/// Deadlines this many nanoseconds from the base, or more, are as if not armed:
/// about 584 years.
pub(super) const MAX_NANOS: u64 = u64::MAX - 1;

/// A source of time for a [`Clock`]: a runtime's timer, a simulation.
///
/// The source is asked for the time, and told when to call
/// [`Clock::fire_due`]. It is `'static`, and `arm` must not call `fire_due`
/// itself: it notes the instant, and something else calls when it has come.
///
/// ```
/// use desist::{Clock, Reason, Source, TimeSource};
/// use std::sync::{Arc, Mutex};
/// use std::time::{Duration, Instant};
///
/// struct Simulated { now: Mutex<Instant>, next: Mutex<Option<Instant>> }
///
/// impl TimeSource for Simulated {
///     fn now(&self) -> Instant { *self.now.lock().unwrap() }
///     fn arm(&self, next: Option<Instant>) { *self.next.lock().unwrap() = next; }
/// }
///
/// let time = Arc::new(Simulated { now: Mutex::new(Instant::now()), next: Mutex::new(None) });
/// let clock = Clock::new(Arc::clone(&time));
/// let source = Source::with_clock(clock.clone());
/// source.cancel_after(Duration::from_secs(3600));
///
/// while !source.is_cancelled() {
///     let next = time.next.lock().unwrap().expect("it was told when to look");
///     *time.now.lock().unwrap() = next;
///     clock.fire_due();
/// }
/// assert_eq!(source.token().reason(), Some(Reason::Deadline));
/// ```
pub trait TimeSource: Send + Sync {
    /// What time it is. Never goes back.
    fn now(&self) -> Instant;

    /// When [`Clock::fire_due`] is to be called next; `None`: nothing is armed.
    ///
    /// Called from any thread, without a lock held, by one teller at a time,
    /// who looks again before it leaves. It may be told too early (then the
    /// next telling follows from `fire_due`), never too late.
    fn arm(&self, next: Option<Instant>);
}

/// A source that is shared with whoever moves it.
impl<T: TimeSource + ?Sized> TimeSource for Arc<T> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn arm(&self, next: Option<Instant>) {
        (**self).arm(next);
    }
}

/// Where a signal's deadlines get their time from.
///
/// A child inherits the clock of its (first) parent; a deadline stays on the
/// clock that it was armed on, and reaches signals of other clocks by the link
/// between parent and child.
///
/// ```
/// use desist::{Clock, Source};
///
/// let source = Source::with_clock(Clock::system());
/// assert!(source.token().deadline().is_none());
/// ```
#[derive(Clone)]
pub struct Clock(Option<Arc<ClockCore>>);

/// One wheel and its lock: a clock of one's own, or an eighth of the system's.
/// What everybody reads is not on the lines that whoever arms a timer writes.
#[repr(C)]
pub(super) struct ClockCore {
    base: Instant,
    source: Option<Box<dyn TimeSource>>,
    _own: OwnLine,
    lock: Lock,
    /// When the source, or the keeper, will look again.
    told: Guarded<u64>,
    /// The source must be told, even if that is later than it thinks.
    stale: Guarded<bool>,
    telling: Guarded<bool>,
    /// How many timers were taken to be fired, ever.
    taken: Guarded<u64>,
    wheel: RawCell<Wheel>,
}

// SAFETY: I2, I8: the wheel and the guarded words are under the clock's lock;
// the timers in the wheel are alive; the source is Send + Sync.
unsafe impl Send for ClockCore {}
// SAFETY: I2, I8: as above.
unsafe impl Sync for ClockCore {}

impl Clock {
    /// The system's monotonic clock. One thread at a time keeps it, started
    /// when the first deadline is armed; another one fires what has come, and
    /// more while callbacks block, up to 64. Where more comes at once than is fired, what
    /// different threads armed is fired by turns.
    ///
    /// ```
    /// use desist::Clock;
    /// use std::time::Instant;
    ///
    /// let before = Instant::now();
    /// assert!(Clock::system().now() >= before);
    /// ```
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// A clock that gets its time from `source`.
    ///
    /// ```
    /// use desist::{Clock, TimeSource};
    /// use std::time::Instant;
    ///
    /// struct Still(Instant);
    /// impl TimeSource for Still {
    ///     fn now(&self) -> Instant { self.0 }
    ///     fn arm(&self, _next: Option<Instant>) {}
    /// }
    /// let noon = Instant::now();
    /// assert_eq!(Clock::new(Still(noon)).now(), noon);
    /// ```
    #[must_use]
    pub fn new(source: impl TimeSource + 'static) -> Self {
        Self(Some(Arc::new(ClockCore::new(source.now(), Some(Box::new(source))))))
    }

    /// What time it is on this clock.
    ///
    /// ```
    /// use desist::Clock;
    ///
    /// let clock = Clock::system();
    /// assert!(clock.now() <= clock.now());
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.core().now()
    }

    /// Fires every deadline that has come, on this thread, in the order of the
    /// deadlines: a callback that blocks delays the next. Then tells the source
    /// when to call again.
    ///
    /// A callback's panic goes to the panic hook, and the next one follows. On
    /// the system's clock, which fires by itself, this does nothing.
    ///
    /// ```
    /// desist::Clock::system().fire_due();
    /// ```
    pub fn fire_due(&self) {
        let Some(core) = &self.0 else { return };
        loop {
            // Foreign code, so before a timer is marked as firing.
            let now = core.now();
            let Some(expired) = core.take_due(core.nanos(now).unwrap_or(NOTHING)) else { break };
            expired.fire(core, now);
        }
        // SAFETY: I2: under the clock's lock.
        core.with_wheel(|_| unsafe { core.stale.set(true) });
        core.tell();
    }

    /// For whoever moves this clock, and should not keep it: what calls
    /// [`fire_due`](Self::fire_due) has no business once nobody uses the clock.
    ///
    /// ```
    /// use desist::Clock;
    ///
    /// assert!(Clock::system().downgrade().upgrade().is_some(), "it never goes");
    /// ```
    #[must_use]
    pub fn downgrade(&self) -> WeakClock {
        WeakClock(self.0.as_ref().map(Arc::downgrade))
    }

    pub(crate) fn is_system(&self) -> bool {
        self.0.is_none()
    }

    /// The core that the timers of `place` are on.
    #[inline]
    pub(super) fn core_of(&self, place: u8) -> &ClockCore {
        match &self.0 {
            Some(core) => core,
            None => SystemClock::get().core_of(place),
        }
    }

    /// Any core: all of a clock have the same scale.
    #[inline]
    pub(super) fn core(&self) -> &ClockCore {
        self.core_of(0)
    }

    /// The next instant at which something may be due, for a clock that is
    /// moved by hand.
    #[cfg(feature = "testing")]
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let core = self.core();
        // SAFETY: I2: under the clock's lock.
        match core.with_wheel(|wheel| unsafe { wheel.next(true) }) {
            Next::Never => None,
            Next::Now => Some(core.now()),
            Next::At(due_ns) => Some(core.instant(due_ns)),
        }
    }
}

impl ClockCore {
    pub(super) fn new(base: Instant, source: Option<Box<dyn TimeSource>>) -> Self {
        Self {
            base,
            source,
            _own: OwnLine,
            lock: Lock::new(),
            told: Guarded::new(NOTHING),
            stale: Guarded::new(false),
            telling: Guarded::new(false),
            taken: Guarded::new(0),
            wheel: RawCell::new(Wheel::new()),
        }
    }

    pub(super) fn now(&self) -> Instant {
        match &self.source {
            Some(source) => source.now(),
            #[cfg(not(all(test, loom)))]
            None => Instant::now(),
            #[cfg(all(test, loom))]
            None => self.instant(crate::models::system_nanos()),
        }
    }

    /// The instant on this clock's own scale; `None` out of its range.
    pub(super) fn nanos(&self, instant: Instant) -> Option<u64> {
        let nanos = instant.saturating_duration_since(self.base).as_nanos();
        u64::try_from(nanos).ok().filter(|&nanos| nanos < MAX_NANOS)
    }

    pub(super) fn instant(&self, nanos: u64) -> Instant {
        self.base + Duration::from_nanos(nanos)
    }

    fn exact(&self) -> bool {
        self.source.is_some()
    }

    #[inline]
    pub(super) fn with_wheel<R>(&self, f: impl FnOnce(&mut Wheel) -> R) -> R {
        // SAFETY: I1: the reference keeps the clock.
        unsafe { Self::with_wheel_of(self, f) }
    }

    /// The same, for a caller whose clock may be gone when the lock is released.
    ///
    /// # Safety
    ///
    /// The clock is alive until `f` has returned.
    #[inline]
    pub(super) unsafe fn with_wheel_of<R>(this: *const Self, f: impl FnOnce(&mut Wheel) -> R) -> R {
        // SAFETY: I2: the lock is held; I5: `f` runs no foreign code.
        unsafe {
            (*this).lock.acquire();
            let result = (*this).wheel.with_mut(|wheel| f(&mut *wheel));
            Lock::release(&raw const (*this).lock);
            result
        }
    }

    /// True if somebody must be told of a timer that was armed for `due_ns`.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn wants_telling(&self, due_ns: u64) -> bool {
        let look = look_for(due_ns, self.exact());
        // SAFETY: I2: by the caller.
        unsafe {
            let earlier = look < self.told.get();
            if earlier && !self.exact() {
                self.told.set(look);
            }
            earlier
        }
    }

    /// Tells whoever keeps this clock when to look again.
    pub(super) fn tell(&self) {
        let Some(source) = &self.source else {
            if !keeper::alarm() {
                // No thread could be had. Whoever arms next tries again.
                // SAFETY: I2: under the clock's lock.
                self.with_wheel(|_| unsafe { self.told.set(NOTHING) });
            }
            return;
        };
        let mut panic = Panic::none();
        let mut first = true;
        loop {
            // SAFETY: I2: under the clock's lock.
            let next = self.with_wheel(|wheel| unsafe {
                if first && self.telling.get() {
                    // Whoever tells looks again before it leaves.
                    return None;
                }
                let next = match wheel.next(true) {
                    Next::Now => 0,
                    Next::At(due_ns) => due_ns,
                    Next::Never => NOTHING,
                };
                let news = next < self.told.get() || self.stale.get();
                self.telling.set(news);
                self.stale.set(false);
                if news {
                    self.told.set(next);
                }
                news.then_some(next)
            });
            first = false;
            let Some(next) = next else { break };
            let next = (next != NOTHING).then(|| self.instant(next));
            panic.catch(|| source.arm(next));
        }
        panic.resume();
    }

    /// Takes one deadline that has come by `now_ns`.
    fn take_due(&self, now_ns: u64) -> Option<Expired> {
        // SAFETY: I2: under the clock's lock.
        self.with_wheel(|wheel| unsafe {
            wheel.advance(now_ns, true, usize::MAX);
            wheel.sort_due();
            self.take_one(wheel)
        })
    }

    /// # Safety
    ///
    /// The caller holds the clock's lock.
    unsafe fn take_one(&self, wheel: &mut Wheel) -> Option<Expired> {
        // SAFETY: I2: by the caller. I8: the spoke is now marked as firing.
        unsafe {
            let (spoke, due_ns) = wheel.take_due()?;
            self.taken.set(self.taken.get() + 1);
            Expired::new(spoke, due_ns)
        }
    }

    // What the keeper of the system's clock does.

    /// Moves what has come to the due timers. Tells whether there are any, how
    /// many were taken so far, and when to look again.
    pub(super) fn look(&self) -> Look {
        let now_ns = self.nanos(self.now()).unwrap_or(NOTHING);
        // SAFETY: I2: under the clock's lock.
        while self.with_wheel(|wheel| unsafe { wheel.advance(now_ns, false, BUDGET) }) {}
        // SAFETY: I2: under the clock's lock.
        self.with_wheel(|wheel| unsafe {
            let next = wheel.next(false);
            let (due, next) = match next {
                Next::Now => (true, None),
                Next::At(due_ns) => (false, Some(due_ns)),
                Next::Never => (false, None),
            };
            if !due {
                self.told.set(next.unwrap_or(NOTHING));
            }
            Look { due, taken: self.taken.get(), next: next.map(|next| self.instant(next)) }
        })
    }

    /// Takes one deadline that has come, to be fired.
    pub(super) fn take_next(&self) -> Option<Expired> {
        // SAFETY: I2: under the clock's lock.
        self.with_wheel(|wheel| unsafe { self.take_one(wheel) })
    }
}

/// What the keeper sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Something has come and waits to be fired.
    pub(crate) due: bool,
    /// How many timers were taken to be fired, ever.
    pub(crate) taken: u64,
    /// When to look again; later, if something is due.
    pub(crate) next: Option<Instant>,
}

impl Look {
    /// What is seen of two wheels.
    pub(super) fn and(self, other: Self) -> Self {
        let due = self.due || other.due;
        let next = self.next.into_iter().chain(other.next).min();
        Self { due, taken: self.taken + other.taken, next }
    }
}

/// A [`Clock`], if somebody still uses it.
///
/// ```
/// use desist::{Clock, Source, TimeSource};
/// use std::time::Instant;
///
/// struct Still(Instant);
/// impl TimeSource for Still {
///     fn now(&self) -> Instant { self.0 }
///     fn arm(&self, _next: Option<Instant>) {}
/// }
/// let clock = Clock::new(Still(Instant::now()));
/// let mover = clock.downgrade();
/// let source = Source::with_clock(clock);
/// mover.upgrade().expect("the source uses it").fire_due();
/// drop(source);
/// assert!(mover.upgrade().is_none());
/// ```
#[derive(Clone)]
pub struct WeakClock(Option<Weak<ClockCore>>);

impl WeakClock {
    /// The clock, unless it is gone.
    ///
    /// ```
    /// use desist::Clock;
    ///
    /// let weak = Clock::system().downgrade();
    /// assert_eq!(format!("{:?}", weak.upgrade()), "Some(Clock(system))");
    /// ```
    #[must_use]
    pub fn upgrade(&self) -> Option<Clock> {
        let Some(weak) = &self.0 else { return Some(Clock(None)) };
        weak.upgrade().map(|core| Clock(Some(core)))
    }
}

impl fmt::Debug for WeakClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "WeakClock(system)" } else { "WeakClock(own)" })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_system() { "Clock(system)" } else { "Clock(own)" })
    }
}
