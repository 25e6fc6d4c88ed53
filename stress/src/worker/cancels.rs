//! Asking for the stop, in every way, and what must be true right after.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use desist::{Cause, Reason, Source, Token};

use super::Worker;
use crate::books::{ClockKind, Detail, Signal, SignalBook};
use crate::report::ensure;

/// Not `Deadline`: that one is told by who armed it.
const REASONS: [Reason; 8] = [
    Reason::Requested,
    Reason::Superseded,
    Reason::Disconnected,
    Reason::SiblingFailed,
    Reason::Overload,
    Reason::LeaseLost,
    Reason::Shutdown,
    Reason::Other,
];

impl Worker {
    pub(super) fn cancel(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        // Roots that all share end most of what goes on, so more rarely.
        !(signal.shared && signal.certain) && self.cancel_at(at)
    }

    pub(super) fn cancel_shared(&mut self) -> bool {
        let at = self.certain_signal();
        let shared = self.held.signals[at].shared;
        self.cancel_at(at) && shared
    }

    /// Cancels the signal at this place, if its source is there.
    pub(super) fn cancel_at(&mut self, at: usize) -> bool {
        let signal = &self.held.signals[at];
        let Some(source) = signal.source.clone() else { return false };
        let (book, id) = (Arc::clone(&signal.book), signal.id);
        let won = self.cancel_somehow(&source, &book);
        ensure!(source.is_cancelled(), "live after a cancel");
        self.check_after(id, won);
        true
    }

    fn cancel_somehow(&mut self, source: &Source, book: &SignalBook) -> bool {
        let reason = *self.random.pick(&REASONS);
        match self.random.below(8) {
            0 | 1 => book.attempt(0, || source.cancel()),
            2 => book.attempt(0, || source.cancel_with(reason)),
            3 => book.attempt(0, || source.cancel_with(Cause::new(reason).message("a message"))),
            4 => {
                let other = Token::cancelled_with(reason).cancellation();
                let cause = other.map_or(Cause::new(reason), Cause::from);
                book.attempt(0, || source.cancel_with(cause))
            }
            _ => {
                let then = self.random.one_in(8).then(Source::new);
                let detail = Detail::new(self.random.one_in(40), then);
                book.attempt(detail.number, || source.cancel_with(reason.with(detail)))
            }
        }
    }

    /// A cancel of this signal has returned: nothing below is live; if it won,
    /// those who hang on this very signal were woken and called.
    fn check_after(&self, id: u64, won: bool) {
        for signal in &self.held.signals {
            let below = signal.ancestors.contains(&id);
            ensure!(
                !below || signal.token.is_cancelled(),
                "live although an ancestor is cancelled"
            );
        }
        if !won {
            return;
        }
        for callback in &self.held.callbacks {
            if callback.signal == id && callback.slot.is_none() && callback.book.is_open() {
                ensure!(callback.book.is_over(), "not called when the winner returned");
            }
        }
        for wait in &self.held.waits {
            ensure!(wait.signal != id || wait.settled(), "not woken when the winner returned");
        }
    }

    pub(super) fn guard(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &mut self.held.signals[at];
        let Some(source) = &signal.source else { return false };
        if self.random.one_in(3) {
            let guard = source.clone().into_guard();
            ensure!(guard.token() == signal.token, "a guard's token is another");
            ensure!(guard.disarm() == *source, "a guard gives another source back");
            return true;
        }
        if signal.shared && signal.certain && !self.random.one_in(20) {
            return false;
        }
        let (source, id) = (source.clone(), signal.id);
        signal.book.guarded.store(true, Relaxed);
        let guard =
            if self.random.one_in(2) { source.guard() } else { source.clone().into_guard() };
        drop(guard);
        ensure!(source.is_cancelled(), "live after its guard was dropped");
        self.check_after(id, false);
        true
    }

    pub(super) fn born_cancelled(&mut self) -> bool {
        let token = Token::cancelled_with(*self.random.pick(&REASONS));
        ensure!(token.is_cancelled(), "born cancelled, yet live");
        let mut signal = Signal::new(None, token, ClockKind::System);
        signal.parents = None;
        self.keep(signal);
        true
    }
}
