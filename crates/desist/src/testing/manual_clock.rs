use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::node::sync::{Mutex, MutexGuard};
use crate::{Clock, TimeSource};

/// A clock that stands still until it is moved.
///
/// Clones are the same clock.
///
/// ```
/// use desist::{Source, testing::ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let source = Source::with_clock(clock.clock());
/// source.cancel_after(Duration::from_millis(5));
/// let query = source.child();
///
/// let before = clock.now();
/// clock.advance(Duration::from_millis(5));
/// assert!(query.is_cancelled(), "fired before `advance` returned");
/// assert_eq!(query.token().cancellation().unwrap().at(), before + Duration::from_millis(5));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    hand: Hand,
    clock: Clock,
}

#[derive(Clone)]
struct Hand(Arc<Mutex<Position>>);

struct Position {
    now: Instant,
    /// Where it will stand when all that move it are done.
    end: Instant,
}

thread_local! {
    /// The clocks that this thread is moving.
    static MOVING: RefCell<Vec<*const Mutex<Position>>> = const { RefCell::new(Vec::new()) };
}

impl Hand {
    fn position(&self) -> MutexGuard<'_, Position> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, instant: Instant) {
        let mut position = self.position();
        position.now = instant.max(position.now);
        position.end = position.end.max(position.now);
    }

    /// Where a move by `by` ends. Moves of several threads add up; one inside a
    /// callback starts from where the clock stands. `None`: past any instant.
    fn end_of_move(&self, by: Duration) -> Option<Instant> {
        let inside = MOVING.with_borrow(|moving| moving.contains(&Arc::as_ptr(&self.0)));
        let mut position = self.position();
        let end = if inside { position.now } else { position.end }.checked_add(by)?;
        position.end = end.max(position.end);
        Some(end)
    }
}

/// Notes that this thread moves a clock, until it is dropped.
struct Moving;

impl Moving {
    fn begin(hand: &Hand) -> Self {
        MOVING.with_borrow_mut(|moving| moving.push(Arc::as_ptr(&hand.0)));
        Self
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        MOVING.with_borrow_mut(|moving| moving.pop());
    }
}

impl TimeSource for Hand {
    fn now(&self) -> Instant {
        self.position().now
    }

    fn arm(&self, _next: Option<Instant>) {
        // Nobody sleeps for it: `advance` asks.
    }
}

impl ManualClock {
    /// A clock that stands at the present.
    ///
    /// ```
    /// let clock = desist::testing::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        let now = Instant::now();
        let hand = Hand(Arc::new(Mutex::new(Position { now, end: now })));
        Self { clock: Clock::new(hand.clone()), hand }
    }

    /// What time it is.
    ///
    /// ```
    /// use desist::testing::ManualClock;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let before = clock.now();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now(), before + Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn now(&self) -> Instant {
        self.hand.now()
    }

    /// The clock to make sources with.
    ///
    /// ```
    /// use desist::{Source, testing::ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let source = Source::with_clock(clock.clock());
    /// assert_eq!(source.token().deadline(), None);
    /// ```
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Moves the clock. Deadlines fire on this thread before this returns, in
    /// their order, each when the clock stands at it; those that callbacks arm
    /// meanwhile too, if they come to lie before the end. Moves of several
    /// threads add up; a callback may move the clock on, too.
    ///
    /// ```
    /// use desist::{Source, testing::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let (late, early) = (Source::with_clock(clock.clock()), Source::with_clock(clock.clock()));
    /// late.cancel_after(Duration::from_secs(2));
    /// early.cancel_after(Duration::from_secs(1));
    /// clock.advance(Duration::from_secs(1));
    /// assert!(early.is_cancelled() && !late.is_cancelled());
    /// ```
    pub fn advance(&self, by: Duration) {
        let end = self.hand.end_of_move(by);
        let _moving = Moving::begin(&self.hand);
        while let Some(next) = self.clock.next_due() {
            if end.is_some_and(|end| end < next) {
                break;
            }
            self.hand.move_to(next);
            self.clock.fire_due();
        }
        if let Some(end) = end {
            self.hand.move_to(end);
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").finish_non_exhaustive()
    }
}
