use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
struct Hand(Arc<Mutex<Instant>>);

impl Hand {
    fn move_to(&self, instant: Instant) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = instant.max(*now);
    }
}

impl TimeSource for Hand {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let hand = Hand(Arc::new(Mutex::new(Instant::now())));
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
    /// meanwhile too, if they come to lie before the end.
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
        let end = self.now().checked_add(by);
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
