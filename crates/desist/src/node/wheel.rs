//! A timing wheel: arming and disarming cost what a list insert costs, with a
//! million timers outstanding.
//!
//! Time is counted in nanoseconds since the clock's base; a tick is 2^20 of
//! them, about a millisecond. Eight levels of 64 slots cover every tick a `u64`
//! of nanoseconds can name: a timer stands on the level of the highest group of
//! six bits in which its tick differs from `elapsed`, in the slot that these
//! bits name. When `elapsed` reaches a slot of a higher level its timers move
//! down; those of the lowest level are due. All of it is under the clock's
//! lock; every timer is also on at most one list, so it can be taken off at any
//! time in one step.

use std::ptr;

use super::sync::Guarded;

#[cfg(not(all(test, loom)))]
const SLOT_BITS: u32 = 6;
/// A model's threads have small stacks.
#[cfg(all(test, loom))]
const SLOT_BITS: u32 = 2;
const SLOTS: usize = 1 << SLOT_BITS;
const TICK_BITS: u32 = 20;
const LEVELS: usize = (u64::BITS - TICK_BITS).div_ceil(SLOT_BITS) as usize;

/// Where a timer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Slot { level: u8, slot: u8 },
    Due,
}

/// A timer's part of the wheel. First in what it belongs to.
#[repr(C)]
pub(super) struct Spoke {
    next: Guarded<*const Spoke>,
    prev: Guarded<*const Spoke>,
    place: Guarded<Place>,
    due_ns: Guarded<u64>,
    /// Which of two timers with one deadline was armed first.
    order: Guarded<u64>,
    /// A thread fires it: it is not taken again before that has ended.
    pub(super) firing: Guarded<bool>,
}

impl Spoke {
    /// Writes a spoke that is on no wheel; see `Ext::init`.
    ///
    /// # Safety
    ///
    /// The memory is the caller's.
    #[inline(always)]
    pub(super) unsafe fn init(this: *mut Self) {
        // SAFETY: I2 by the caller: nobody else can reach it.
        unsafe {
            (&raw mut (*this).next).write(Guarded::new(ptr::null()));
            (&raw mut (*this).prev).write(Guarded::new(ptr::null()));
            (&raw mut (*this).place).write(Guarded::new(Place::Nowhere));
            (&raw mut (*this).due_ns).write(Guarded::new(0));
            (&raw mut (*this).order).write(Guarded::new(0));
            (&raw mut (*this).firing).write(Guarded::new(false));
        }
    }
}

#[cfg(all(test, loom))]
impl Spoke {
    /// # Safety
    ///
    /// Nobody else can reach the timer.
    pub(super) unsafe fn assert_sole(&self) {
        // SAFETY: I8 by the caller.
        unsafe {
            assert_eq!(self.place.get(), Place::Nowhere, "a timer that goes is on no clock");
            self.next.set(ptr::null());
            self.prev.set(ptr::null());
            self.place.set(Place::Nowhere);
            self.firing.set(false);
        }
    }
}

/// All armed timers of one clock.
pub(super) struct Wheel {
    elapsed: u64,
    occupied: [u64; LEVELS],
    slots: [[Guarded<*const Spoke>; SLOTS]; LEVELS],
    /// What has come and waits to be fired: the first tick first, so that nobody
    /// starves when more comes than can be fired.
    due: Guarded<*const Spoke>,
    due_last: Guarded<*const Spoke>,
    /// The due timers are in the order of their deadlines, within a tick too.
    due_sorted: bool,
    next_order: u64,
}

