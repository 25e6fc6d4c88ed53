//! Deadlines on tokio's time, for tests that pause it.
//!
//! A clock of `desist` asks its source for the time and tells it when to look
//! again; here a task of the runtime looks. The task holds the clock weakly and
//! runs only while something is armed, so a clock that nobody uses leaves
//! nothing behind, and one whose runtime is gone fires nothing any more.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use desist::{Clock, TimeSource, WeakClock};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout_at;

/// A clock that follows this runtime's time, also while it is
/// [paused](https://docs.rs/tokio/latest/tokio/time/fn.pause.html): for sources
/// in tests. Every call makes another one; they agree.
///
/// Where time is not paused this is dearer than the system's clock and no
/// better, so groups and timeouts of this crate use it only under a paused
/// runtime. Its deadlines fire in a task of the runtime, one after the other, and no
/// more once the runtime is gone. As every timer of tokio they may come a
/// millisecond late; and as every task, that one must get its turn: after an
/// `advance` to the deadline whoever waits is woken, and whoever only looks calls
/// [`fire_due`](Clock::fire_due) first, or yields once.
///
/// Paused time stands still while blocking work runs, and while the thread of the
/// runtime is blocked. A *blocking* wait for a deadline of this clock then waits for
/// ever. Blocking work of a group is given a token on the system's time for that
/// reason.
///
/// # Panics
///
/// Outside a runtime. A task that waits for time panics in a runtime without
/// the timer, as everywhere in tokio; then no deadline of the clock fires.
///
/// ```
/// use desist::{Reason, Source};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// tokio::time::pause();
/// let source = Source::with_clock(desist_tokio::clock());
/// source.cancel_after(Duration::from_secs(3600));
/// // Nothing else is left to wait for, so the hour is over at once.
/// assert_eq!(source.token().await.reason(), Reason::Deadline);
/// # }
/// ```
#[must_use]
#[track_caller]
pub fn clock() -> Clock {
    let Ok(runtime) = Handle::try_current() else {
        panic!(
            "desist_tokio::clock() is called outside a tokio runtime; \
             call it from a task, or inside Runtime::enter()"
        );
    };
    clock_of(runtime)
}

fn clock_of(runtime: Handle) -> Clock {
    let looker = Arc::new(Looker {
        clock: OnceLock::new(),
        state: Mutex::new(State { next: None, runs: false, gone: false }),
        changed: Notify::new(),
    });
    let clock = Clock::new(TokioTime { runtime, looker: Arc::clone(&looker) });
    looker.clock.get_or_init(|| clock.downgrade());
    clock
}

/// The clock for a new root source here: tokio's where its time is paused, or was,
/// and else the system's, also outside a runtime. Groups and timeouts of this crate
/// take it by themselves.
///
/// See [`clock()`] for what that of tokio does.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::{StopSource, root_clock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let source = StopSource::with_clock(root_clock());
/// source.cancel_after(Duration::from_secs(3600));
/// // In a test the hour is over at once, and in a service after an hour.
/// assert_eq!(source.stop().token().await.reason(), Reason::Deadline);
/// # }
/// ```
#[must_use]
pub fn root_clock() -> Clock {
    match Handle::try_current() {
        Ok(runtime) if is_paused() => clock_of(runtime),
        _ => Clock::system(),
    }
}

/// Whether the time of this runtime is, or ever was, paused. Tokio does not say,
/// but time that was stopped lags behind, or was sent ahead.
pub(crate) fn is_paused() -> bool {
    let before = Instant::now();
    let here = tokio::time::Instant::now().into_std();
    here < before || Instant::now() < here
}

struct TokioTime {
    runtime: Handle,
    looker: Arc<Looker>,
}

/// What the task and the clock share.
struct Looker {
    clock: OnceLock<WeakClock>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    next: Option<Instant>,
    /// The task is there.
    runs: bool,
    /// The clock is not.
    gone: bool,
}

impl TimeSource for TokioTime {
    fn now(&self) -> Instant {
        // Whoever asks may be on another runtime, or on none.
        let _here = self.runtime.enter();
        tokio::time::Instant::now().into_std()
    }

    fn arm(&self, next: Option<Instant>) {
        let mut state = self.looker.state();
        state.next = next;
        let start = next.is_some() && !state.runs;
        state.runs |= start;
        drop(state);
        if start {
            let looking = Looking { looker: Arc::clone(&self.looker), ended: false };
            self.runtime.spawn(looking.until_the_end());
        } else {
            self.looker.changed.notify_one();
        }
    }
}

impl Drop for TokioTime {
    fn drop(&mut self) {
        self.looker.state().gone = true;
        self.looker.changed.notify_one();
    }
}

/// The task's hold: dropped before its end, with the runtime, it does not run.
struct Looking {
    looker: Arc<Looker>,
    ended: bool,
}

impl Looking {
    async fn until_the_end(mut self) {
        self.looker.look().await;
        self.ended = true;
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if !self.ended {
            self.looker.state().runs = false;
        }
    }
}

impl Looker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When to look next; `None`: there is nothing to do for this task.
    fn next(&self) -> Option<Instant> {
        let mut state = self.state();
        let next = state.next.filter(|_| !state.gone);
        // Said under the lock: who arms next starts another.
        state.runs = next.is_some();
        next
    }

    async fn look(&self) {
        while let Some(next) = self.next() {
            if timeout_at(next.into(), self.changed.notified()).await.is_ok() {
                continue;
            }
            let Some(clock) = self.clock.get().and_then(WeakClock::upgrade) else { break };
            // It tells when to look again.
            clock.fire_due();
        }
    }
}
