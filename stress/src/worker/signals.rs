//! Making signals, asking them, giving them away and dropping them.

use std::collections::HashSet;
use std::hint::black_box;
use std::io;

use desist::{Source, Token, find_cancelled};

use super::Worker;
use crate::books::{ClockKind, Identity, Signal};
use crate::panics::guarded;
use crate::report::ensure;
use crate::world::{self, Parcel, kind_of};

/// Which parents were cancelled before a signal was linked to them.
struct Before {
    any: bool,
    first: bool,
}

fn cancelled_before(parents: &[&Signal]) -> Before {
    Before {
        any: parents.iter().any(|parent| parent.token.is_cancelled()),
        first: parents.first().is_some_and(|parent| parent.token.is_cancelled()),
    }
}

impl Before {
    /// It is born cancelled, with the cause of the first in their order.
    fn check(&self, parents: &[&Signal], linked: &Token) {
        ensure!(!self.any || linked.is_cancelled(), "linked to a cancelled one, yet live");
        if let (true, Some(first)) = (self.first, parents.first()) {
            let (wanted, got) = (first.token.cancellation(), linked.cancellation());
            let (wanted, got) = (wanted.as_ref().map(Identity::of), got.as_ref().map(Identity::of));
            ensure!(wanted == got, "the first is cancelled: {wanted:?}; linked to it: {got:?}");
        }
    }
}

impl Worker {
    pub(super) fn new_source(&mut self) -> bool {
        let kind = *self.random.pick(&[ClockKind::System, ClockKind::Manual, ClockKind::Own]);
        let source = match kind {
            ClockKind::System if self.random.one_in(2) => Source::default(),
            _ => Source::with_clock(self.world.clock(kind)),
        };
        self.keep(Signal::root(source, kind));
        true
    }

    pub(super) fn child(&mut self) -> bool {
        let at = self.some_signals(1)[0];
        let known = self.random.one_in(2);
        let parent = &self.held.signals[at];
        let was_cancelled = parent.token.is_cancelled();
        let source = match &parent.source {
            Some(source) if self.random.one_in(2) => source.child(),
            _ => parent.token.child(),
        };
        ensure!(
            !was_cancelled || source.is_cancelled(),
            "a child is born live below a cancelled one"
        );
        let child = Signal::root(source, parent.clock).below(&[parent], known);
        self.keep(child);
        true
    }

    pub(super) fn linked(&mut self) -> bool {
        let parents = self.some_signals(4);
        let parents: Vec<&Signal> = parents.iter().map(|&at| &self.held.signals[at]).collect();
        let was_cancelled = parents.iter().any(|parent| parent.token.is_cancelled());
        let linked = world::linked(&parents);
        ensure!(
            !was_cancelled || linked.token.is_cancelled(),
            "linked to a cancelled one, yet live"
        );
        self.keep(linked);
        true
    }

    pub(super) fn any(&mut self) -> bool {
        let parents = self.some_signals(4);
        let parents: Vec<&Signal> = parents.iter().map(|&at| &self.held.signals[at]).collect();
        let before = cancelled_before(&parents);
        let tokens = parents.iter().map(|parent| &parent.token);
        let token = if self.random.one_in(2) {
            Token::any(tokens.chain([&Token::never()]))
        } else {
            Token::any(tokens)
        };
        before.check(&parents, &token);
        // It may be one of them: nothing may be armed or expected of it alone.
        let never = token == Token::never();
        let kind = if never { ClockKind::System } else { kind_of(&parents) };
        let mut any = Signal::new(None, token, kind).below(&parents, true);
        any.shared = true;
        self.keep(any);
        true
    }

    pub(super) fn clone_handles(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        let tokens = vec![signal.token.clone(); 3];
        let different: HashSet<&Token> = tokens.iter().collect();
        ensure!(different.len() == 1, "clones of a token are not equal");
        if let Some(source) = &signal.source {
            let source = source.clone();
            ensure!(source.token() == signal.token, "a source and its token are not equal");
        }
        true
    }

    pub(super) fn drop_signal(&mut self) -> bool {
        let at = self.any_signal();
        if self.held.signals[at].shared && self.held.signals[at].certain {
            return false;
        }
        let mut signal = self.held.signals.swap_remove(at);
        if self.random.one_in(2) {
            let source = signal.source.take();
            drop(source);
        }
        let _ = guarded(|| drop(signal));
        true
    }

    pub(super) fn drop_source(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &mut self.held.signals[at];
        !signal.shared && signal.source.take().is_some()
    }

    /// True if something came into these hands.
    pub(super) fn change_hands(&mut self) -> bool {
        if !self.world.has_parcels() {
            return false;
        }
        let parcel = match self.random.below(4) {
            0 => {
                let at = self.any_signal();
                let signal = &mut self.held.signals[at];
                Some(Parcel::Signal(signal.share()))
            }
            1 if !self.held.callbacks.is_empty() => {
                let at = self.random.below(self.held.callbacks.len());
                Some(Parcel::Callback(self.held.callbacks.swap_remove(at)))
            }
            2 if !self.held.waits.is_empty() => {
                let at = self.random.below(self.held.waits.len());
                Some(Parcel::Wait(self.held.waits.swap_remove(at)))
            }
            _ => None,
        };
        match self.world.swap(&mut self.random, parcel) {
            Some(Parcel::Signal(signal)) => self.keep(signal),
            Some(Parcel::Callback(callback)) => self.held.callbacks.push(callback),
            Some(Parcel::Wait(wait)) => self.held.waits.push(wait),
            None => return false,
        }
        true
    }

    /// Every question that a handle answers.
    pub(super) fn ask(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        let token = &signal.token;
        let live = !token.is_cancelled();
        if signal.source.is_some() && live {
            // Asked first: it may be cancelled in between, but not be revived.
            let can = token.can_be_cancelled();
            ensure!(can || token.is_cancelled(), "its source is held, yet it cannot be cancelled");
        }
        black_box((token.deadline(), token.remaining()));
        black_box(format!("{token:?} {:?}", signal.source));
        if let Err(cancelled) = token.check() {
            ensure!(token.reason() == Some(cancelled.reason()), "two reasons");
            let error = io::Error::from(cancelled);
            ensure!(find_cancelled(&error).is_some(), "a cancellation is lost in an io::Error");
        } else {
            ensure!(token.shielded() == Token::never(), "shielded is not never");
        }
        true
    }

    /// True if there was a cause to look at.
    pub(super) fn look(&mut self) -> bool {
        let at = self.any_signal();
        self.held.signals[at].look().is_some()
    }
}