/// When somebody must look at the wheel again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    Now,
    At(u64),
    Never,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            elapsed: 0,
            occupied: [0; LEVELS],
            slots: std::array::from_fn(|_| std::array::from_fn(|_| Guarded::new(ptr::null()))),
            due: Guarded::new(ptr::null()),
            due_last: Guarded::new(ptr::null()),
            due_sorted: true,
            next_order: 0,
        }
    }

    /// Puts a timer in for `due_ns`.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock; the timer is in no place, and stays
    /// where it is until it is removed (I8).
    pub(super) unsafe fn insert(&mut self, spoke: *const Spoke, due_ns: u64) {
        // SAFETY: I2: the clock's lock. I8: the timer is alive.
        unsafe {
            (*spoke).due_ns.set(due_ns);
            (*spoke).order.set(self.next_order);
            self.next_order += 1;
            self.place(spoke);
        }
    }

    /// # Safety
    ///
    /// As for `insert`; `due_ns` is set.
    unsafe fn place(&mut self, spoke: *const Spoke) {
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            let tick = ((*spoke).due_ns.get() >> TICK_BITS).max(self.elapsed);
            let differs = (self.elapsed ^ tick) | (SLOTS as u64 - 1);
            let level = ((63 - differs.leading_zeros()) / SLOT_BITS) as usize;
            let slot = (tick >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
            self.occupied[level] |= 1 << slot;
            (*spoke).place.set(Place::Slot { level: level as u8, slot: slot as u8 });
            push(&self.slots[level][slot], spoke);
        }
    }

    /// Takes a timer out; does nothing if it is in no place.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn remove(&mut self, spoke: *const Spoke) {
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            match (*spoke).place.get() {
                Place::Nowhere => return,
                Place::Due => {
                    if self.due_last.get() == spoke {
                        self.due_last.set((*spoke).prev.get());
                    }
                    unlink(&self.due, spoke);
                }
                Place::Slot { level, slot } => {
                    let (level, slot) = (usize::from(level), usize::from(slot));
                    let head = &self.slots[level][slot];
                    unlink(head, spoke);
                    if head.get().is_null() {
                        self.occupied[level] &= !(1 << slot);
                    }
                }
            }
            (*spoke).place.set(Place::Nowhere);
        }
    }

    /// Moves what is due at `now_ns` to the list of due timers; at most
    /// `budget` timers are moved. True if there is more to do. With `exact` a
    /// timer is due at its nanosecond, otherwise at the end of its tick.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn advance(&mut self, now_ns: u64, exact: bool, mut budget: usize) -> bool {
        let target = now_ns >> TICK_BITS;
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            while let Some((level, slot, start)) = self.first_slot() {
                // In the slot of this very tick some may not be due yet.
                let sift = level == 0 && start == target;
                if start > target || (sift && !exact) {
                    break;
                }
                self.elapsed = self.elapsed.max(start);
                let mut kept = false;
                let mut spoke = self.slots[level][slot].get();
                while !spoke.is_null() {
                    if budget == 0 {
                        return true;
                    }
                    let next = (*spoke).next.get();
                    let due = level == 0 || (*spoke).due_ns.get() >> TICK_BITS < target;
                    if sift && (*spoke).due_ns.get() > now_ns {
                        kept = true;
                    } else {
                        unlink(&self.slots[level][slot], spoke);
                        if due {
                            (*spoke).place.set(Place::Due);
                            self.push_due(spoke);
                            self.due_sorted = false;
                        } else {
                            self.place(spoke);
                        }
                        budget -= 1;
                    }
                    spoke = next;
                }
                if kept {
                    break;
                }
                self.occupied[level] &= !(1 << slot);
            }
        }
        self.elapsed = self.elapsed.max(target);
        false
    }

    /// Puts a timer behind those that are due already.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock; the timer is on no list.
    unsafe fn push_due(&mut self, spoke: *const Spoke) {
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            let last = self.due_last.get();
            (*spoke).next.set(ptr::null());
            (*spoke).prev.set(last);
            if let Some(last) = last.as_ref() {
                last.next.set(spoke);
            } else {
                self.due.set(spoke);
            }
            self.due_last.set(spoke);
        }
    }

    /// The earliest slot that is occupied: its level, number and first tick.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let first_of = |level: usize| {
            // A level's timers agree with `elapsed` in all higher bits, so its
            // lowest occupied slot is its earliest.
            let slots = self.occupied[level];
            let slot = slots.trailing_zeros();
            let shift = level as u32 * SLOT_BITS;
            let above = (self.elapsed >> shift) & !(SLOTS as u64 - 1);
            (slots != 0).then(|| (level, slot as usize, (above | u64::from(slot)) << shift))
        };
        (0..LEVELS).filter_map(first_of).min_by_key(|&(_, _, start)| start)
    }

    /// Takes one due timer that nobody fires, marked as being fired.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn take_due(&mut self) -> Option<(*const Spoke, u64)> {
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            let mut spoke = self.due.get();
            while let Some(candidate) = spoke.as_ref() {
                if !candidate.firing.get() {
                    self.remove(spoke);
                    candidate.firing.set(true);
                    return Some((spoke, candidate.due_ns.get()));
                }
                spoke = candidate.next.get();
            }
            None
        }
    }

    /// Puts the due timers in the order of their deadlines.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn sort_due(&mut self) {
        if std::mem::replace(&mut self.due_sorted, true) {
            return;
        }
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            let mut due = Vec::new();
            let mut spoke = self.due.get();
            while let Some(this) = spoke.as_ref() {
                due.push((this.due_ns.get(), this.order.get(), spoke));
                spoke = this.next.get();
            }
            due.sort_unstable_by_key(|&(due_ns, order, _)| (due_ns, order));
            self.due.set(ptr::null());
            self.due_last.set(ptr::null());
            for (_, _, spoke) in due {
                self.push_due(spoke);
            }
        }
    }

    /// When to look again. With `exact`, never before a timer is due unless
    /// timers must move down a level; otherwise at the end of the tick.
    ///
    /// # Safety
    ///
    /// The caller holds the clock's lock.
    pub(super) unsafe fn next(&self, exact: bool) -> Next {
        // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
        unsafe {
            if !self.due.get().is_null() {
                return Next::Now;
            }
            let Some((level, slot, start)) = self.first_slot() else {
                return Next::Never;
            };
            if level > 0 {
                return Next::At(start << TICK_BITS);
            }
            if !exact {
                return Next::At((start + 1) << TICK_BITS);
            }
            let mut earliest = u64::MAX;
            let mut spoke = self.slots[level][slot].get();
            while let Some(this) = spoke.as_ref() {
                earliest = earliest.min(this.due_ns.get());
                spoke = this.next.get();
            }
            Next::At(earliest)
        }
    }
}

