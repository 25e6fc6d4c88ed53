//! One timed piece of work, and the ways to run one.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{Disturbance, pin};

/// What a timed piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// In nanoseconds.
    pub ns: f64,
    /// The machine did nothing else on that CPU meanwhile.
    pub undisturbed: bool,
}

impl Sample {
    pub(crate) fn undisturbed(ns: f64) -> Self {
        Self { ns, undisturbed: true }
    }
}

#[inline(never)]
pub(crate) fn timed(work: impl FnOnce()) -> Sample {
    let before = Disturbance::now();
    let start = Instant::now();
    work();
    let ns = start.elapsed().as_nanos() as f64;
    let disturbed = Disturbance::now().since(before);
    Sample {
        ns,
        undisturbed: disturbed.preemptions == 0 && (disturbed.waited_ns as f64) < 0.02 * ns,
    }
}

struct Span {
    start: f64,
    end: f64,
    waited_ns: f64,
}

/// Runs `work(0)` and `work(1)` at the same time on two CPUs: from the first
/// start to the last end.
///
/// Undisturbed if they overlapped almost fully and did not wait for a CPU.
/// Switches are not asked for: a spin lock that yields has many of its own.
pub(crate) fn on_two_cpus(work: impl Fn(usize) + Sync) -> Sample {
    let arrived = AtomicUsize::new(0);
    let epoch = Instant::now();
    let span = |thread: usize| {
        pin(thread);
        let meet = |count: usize| {
            arrived.fetch_add(1, AcqRel);
            while arrived.load(Acquire) < count {
                std::hint::spin_loop();
            }
        };
        meet(2);
        let before = Disturbance::now();
        meet(4);
        let start = epoch.elapsed().as_nanos() as f64;
        work(thread);
        let end = epoch.elapsed().as_nanos() as f64;
        let waited_ns = Disturbance::now().since(before).waited_ns as f64;
        Span { start, end, waited_ns }
    };
    let (a, b) = thread::scope(|scope| {
        let other = scope.spawn(|| span(1));
        (span(0), other.join().expect("the second thread ends well"))
    });
    let ns = a.end.max(b.end) - a.start.min(b.start);
    let started_together = (a.start - b.start).abs() < 0.03 * ns;
    let ended_together = (a.end - b.end).abs() < 0.30 * ns;
    let ran_freely = a.waited_ns + b.waited_ns < 0.05 * ns;
    Sample { ns, undisturbed: started_together && ended_together && ran_freely }
}

/// Runs `work` with room for a peer that recurses once per level.
pub(crate) fn on_a_deep_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    const STACK: usize = 4 << 30;
    let pinned = || {
        pin(0);
        work()
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, pinned)
            .expect("address space for a deep stack")
            .join()
            .expect("the thread with the deep stack ends well")
    })
}

pub(crate) fn spin_for(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}
