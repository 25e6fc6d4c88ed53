//! What the threads of one round have in common.

use std::sync::{Arc, PoisonError};

use desist::testing::ManualClock;
use desist::{Clock, Source, Token};

use crate::books::{Callback, ClockKind, Signal, Wait};
use crate::forget::Costs;
use crate::own_clock::own_clock;
use crate::random::Random;
use crate::sync::{Barrier, Mutex};
use crate::tally::ROUNDS;
use crate::worker::OPERATIONS;

/// What changes hands between threads.
pub(crate) enum Parcel {
    Signal(Signal),
    Callback(Callback),
    Wait(Wait),
}

/// How many things may be on their way between threads.
const PARCELS: usize = 16;
/// How much all threads do in the first round together: the rarest operation is
/// drawn some hundred and twenty times.
const FIRST: usize = 24_000;

pub(crate) struct World {
    pub(crate) manual: ManualClock,
    pub(crate) own: Clock,
    /// Up to where each operation's share of the draws reaches.
    shares: Vec<usize>,
    pub(crate) steps: usize,
    /// In such a round callbacks are slow now and then.
    pub(crate) slow: bool,
    /// Places where handles change hands. Their locks order the threads, which
    /// could hide a race, so most rounds have none.
    parcels: Vec<Mutex<Option<Parcel>>>,
    pub(crate) all_here: Barrier,
    /// `None`: no future is forgotten.
    pub(crate) costs: Option<Arc<Costs>>,
}

impl World {
    pub(crate) fn new(random: &mut Random, threads: usize, costs: Option<Arc<Costs>>) -> Self {
        // The first round does everything: what `tally.rs` asks for must not
        // hang on how many more there are time for.
        let first = ROUNDS.get() == 1;
        let mut reach = 0;
        let shares = OPERATIONS.iter().map(|operation| {
            let share = *random.pick(&[0, 1, 2, 2, 4, 9]);
            reach += operation.weight * if first { 1 } else { share };
            reach
        });
        let shares: Vec<usize> = shares.collect();
        let parcels = if first || random.one_in(3) { PARCELS } else { 0 };
        let steps = *random.pick(&[30, 200, 1_000, 4_000, 12_000]);
        Self {
            manual: ManualClock::new(),
            own: own_clock(),
            shares,
            steps: if first { FIRST / threads } else { random.between(steps / 2, steps) },
            slow: random.one_in(4),
            parcels: (0..parcels).map(|_| Mutex::new(None)).collect(),
            all_here: Barrier::new(threads),
            costs,
        }
    }

    /// The number of an operation, drawn by this round's shares.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let all = self.shares.last().copied().unwrap_or(0).max(1);
        let at = random.below(all);
        self.shares.iter().position(|&reach| at < reach).unwrap_or(0)
    }

    pub(crate) fn clock(&self, kind: ClockKind) -> Clock {
        match kind {
            ClockKind::System | ClockKind::Mixed => Clock::system(),
            ClockKind::Manual => self.manual.clock(),
            ClockKind::Own => self.own.clone(),
        }
    }

    pub(crate) fn has_parcels(&self) -> bool {
        !self.parcels.is_empty()
    }

    /// Leaves something for others and takes what was there.
    pub(crate) fn swap(&self, random: &mut Random, parcel: Option<Parcel>) -> Option<Parcel> {
        let mut place = random.pick(&self.parcels).lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, parcel)
    }

    /// What is still on its way when the threads have ended.
    pub(crate) fn left_over(&self) -> Vec<Parcel> {
        let taken = |place: &Mutex<Option<Parcel>>| {
            place.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        self.parcels.iter().filter_map(taken).collect()
    }

    /// The signals that all threads know from the start: a few trees, some
    /// linked across, with diamonds.
    pub(crate) fn shared_signals(&self, random: &mut Random) -> Vec<Signal> {
        let mut all = Vec::new();
        for _ in 0..random.between(1, 3) {
            let kind = *random.pick(&[ClockKind::System, ClockKind::Manual, ClockKind::Own]);
            let mut root = Signal::root(Source::with_clock(self.clock(kind)), kind);
            root.certain = true;
            all.push(root);
        }
        for _ in 0..random.below(6) {
            let parents: Vec<&Signal> =
                (0..random.between(1, 3)).map(|_| random.pick(&all)).collect();
            let child = linked(&parents);
            all.push(child);
        }
        all
    }
}

/// A signal linked to these.
pub(crate) fn linked(parents: &[&Signal]) -> Signal {
    let tokens: Vec<&Token> = parents.iter().map(|parent| &parent.token).collect();
    let source = Source::linked(tokens.iter().copied().cloned());
    Signal::root(source, kind_of(parents)).below(parents, true)
}

/// Whose time a signal below these follows. One that is never cancelled has no
/// say.
pub(crate) fn kind_of(parents: &[&Signal]) -> ClockKind {
    let never = Token::never();
    let mut kinds =
        parents.iter().filter(|parent| parent.token != never).map(|parent| parent.clock);
    let Some(first) = kinds.next() else { return ClockKind::System };
    if kinds.all(|kind| kind == first) { first } else { ClockKind::Mixed }
}