/// When a look at a wheel must come for a timer at `due_ns`.
pub(super) fn look_for(due_ns: u64, exact: bool) -> u64 {
    if exact { due_ns } else { (due_ns | ((1 << TICK_BITS) - 1)).saturating_add(1) }
}

/// # Safety
///
/// The caller holds the clock's lock.
unsafe fn push(head: &Guarded<*const Spoke>, spoke: *const Spoke) {
    // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
    unsafe {
        let first = head.get();
        (*spoke).next.set(first);
        (*spoke).prev.set(ptr::null());
        if let Some(first) = first.as_ref() {
            first.prev.set(spoke);
        }
        head.set(spoke);
    }
}

/// # Safety
///
/// The caller holds the clock's lock; the timer is on the list of `head`.
unsafe fn unlink(head: &Guarded<*const Spoke>, spoke: *const Spoke) {
    // SAFETY: I2: the clock's lock. I8: timers in the wheel are alive.
    unsafe {
        let (next, prev) = ((*spoke).next.get(), (*spoke).prev.get());
        if let Some(next) = next.as_ref() {
            next.prev.set(prev);
        }
        if let Some(prev) = prev.as_ref() {
            prev.next.set(next);
        } else {
            head.set(next);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::MaybeUninit;

    use super::{Spoke, TICK_BITS, Wheel};

    macro_rules! spoke {
        () => {{
            let mut spoke = MaybeUninit::uninit();
            // SAFETY: I2: nobody else has it. It is written before it is taken.
            unsafe {
                Spoke::init(spoke.as_mut_ptr());
                spoke.assume_init()
            }
        }};
    }

    /// What comes while something waits to be fired is fired after it.
    #[test]
    fn the_first_tick_is_fired_first() {
        let timers: Vec<Spoke> = (0..6).map(|_| spoke!()).collect();
        let mut wheel = Wheel::new();
        let tick = |number: u64| number << TICK_BITS;
        let mut fired = Vec::new();
        // SAFETY: I2: nobody else has the wheel. I8: the timers stay in their
        // place, and are taken out below.
        unsafe {
            for (timer, due) in timers.iter().zip([5, 1, 70, 3, 5_000, 2]) {
                wheel.insert(timer, tick(due));
            }
            wheel.advance(tick(4), false, usize::MAX);
            fired.push(wheel.take_due());
            wheel.remove(&timers[3]);
            // The last that waited was taken out; more comes behind the rest.
            for now in [6, 80, 6_000] {
                wheel.advance(tick(now), false, usize::MAX);
            }
            while let Some(due) = wheel.take_due() {
                fired.push(Some(due));
            }
        }
        let fired: Vec<u64> =
            fired.into_iter().flatten().map(|(_, due)| due >> TICK_BITS).collect();
        assert_eq!(fired, [1, 2, 5, 70, 5_000]);
    }

    /// The lock is held for so many timers at most, and what is left comes with
    /// the next hold.
    #[test]
    fn no_more_is_moved_than_the_budget_allows() {
        let timers: Vec<Spoke> = (0..5).map(|_| spoke!()).collect();
        let mut wheel = Wheel::new();
        let mut moved = Vec::new();
        // SAFETY: I2: nobody else has the wheel. I8: the timers stay in their
        // place, and all of them are taken out.
        unsafe {
            for timer in &timers {
                wheel.insert(timer, 1 << TICK_BITS);
            }
            loop {
                let more = wheel.advance(2 << TICK_BITS, false, 2);
                moved.push(std::iter::from_fn(|| wheel.take_due()).count());
                if !more {
                    break;
                }
            }
        }
        assert_eq!(moved, [2, 2, 1]);
    }
}
