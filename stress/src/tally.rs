//! How much was done, for the line of each minute.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::arguments::{Arguments, WITH_RETIREMENT};
use crate::heap;
use crate::report::ensure;
use crate::worker::{DONE, FORGET, OPERATIONS};

/// One number. Relaxed, so that counting orders no two threads.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn zero() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn add_many(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    pub(crate) fn raise_to(&self, number: u64) {
        self.0.fetch_max(number, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

pub(crate) static ROUNDS: Counter = Counter::zero();
pub(crate) static SIGNALS: Counter = Counter::zero();
pub(crate) static CANCELS: Counter = Counter::zero();
/// Those that returned true, and false; the others panicked.
pub(crate) static WON: Counter = Counter::zero();
pub(crate) static LOST: Counter = Counter::zero();
pub(crate) static ARMED: Counter = Counter::zero();
pub(crate) static FIRED: Counter = Counter::zero();
pub(crate) static CALLED: Counter = Counter::zero();
pub(crate) static PREVENTED: Counter = Counter::zero();
pub(crate) static WAKES: Counter = Counter::zero();
pub(crate) static PANICS: Counter = Counter::zero();
pub(crate) static FORGOTTEN: Counter = Counter::zero();
pub(crate) static FORGOTTEN_BYTES: Counter = Counter::zero();
pub(crate) static THREADS: Counter = Counter::zero();
pub(crate) static STORMS: Counter = Counter::zero();
pub(crate) static RETIREMENTS: Counter = Counter::zero();
pub(crate) static HEAP_CHECKS: Counter = Counter::zero();
/// The most signals that were held at once.
pub(crate) static PEAK: Counter = Counter::zero();
/// How late the latest deadline was, in microseconds.
pub(crate) static LATEST: Counter = Counter::zero();
/// The same of a plain sleep: what of it is the machine's.
pub(crate) static OVERSLEPT: Counter = Counter::zero();

/// A number that goes up and down.
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    pub(crate) fn up(&self) -> i64 {
        self.0.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Signals that somebody holds.
pub(crate) static HELD: Gauge = Gauge::new();
/// Values that callbacks, details and futures captured, and that still live.
pub(crate) static CAPTURED: Gauge = Gauge::new();

/// What was done so far, in one line.
pub(crate) fn line(minute: u32, seed: u64) -> String {
    format!("stress: minute {minute}: {}; seed {seed}", totals())
}

fn totals() -> String {
    let operations: u64 = DONE.iter().map(Counter::get).sum();
    format!(
        "{} rounds, {operations} operations, {} threads, {} signals (at most {} held), \
         {} cancels ({} won, {} lost), {} deadlines armed, {} fired (the latest after {:.1} ms, \
         a plain sleep at most {:.1} ms), \
         {} callbacks called, {} prevented, {} wakes, {} panics injected, {} futures forgotten, \
         {} storms, {} retirements, heap compared {} times, at most {} KiB",
        ROUNDS.get(),
        THREADS.get(),
        SIGNALS.get(),
        PEAK.get(),
        CANCELS.get(),
        WON.get(),
        LOST.get(),
        ARMED.get(),
        FIRED.get(),
        LATEST.get() as f64 / 1000.0,
        OVERSLEPT.get() as f64 / 1000.0,
        CALLED.get(),
        PREVENTED.get(),
        WAKES.get(),
        PANICS.get(),
        FORGOTTEN.get(),
        STORMS.get(),
        RETIREMENTS.get(),
        HEAP_CHECKS.get(),
        heap::peak_kib(),
    )
}

/// Each operation was done, and each outcome seen: otherwise nothing was shown.
///
/// All of it is sure in a run of any length, as the first round does everything
/// and a run begins with a storm; but for the retirement, for which there are
/// ten seconds to wait, so it is asked for where `main.rs` sees to it.
pub(crate) fn ensure_all_was_done(arguments: &Arguments) {
    let parts = arguments.parts;
    ensure!(!parts.storms || STORMS.get() > 0, "never done: a storm");
    let retires = parts.retirement && arguments.time >= WITH_RETIREMENT;
    ensure!(!retires || RETIREMENTS.get() > 0, "never done: a race with the keeper that retires");
    if !parts.rounds {
        return;
    }
    for (operation, done) in OPERATIONS.iter().zip(&DONE) {
        let left_out = operation.name == FORGET && !arguments.forget;
        ensure!(left_out || done.get() > 0, "never done: {}", operation.name);
    }
    ensure!(!arguments.forget || FORGOTTEN.get() > 0, "never seen: a future that is forgotten");
    let outcomes = [
        ("a cancel that won", WON.get()),
        ("a cancel that lost", LOST.get()),
        ("a deadline that fired", FIRED.get()),
        ("a callback that was called", CALLED.get()),
        ("a callback that was prevented", PREVENTED.get()),
        ("a wake", WAKES.get()),
        ("a panic", PANICS.get()),
    ];
    for (outcome, seen) in outcomes {
        ensure!(seen > 0, "never seen: {outcome}");
    }
}

/// All that was done, each operation by its name.
pub(crate) fn summary(seed: u64) -> String {
    let each = OPERATIONS.iter().zip(&DONE);
    let each: Vec<String> = each.map(|(op, done)| format!("{} {}", done.get(), op.name)).collect();
    format!("stress: operations: {}\nstress: all held: {}; seed {seed}", each.join(", "), totals())
}
