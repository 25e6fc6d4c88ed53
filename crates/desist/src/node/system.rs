//! The system's clock: a wheel for each place, so that threads which arm timers
//! at the same time do not wait for each other.
//!
//! A timer is on the wheel of the thread that made it, for as long as it lives.
//! All wheels have one keeper, one scale and one order of locks: nobody holds
//! the locks of two. What is due is fired a few from each wheel in turn, the
//! first tick of a wheel first, so a storm on one delays the others by little.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::clock::{ClockCore, Look};
use super::spread::OwnLine;
#[cfg(not(all(test, loom)))]
use super::spread::PLACES;
use super::sync::{AtomicUsize, Lazy, global};

/// How many deadlines of one wheel are fired before it is another's turn.
const IN_A_ROW: usize = 16;

/// Where the cores are is read by all who arm, whose turn it is written by those who fire.
#[repr(C)]
pub(crate) struct SystemClock {
    /// On the heap, made one by one: together they are 36 kB, and whoever arms
    /// the first deadline may have a small stack.
    cores: Box<[ClockCore]>,
    _own: OwnLine,
    turn: Turn,
}

global! {
    static SYSTEM: Lazy<SystemClock> = Lazy::new(SystemClock::new);
}

#[cfg(not(all(test, loom)))]
fn wheels() -> usize {
    PLACES
}

/// What a wheel more tells, few models are about.
#[cfg(all(test, loom))]
fn wheels() -> usize {
    crate::models::wheels()
}

impl SystemClock {
    fn new() -> Self {
        let base = Instant::now();
        let cores = (0..wheels()).map(|_| ClockCore::new(base, None)).collect();
        Self { cores, _own: OwnLine, turn: Turn::new() }
    }

    #[inline]
    pub(crate) fn get() -> &'static Self {
        &SYSTEM
    }

    #[inline]
    pub(super) fn core_of(&self, place: u8) -> &ClockCore {
        &self.cores[usize::from(place) % self.cores.len()]
    }

    pub(crate) fn now(&self) -> Instant {
        self.cores[0].now()
    }

    /// Moves what has come to the due timers, and tells what there is.
    pub(crate) fn look(&self) -> Look {
        let nothing = Look { due: false, taken: 0, next: None };
        self.cores.iter().map(ClockCore::look).fold(nothing, Look::and)
    }

    /// Fires one deadline that has come; false if there is none left.
    pub(crate) fn fire_one(&self) -> bool {
        let taken = self.turn.take(self.cores.len(), |wheel| {
            let core = &self.cores[wheel];
            core.take_next().map(|expired| (core, expired))
        });
        let any = taken.is_some();
        if let Some((core, expired)) = taken {
            expired.fire(core, core.now());
        }
        any
    }
}

/// Whose turn it is. Among several who take at once it is a hint: one may be served
/// more often than the others, or passed over.
struct Turn(AtomicUsize);

impl Turn {
    fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// What `take` gives of the one whose turn it is, or else of the next one
    /// that has anything.
    fn take<T>(&self, many: usize, mut take: impl FnMut(usize) -> Option<T>) -> Option<T> {
        // Ordering: Relaxed: it chooses between things that are all right.
        let turn = self.0.load(Relaxed);
        (0..many).find_map(|further| {
            let begun = if further == 0 { turn % IN_A_ROW } else { 0 };
            let whose = turn / IN_A_ROW + further;
            let taken = take(whose % many)?;
            // Ordering: Relaxed: as above.
            self.0.store((whose % many) * IN_A_ROW + begun + 1, Relaxed);
            Some(taken)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Who is served, as long as there is anything.
    fn served(mut waiting: Vec<usize>) -> Vec<usize> {
        let turn = Turn::new();
        std::iter::from_fn(|| {
            turn.take(waiting.len(), |whose| {
                waiting[whose] = waiting[whose].checked_sub(1)?;
                Some(whose)
            })
        })
        .collect()
    }

    #[test]
    fn all_have_their_turn_and_nothing_is_left() {
        let order = served(vec![IN_A_ROW * 2 + 1, 1, 0, IN_A_ROW]);
        let mut expected = vec![0; IN_A_ROW];
        expected.push(1);
        expected.extend(vec![3; IN_A_ROW]);
        expected.extend(vec![0; IN_A_ROW + 1]);
        assert_eq!(order, expected);
    }

    /// Somebody looks again at the earliest of all, whichever wheel it is on.
    #[test]
    fn what_is_seen_of_two_wheels_is_what_is_earliest() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        let wheel = |due, taken, next| Look { due, taken, next };
        let pairs = [
            (wheel(false, 1, Some(soon)), wheel(false, 2, Some(late)), wheel(false, 3, Some(soon))),
            (wheel(false, 0, Some(soon)), wheel(true, 1, None), wheel(true, 1, Some(soon))),
            (wheel(false, 0, None), wheel(false, 0, None), wheel(false, 0, None)),
        ];
        for (one, other, both) in pairs {
            assert_eq!(one.and(other), both);
            assert_eq!(other.and(one), both);
        }
    }

    #[test]
    fn who_is_alone_does_not_wait_for_the_others_turn() {
        assert_eq!(served(vec![0, 0, 5]), [2; 5]);
        assert_eq!(served(vec![3]), [0; 3]);
        assert_eq!(served(vec![0; 4]), [0; 0]);
    }

    #[test]
    fn who_was_served_enough_is_asked_last() {
        let turn = Turn::new();
        for _ in 0..IN_A_ROW {
            assert_eq!(turn.take(3, |whose| (whose == 0).then_some(())), Some(()));
        }
        let mut asked = Vec::new();
        assert_eq!(
            turn.take(3, |whose| {
                asked.push(whose);
                None::<()>
            }),
            None
        );
        assert_eq!(asked, [1, 2, 0]);
    }
}
