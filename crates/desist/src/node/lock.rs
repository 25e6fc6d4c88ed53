//! The lock of one node: a byte.
//!
//! Taking it is one compare-exchange and giving it back is one plain store,
//! half of what a mutex costs. The price is paid by whoever has to wait: it
//! spins for a bounded time, announces itself and parks. A holder that gives
//! the lock back in the very moment of the announcement may miss it; the parked
//! thread therefore looks again by itself after a millisecond (`PARK_LIMIT`). No promise
//! depends on that time: it only bounds how late the loser of that race is.
//!
//! | word        | meaning                                          |
//! |-------------|--------------------------------------------------|
//! | `FREE`      | nobody holds it                                  |
//! | `HELD`      | held, nobody has announced a wait                |
//! | `CONTENDED` | held, and somebody parks or is about to          |
//!
//! The holder never runs foreign code and never waits for anything but a lock
//! further down in the lock order, so a wait is short unless the holder was
//! descheduled; then parking gives it the processor back.

use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::sync::AtomicU8;

const FREE: u8 = 0;
const HELD: u8 = 1;
const CONTENDED: u8 = 2;

#[derive(Debug)]
pub(crate) struct Lock(AtomicU8);

impl Lock {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(FREE))
    }

    #[inline(always)]
    pub(crate) fn acquire(&self) {
        self.acquire_noting();
    }

    /// The same; true if it was found taken.
    #[inline(always)]
    pub(crate) fn acquire_noting(&self) -> bool {
        // Ordering: Acquire pairs with the Release in `release`: what the last
        // holder wrote is seen. Relaxed on failure: nothing is read then.
        let taken = self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err();
        if taken {
            self.acquire_slow();
        }
        taken
    }

    /// True if the lock is free at this moment; for somebody who knows that no
    /// one who could take it is left.
    #[inline(always)]
    pub(crate) fn is_free(&self) -> bool {
        // Ordering: Acquire pairs with the Release in `release`: the last
        // holder is done with the node when this says so.
        self.0.load(Acquire) == FREE
    }

    /// Gives the lock back and tells whether somebody was waiting. The node
    /// may be gone when this returns, so it takes a pointer (and touches
    /// nothing behind it after the store).
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    pub(crate) unsafe fn release(this: *const Self) -> bool {
        // SAFETY: I1: the lock's holder has the node alive until the store.
        let word = unsafe { &(*this).0 };
        // Ordering: Relaxed: only chooses between two ways to release; an
        // announcement missed here is made good by PARK_LIMIT.
        if word.load(Relaxed) == HELD {
            give_back(word);
            false
        } else {
            // Ordering: Release pairs with the Acquire in `acquire`.
            word.swap(FREE, Release);
            park::wake_all(this.addr());
            true
        }
    }

    /// Nobody takes the lock of what was freed.
    #[cfg(all(test, loom))]
    pub(super) fn freed(&mut self) {
        self.0.with_mut(|word| {
            assert_eq!(*word, FREE, "what is freed is not locked");
            *word = u8::MAX;
        });
    }

    #[cold]
    fn acquire_slow(&self) {
        #[cfg(all(test, loom))]
        if !crate::models::whole_lock() {
            // Ordering: Acquire/Relaxed as in `acquire`.
            while self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
                loom::thread::yield_now();
            }
            return;
        }
        if self.spin(FREE, HELD, spins(100)) {
            return;
        }
        loop {
            // Ordering: Acquire as in `acquire`: FREE means that it is ours,
            // marked contended because others may be parked as well.
            if self.0.swap(CONTENDED, Acquire) == FREE {
                return;
            }
            // Long enough for a holder that just missed the announcement to
            // have given the lock back, so that nobody parks in vain; and for a
            // walk that was told to make way.
            if self.spin(FREE, CONTENDED, spins(1_000)) {
                return;
            }
            // Ordering: Relaxed: only decides whether parking makes sense.
            park::park(ptr::from_ref(self).addr(), || self.0.load(Relaxed) == CONTENDED);
        }
    }

    fn spin(&self, from: u8, to: u8, times: u32) -> bool {
        for _ in 0..times {
            // Ordering: Relaxed: a hint; the exchange below decides.
            if self.0.load(Relaxed) == from
                // Ordering: Acquire/Relaxed as in `acquire`.
                && self.0.compare_exchange(from, to, Acquire, Relaxed).is_ok()
            {
                return true;
            }
            super::sync::spin_loop();
        }
        false
    }
}

#[inline(always)]
fn give_back(word: &AtomicU8) {
    // The model checker does not know that a word which is exchanged has no
    // other write in between, so where others exchange it, this is one, too.
    #[cfg(all(test, loom))]
    if crate::models::whole_lock() {
        // Ordering: Release as below.
        word.swap(FREE, Release);
        return;
    }
    // Ordering: Release pairs with the Acquire in `acquire`.
    word.store(FREE, Release);
}

#[cfg(not(all(test, loom)))]
fn spins(times: u32) -> u32 {
    times
}

/// A model gains nothing by looking twice.
#[cfg(all(test, loom))]
fn spins(_: u32) -> u32 {
    u32::from(crate::models::whole_lock())
}

/// Lets whoever waits for a lock that was just released have it first. For a
/// walk that takes the same lock again and again.
pub(crate) fn yield_to_waiter() {
    for _ in 0..spins(60) {
        super::sync::spin_loop();
    }
}

/// Where the waiters of contended locks sleep, by the lock's address.
mod park {
    // Not those of `sync`: the word alone has to order, so what a bed orders is
    // not spelled for a sanitizer.
    use std::sync::{Condvar, Mutex, PoisonError};
    use std::time::Duration;

    /// How late the loser of the announcement race looks again.
    #[cfg_attr(all(test, loom), allow(dead_code))]
    const PARK_LIMIT: Duration = Duration::from_millis(1);

    struct Bed {
        sleepers: Mutex<()>,
        bell: Condvar,
    }

    static BEDS: [Bed; 32] = [const { Bed { sleepers: Mutex::new(()), bell: Condvar::new() } }; 32];

    fn bed(addr: usize) -> &'static Bed {
        &BEDS[(addr >> 4) % BEDS.len()]
    }

    /// In a model the limit has always just passed.
    #[cfg(all(test, loom))]
    pub(super) fn park(_: usize, still_contended: impl FnOnce() -> bool) {
        if still_contended() {
            loom::thread::yield_now();
        }
    }

    #[cfg(not(all(test, loom)))]
    pub(super) fn park(addr: usize, still_contended: impl FnOnce() -> bool) {
        let bed = bed(addr);
        let guard = bed.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        if still_contended() {
            // Woken, timed out or spurious: the caller looks again anyway.
            drop(bed.bell.wait_timeout(guard, PARK_LIMIT));
        }
    }

    #[cold]
    pub(super) fn wake_all(addr: usize) {
        let bed = bed(addr);
        drop(bed.sleepers.lock().unwrap_or_else(PoisonError::into_inner));
        bed.bell.notify_all();
    }
}
