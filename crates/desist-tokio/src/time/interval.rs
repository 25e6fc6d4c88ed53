use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Cancelled, Token, WhenCancelled};
use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior};

/// Ticks at once and then every `period`, until the stop is asked for.
///
/// It follows tokio's time, paused or not.
///
/// # Panics
///
/// If `period` is zero, outside a tokio runtime, and in one without the timer.
///
/// ```
/// use desist::Source;
/// use desist_tokio::interval;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = Source::new();
/// let mut ticks = interval(Duration::from_secs(60), &source.token());
/// let mut seen = 0;
/// while ticks.tick().await.is_ok() {
///     seen += 1;
///     if seen == 3 {
///         source.cancel();
///     }
/// }
/// assert_eq!(seen, 3);
/// # }
/// ```
#[track_caller]
#[must_use]
pub fn interval(period: Duration, token: &Token) -> Interval {
    assert!(!period.is_zero(), "an interval of zero never waits; give it a period");
    assert!(
        Handle::try_current().is_ok(),
        "an interval is made outside a tokio runtime; make it in a task, or inside Runtime::enter()"
    );
    Interval { inner: tokio::time::interval(period), token: token.clone(), wait: None }
}

/// What [`interval`] gives.
pub struct Interval {
    inner: tokio::time::Interval,
    token: Token,
    /// From the first tick on that is waited for.
    wait: Option<Pin<Box<WhenCancelled<'static>>>>,
}

impl Interval {
    /// Waits for the next tick, and gives the instant it was due.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no tick, and neither does a cancel: cancelled,
    /// it takes none.
    ///
    /// # Errors
    ///
    /// The stop was asked for. It stays so: every later tick fails as well.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut ticks = desist_tokio::interval(Duration::from_secs(60), &Token::never());
    /// let first = ticks.tick().await.unwrap();
    /// assert_eq!(ticks.tick().await.unwrap() - first, Duration::from_secs(60));
    /// # }
    /// ```
    pub async fn tick(&mut self) -> Result<Instant, Cancelled> {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// The same for futures and streams that are written by hand.
    ///
    /// ```
    /// use desist::Token;
    /// use std::future::poll_fn;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut ticks = desist_tokio::interval(Duration::from_secs(60), &Token::never());
    /// assert!(poll_fn(|cx| ticks.poll_tick(cx)).await.is_ok());
    /// # }
    /// ```
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Result<Instant, Cancelled>> {
        let polled = match self.token.cancellation() {
            Some(cancelled) => Poll::Ready(Err(cancelled)),
            None => self.inner.poll_tick(cx).map(Ok),
        };
        let polled = match polled {
            Poll::Ready(ticked) => Poll::Ready(ticked),
            Poll::Pending => {
                let token = &self.token;
                let wait =
                    self.wait.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
                wait.as_mut().poll(cx).map(Err)
            }
        };
        crate::trace::heard("interval", &self.token, &polled);
        polled
    }

    /// The time between two ticks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let ticks = desist_tokio::interval(Duration::from_secs(1), &desist::Token::never());
    /// assert_eq!(ticks.period(), Duration::from_secs(1));
    /// # }
    /// ```
    #[must_use]
    pub fn period(&self) -> Duration {
        self.inner.period()
    }

    /// The next tick comes a whole period from now.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let begin = tokio::time::Instant::now();
    /// let mut ticks = desist_tokio::interval(Duration::from_secs(1), &desist::Token::never());
    /// ticks.reset();
    /// assert_eq!(ticks.tick().await.unwrap() - begin, Duration::from_secs(1));
    /// # }
    /// ```
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// What happens to ticks that were missed; see
    /// [`MissedTickBehavior`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use tokio::time::MissedTickBehavior;
    ///
    /// let mut ticks = desist_tokio::interval(Duration::from_secs(1), &desist::Token::never());
    /// ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    /// assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Delay);
    /// # }
    /// ```
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.inner.set_missed_tick_behavior(behavior);
    }

    /// What happens to ticks that were missed: all at once, if nothing was set.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tokio::time::MissedTickBehavior;
    ///
    /// let second = std::time::Duration::from_secs(1);
    /// let ticks = desist_tokio::interval(second, &desist::Token::never());
    /// assert_eq!(ticks.missed_tick_behavior(), MissedTickBehavior::Burst);
    /// # }
    /// ```
    #[must_use]
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.inner.missed_tick_behavior()
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("period", &self.period())
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
