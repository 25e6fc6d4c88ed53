//! One signal, as somebody holds it, and what all who hold it know of it.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use desist::{Cancelled, Reason, Source, Token};

use super::number;
use crate::report::ensure;
use crate::tally::{CANCELS, FIRED, HELD, LATEST, LOST, SIGNALS, WON};

/// What all who hold a signal know of it.
#[derive(Default)]
pub(crate) struct SignalBook {
    won: AtomicU32,
    /// The number of the detail that won; zero if it had none.
    winner: AtomicU64,
    /// A guard of it was dropped.
    pub(crate) guarded: AtomicBool,
    /// A deadline of its own was armed.
    pub(crate) timed: AtomicBool,
    /// A cancel ended in a panic, so nobody knows whether it won.
    unsure: AtomicBool,
}

/// Notes that a cancel did not return.
struct Attempt<'a>(&'a SignalBook);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.unsure.store(true, Relaxed);
    }
}

impl SignalBook {
    /// One call of `cancel_with`, whose detail, if it has one of ours, has the
    /// number `mark`.
    pub(crate) fn attempt(&self, mark: u64, cancel: impl FnOnce() -> bool) -> bool {
        CANCELS.add();
        let attempt = Attempt(self);
        let won = cancel();
        std::mem::forget(attempt);
        if won {
            WON.add();
            self.winner.store(mark, Relaxed);
            let before = self.won.fetch_add(1, Relaxed);
            ensure!(before == 0, "two cancels of one signal returned true");
        } else {
            LOST.add();
        }
        won
    }
}

/// What tells one cancellation from all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) reason: Reason,
    origin: &'static Location<'static>,
    pub(crate) at: Instant,
    detail: Option<usize>,
}

impl Identity {
    pub(crate) fn of(cancelled: &Cancelled) -> Self {
        let detail = cancelled.detail();
        Self {
            reason: cancelled.reason(),
            origin: cancelled.origin(),
            at: cancelled.at(),
            detail: detail.map(|detail| std::ptr::from_ref(detail).cast::<()>() as usize),
        }
    }
}

/// Whose time a signal follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClockKind {
    System,
    /// Moved by the threads.
    Manual,
    /// The system's time, but fired by the threads.
    Own,
    /// Linked to signals of several clocks.
    Mixed,
}

/// The deadline that its one holder armed last: not before this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed {
    pub(crate) not_before: Instant,
}

/// A signal, as one thread holds it.
pub(crate) struct Signal {
    pub(crate) id: u64,
    pub(crate) source: Option<Source>,
    pub(crate) token: Token,
    pub(crate) book: Arc<SignalBook>,
    /// Everything that it hangs below.
    pub(crate) ancestors: Vec<u64>,
    /// Its parents; left out when nothing of them is to be kept.
    pub(crate) parents: Option<Vec<Token>>,
    pub(crate) clock: ClockKind,
    /// Others may arm it too, so nobody knows which deadline holds.
    pub(crate) shared: bool,
    /// Cancelled when the round ends, whatever becomes of its handles.
    pub(crate) certain: bool,
    pub(crate) armed: Option<Armed>,
    seen: Option<Identity>,
}

impl Signal {
    pub(crate) fn new(source: Option<Source>, token: Token, clock: ClockKind) -> Self {
        SIGNALS.add();
        crate::tally::PEAK.raise_to(HELD.up().unsigned_abs());
        Self {
            id: number(),
            source,
            token,
            book: Arc::default(),
            ancestors: Vec::new(),
            parents: Some(Vec::new()),
            clock,
            shared: false,
            certain: false,
            armed: None,
            seen: None,
        }
    }

    pub(crate) fn root(source: Source, clock: ClockKind) -> Self {
        let token = source.token();
        Self::new(Some(source), token, clock)
    }

    /// Below these. Without `known` their tokens are not kept.
    pub(crate) fn below(mut self, parents: &[&Self], known: bool) -> Self {
        for parent in parents {
            self.certain |= parent.certain;
            if parent.token.can_be_cancelled() || parent.token.is_cancelled() {
                self.ancestors.push(parent.id);
            }
            self.ancestors.extend_from_slice(&parent.ancestors);
        }
        self.ancestors.sort_unstable();
        self.ancestors.dedup();
        self.parents = known.then(|| parents.iter().map(|parent| parent.token.clone()).collect());
        self
    }

