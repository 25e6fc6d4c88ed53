//! One thread of a round: it does what it draws, and keeps the books.

mod callbacks;
mod cancels;
mod close;
mod deadlines;
mod order;
mod signals;
mod waits;

pub(crate) use self::deadlines::STALLED;

use std::sync::Arc;
use std::thread::JoinHandle;

use desist::Token;

use crate::books::{Callback, Signal, Slot, Wait};
use crate::panics::guarded;
use crate::random::Random;
use crate::tally::Counter;
use crate::watchdog::Seat;
use crate::world::World;

/// How many signals a thread holds at most.
const SIGNALS: usize = 120;

/// One thing that can be done.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How often it is drawn, beside the others.
    pub(crate) weight: usize,
    /// False if there was nothing for it to do.
    run: fn(&mut Worker) -> bool,
}

const fn op(name: &'static str, weight: usize, run: fn(&mut Worker) -> bool) -> Operation {
    Operation { name, weight, run }
}

/// The one that `--no-forget` leaves out.
pub(crate) const FORGET: &str = "forget";

/// All that can be done.
pub(crate) const OPERATIONS: [Operation; 42] = [
    op("new source", 4, Worker::new_source),
    op("child", 12, Worker::child),
    op("linked", 6, Worker::linked),
    op("any", 4, Worker::any),
    op("shielded", 2, Worker::shielded),
    op("clone handles", 4, Worker::clone_handles),
    op("drop a signal", 6, Worker::drop_signal),
    op("drop a source", 1, Worker::drop_source),
    op("change hands", 6, Worker::change_hands),
    op("ask", 8, Worker::ask),
    op("look", 6, Worker::look),
    op("cancel", 6, Worker::cancel),
    op("cancel a shared one", 1, Worker::cancel_shared),
    op("guard", 3, Worker::guard),
    op("born cancelled", 1, Worker::born_cancelled),
    op("source with timeout", 4, Worker::timed_source),
    op("child with timeout", 4, Worker::timed_child),
    op("arm short", 6, Worker::arm_short),
    op("arm long", 4, Worker::arm_long),
    op("arm at", 3, Worker::arm_at),
    op("disarm", 3, Worker::disarm),
    op("advance", 2, Worker::advance),
    op("fire due", 2, Worker::fire_due),
    op("look for stalls", 2, Worker::look_for_stalls),
    op("on_cancel", 14, Worker::register),
    op("unregister", 6, Worker::unregister),
    op("blocking_unregister", 4, Worker::blocking_unregister),
    op("unregistered", 4, Worker::unregistered),
    op("drop a registration", 3, Worker::drop_registration),
    op("detach", 3, Worker::detach),
    op("while_registered", 3, Worker::while_registered),
    op("order", 1, Worker::order),
    op("cancelled", 12, Worker::wait),
    op("run", 6, Worker::run_future),
    op("poll again", 12, Worker::poll_again),
    op("drop a wait", 6, Worker::drop_wait),
    op("borrowed wait", 4, Worker::borrowed_wait),
    op("blocking_wait_timeout", 1, Worker::wait_with_timeout),
    op("blocking_wait", 1, Worker::wait_on_a_thread),
    op("every_checkpoint", 1, Worker::checkpoints),
    op("guard in a panic", 1, Worker::guard_in_a_panic),
    op(FORGET, 1, Worker::forget),
];

/// How often each was done: not how often it was drawn, for many find nothing
/// to do. One that ended in a panic is not counted.
pub(crate) static DONE: [Counter; OPERATIONS.len()] = [const { Counter::zero() }; OPERATIONS.len()];

/// Steps that are no operation, for the watchdog.
const OTHER_STEPS: [&str; 7] = [
    "wait for deadlines",
    "wait for the others",
    "cancel everything",
    "join threads",
    "balance the books",
    "drop everything",
    "check the heap",
];
pub(crate) const WAIT_FOR_DEADLINES: u8 = OPERATIONS.len() as u8;
pub(crate) const WAIT_FOR_OTHERS: u8 = WAIT_FOR_DEADLINES + 1;
pub(crate) const CANCEL_EVERYTHING: u8 = WAIT_FOR_DEADLINES + 2;
pub(crate) const JOIN: u8 = WAIT_FOR_DEADLINES + 3;
pub(crate) const BALANCE: u8 = WAIT_FOR_DEADLINES + 4;
pub(crate) const DROP: u8 = WAIT_FOR_DEADLINES + 5;
pub(crate) const HEAP: u8 = WAIT_FOR_DEADLINES + 6;

/// The name of a step.
pub(crate) fn name_of(step: u8) -> &'static str {
    let step = usize::from(step);
    match OPERATIONS.get(step) {
        Some(operation) => operation.name,
        None => OTHER_STEPS.get(step - OPERATIONS.len()).copied().unwrap_or("?"),
    }
}

/// What a thread holds.
#[derive(Default)]
pub(crate) struct Holdings {
    pub(crate) signals: Vec<Signal>,
    pub(crate) callbacks: Vec<Callback>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

pub(crate) struct Worker {
    world: Arc<World>,
    random: Random,
    seat: Seat,
    held: Holdings,
    /// Slots of callbacks that are leaves.
    leaves: Vec<Arc<Slot>>,
    /// How many more callbacks of this thread may be slow.
    naps: usize,
}

impl Worker {
    pub(crate) fn new(world: Arc<World>, random: Random, signals: Vec<Signal>) -> Self {
        let held = Holdings { signals, ..Holdings::default() };
        Self {
            naps: if world.slow { 20 } else { 0 },
            world,
            random,
            seat: Seat::take(),
            held,
            leaves: Vec::new(),
        }
    }

    /// The whole round, up to the point where everything is cancelled.
    pub(crate) fn work(mut self) -> Holdings {
        for _ in 0..self.world.steps {
            let number = self.world.draw(&mut self.random);
            self.seat.doing(number as u8);
            if guarded(|| (OPERATIONS[number].run)(&mut self)) == Some(true) {
                DONE[number].add();
            }
        }
        self.close();
        self.held
    }

    /// The place of any signal.
    fn any_signal(&mut self) -> usize {
        self.random.below(self.held.signals.len())
    }

    fn certain_signal(&mut self) -> usize {
        let at = self.any_signal();
        let is_certain = |at: &usize| self.held.signals[*at].certain;
        [at].into_iter().chain(0..).find(is_certain).unwrap_or(0)
    }

    /// A few different signals, not too deep.
    fn some_signals(&mut self, most: usize) -> Vec<usize> {
        let wanted = self.random.between(1, most);
        let drawn: Vec<usize> = (0..wanted).map(|_| self.any_signal()).collect();
        drawn
            .into_iter()
            .map(|at| if self.held.signals[at].ancestors.len() > 60 { 0 } else { at })
            .collect()
    }

    /// Some of what hangs below a signal: none of it may be live once anybody
    /// is woken or called for that signal.
    fn below(&self, id: u64) -> Vec<Token> {
        let below = self.held.signals.iter().filter(|signal| signal.ancestors.contains(&id));
        below.take(8).map(|signal| signal.token.clone()).collect()
    }

    fn keep(&mut self, signal: Signal) {
        if self.held.signals.len() >= SIGNALS {
            self.drop_signal();
        }
        self.held.signals.push(signal);
    }
}
