//! What happens when several threads meet, in every order in which they can:
//! models for the checker `loom`, run by `ci/loom`.
//!
//! Each model is a test `loom_*`. It runs its threads in every interleaving
//! that differs, with every value that the memory orderings let a load see,
//! and checks after each execution that all nodes and records were freed, each
//! by somebody who could know that nobody else would come. A model names the
//! outcomes that it must have seen when it is done: so a race that falls on
//! one side only is no model.
//!
//! A small model is explored with every preemption. The others name how many
//! each execution may have; `LOOM_MAX_PREEMPTIONS` asks for more, of all that can.

mod arming;
mod callbacks;
mod deadlines;
mod keeper;
mod lifetimes;
mod lock;
mod queries;
mod striped_waiting;
mod stripes;
mod trees;
mod waiting;
mod wheels;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::node::grave;
use crate::node::plain::Plain;
use crate::park::Parker;
use crate::{Registration, Token};

/// A model of less is trivial: what it tells is told by a test as well.
const FEWEST: usize = 20;

/// A tick of the wheel.
const TICK: Duration = Duration::from_nanos(1 << 20);

thread_local! {
    // All threads of a model run on one thread of the system.
    static SYSTEM_NANOS: Cell<u64> = const { Cell::new(0) };
    static IDLE: Cell<Duration> = const { Cell::new(Duration::MAX) };
    static WHOLE_LOCK: Cell<bool> = const { Cell::new(false) };
    static SPREADS: Cell<bool> = const { Cell::new(false) };
    static WHEELS: Cell<usize> = const { Cell::new(1) };
}

/// The system clock's time: a tick later whenever somebody asks.
pub(crate) fn system_nanos() -> u64 {
    SYSTEM_NANOS.set(SYSTEM_NANOS.get() + (1 << 20));
    SYSTEM_NANOS.get()
}

/// Whoever sleeps for longer than this is never woken by time.
pub(crate) fn idle_time() -> Duration {
    IDLE.get()
}

/// Whether a lock spins and announces itself. The models of anything else take
/// it for what it is to them: a word that is free or not.
pub(crate) fn whole_lock() -> bool {
    WHOLE_LOCK.get()
}

/// Whether a node whose lock is found taken gets stripes.
pub(crate) fn spreads() -> bool {
    SPREADS.get()
}

/// How many wheels the system's clock has.
pub(crate) fn wheels() -> usize {
    WHEELS.get()
}

/// The outcomes of all executions of one model.
#[derive(Clone)]
struct Seen(Rc<RefCell<BTreeMap<&'static str, usize>>>);

// All threads of a model run on one thread of the system.
thread_local! {
    static SEEN: Seen = Seen(Rc::default());
}

/// Notes how one execution ended.
fn saw(outcome: &'static str) {
    SEEN.with(|seen| *seen.0.borrow_mut().entry(outcome).or_default() += 1);
}

/// A model: what is run, what must have been seen, how far it is explored.
struct Model {
    name: &'static str,
    outcomes: &'static [&'static str],
    preemptions: Option<usize>,
    further: bool,
}

impl Model {
    /// With every preemption, however many: for two threads.
    fn exhaustive(name: &'static str, outcomes: &'static [&'static str]) -> Self {
        Self { name, outcomes, preemptions: None, further: true }
    }

    /// With so many preemptions at most: for more.
    fn bounded(name: &'static str, preemptions: usize, outcomes: &'static [&'static str]) -> Self {
        Self { name, outcomes, preemptions: Some(preemptions), further: true }
    }

    /// Not with more preemptions, whoever asks: three threads that yield to each
    /// other then make executions that are longer than the checker follows.
    fn no_further(self) -> Self {
        Self { further: false, ..self }
    }

    #[allow(clippy::print_stdout)]
    fn check(self, body: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = 20_000;
        // A model is explored to its end, whatever else the environment says.
        (builder.max_permutations, builder.max_duration) = (None, None);
        builder.checkpoint_file = None;
        let asked_for = builder.preemption_bound.filter(|_| self.further).unwrap_or(0);
        builder.preemption_bound = self.preemptions.map(|own| own.max(asked_for));
        let executions = Count::new();
        let count = executions.clone();
        builder.check(move || {
            count.add();
            SYSTEM_NANOS.set(0);
            SPREADS.set(false);
            WHEELS.set(1);
            grave::clear();
            body();
            grave::assert_all_freed();
        });
        let seen = SEEN.with(|seen| std::mem::take(&mut *seen.0.borrow_mut()));
        let executions = executions.get();
        let bound = builder.preemption_bound.map_or_else(
            || "every preemption".to_owned(),
            |bound| format!("up to {bound} preemptions"),
        );
        println!("model {}: {executions} executions, {bound}, {seen:?}", self.name);
        // First what is wrong, then what is only less than before: ci/loom tells them apart.
        for outcome in seen.keys() {
            assert!(self.outcomes.contains(outcome), "{}: not expected: {outcome}", self.name);
        }
        for outcome in self.outcomes {
            assert!(seen.contains_key(outcome), "{}: never seen: {outcome}", self.name);
        }
        assert!(executions >= FEWEST, "{}: trivial, {executions} executions", self.name);
        assert!(self.outcomes.len() > 1, "{}: a race has more than one outcome", self.name);
    }
}

/// A number that is no part of the model: the checker does not see it.
#[derive(Clone)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    fn add(&self) {
        // Ordering: Relaxed: all threads of a model run on one thread.
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> usize {
        // Ordering: Relaxed: as above.
        self.0.load(Relaxed)
    }
}

/// Counts how often it was dropped: what a closure captured.
struct Dropped(Count);

impl Dropped {
    fn new() -> (Self, Count) {
        let count = Count::new();
        (Self(count.clone()), count)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// A callback that writes, and who counts its end.
fn writing_callback(token: &Token) -> (Registration, Plain, Count) {
    let written = Plain::new();
    let (dropped, drops) = Dropped::new();
    let registration = token.on_cancel({
        let written = written.clone();
        move |_| {
            let _dropped = dropped;
            written.add();
        }
    });
    (registration, written, drops)
}

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let parker = Arc::new(Parker::new());
    let waker = Waker::from(Arc::clone(&parker));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => parker.park(),
        }
    }
}

/// What was captured is dropped once.
fn assert_dropped_once(drops: &Count) {
    assert_eq!(drops.get(), 1, "what was captured is dropped once");
}