    /// The same signal, for another thread.
    pub(crate) fn share(&mut self) -> Self {
        self.shared = true;
        self.armed = None;
        crate::tally::PEAK.raise_to(HELD.up().unsigned_abs());
        Self {
            id: self.id,
            source: self.source.clone(),
            token: self.token.clone(),
            book: Arc::clone(&self.book),
            ancestors: self.ancestors.clone(),
            parents: self.parents.clone(),
            clock: self.clock,
            shared: true,
            certain: self.certain,
            armed: None,
            seen: None,
        }
    }

    /// Reads the cause, if there is one, and sees that it is what it was.
    pub(crate) fn look(&mut self) -> Option<&Identity> {
        let Some(cancelled) = self.token.cancellation() else {
            ensure!(self.seen.is_none(), "a cancelled signal is live again");
            ensure!(!self.token.is_cancelled() || self.token.reason().is_some(), "no cause");
            return None;
        };
        let found = Identity::of(&cancelled);
        if let Some(seen) = &self.seen {
            ensure!(*seen == found, "a cause has changed: {seen:?}, then {found:?}");
        } else {
            self.check_time(&found);
            self.seen = Some(found);
        }
        self.seen.as_ref()
    }

    /// No deadline fires early.
    fn check_time(&self, found: &Identity) {
        if found.reason != Reason::Deadline {
            return;
        }
        if let Some(due) = self.token.deadline() {
            let early = due.saturating_duration_since(found.at);
            ensure!(early.is_zero(), "a deadline fired {early:?} early");
            if self.clock == ClockKind::System && self.book.timed.load(Relaxed) {
                FIRED.add();
                let late = found.at.saturating_duration_since(due);
                LATEST.raise_to(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
            }
        }
        if matches!(self.clock, ClockKind::System | ClockKind::Own) {
            // A deadline that fires early is recorded as of its own instant.
            let ahead = found.at.saturating_duration_since(Instant::now());
            ensure!(ahead.is_zero(), "a deadline fired {ahead:?} early");
        }
        let alone = !self.shared && self.ancestors.is_empty();
        if let Some(armed) = self.armed.filter(|_| alone) {
            let early = armed.not_before.saturating_duration_since(found.at);
            ensure!(early.is_zero(), "fired {early:?} before what was armed last: {found:?}");
        }
    }

    /// A deadline that has passed by more than `bound`, and did not fire. Only
    /// for signals of clocks that nobody needs to move.
    pub(crate) fn stalled(&self, bound: Duration) -> Option<Duration> {
        let due = self.token.deadline()?;
        let late = Instant::now().checked_duration_since(due)?;
        let live = !self.token.is_cancelled() && self.token.deadline() == Some(due);
        (live && late > bound).then_some(late)
    }

    /// Everything was cancelled: the cause must be a legal one.
    pub(crate) fn check_cause(&mut self) {
        let book = Arc::clone(&self.book);
        let Some(found) = self.look().cloned() else {
            ensure!(self.source.is_none(), "cancelled at the end, yet live");
            return;
        };
        if book.won.load(Relaxed) == 1 {
            let winner = book.winner.load(Relaxed);
            let text = self.token.cancellation().and_then(|c| Some(c.detail()?.to_string()));
            ensure!(
                winner == 0 || text.as_deref() == Some(&*format!("detail {winner}")),
                "detail {winner} won, but the signal says {text:?}"
            );
            return;
        }
        let by_guard = book.guarded.load(Relaxed) && found.reason == Reason::Dropped;
        let by_time = book.timed.load(Relaxed) && found.reason == Reason::Deadline;
        if by_guard || by_time || book.unsure.load(Relaxed) {
            return;
        }
        let Some(parents) = &self.parents else { return };
        let inherited = parents.iter().filter_map(Token::cancellation);
        ensure!(
            inherited.map(|cancelled| Identity::of(&cancelled)).any(|parent| parent == found),
            "nobody gave this cause: {found:?}"
        );
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        HELD.down();
    }
}
