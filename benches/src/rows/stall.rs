//! Rows E: who is held up. E1: anybody else while a million children are
//! cancelled, as the longest gap between two steps on the other CPU. E2: who
//! drops a token above many.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{Disturbance, pin};
use crate::measure::{Batch, Entries, Row};
use crate::peers::{Desist, HasChild, Peer, every_parent};
use crate::sample::{Sample, on_a_deep_stack, spin_for, timed};

const CHILDREN: usize = 1_000_000;
/// Enough that the other CPU has one left to drop all the while.
const SPARE: usize = 500_000;
const BELOW_THE_MIDDLE: usize = 100_000;

pub(super) const ROWS: &[Row] = &[
    Row::new(
        "E1-check",
        "longest gap between two checks of a parent while its 1M children are cancelled, ns",
        "noise",
        |entries| every_parent!(entries, of_a_check()),
    )
    .rounds(5)
    .large(),
    Row::new(
        "E1-child",
        "longest child(), made and dropped, of a parent whose 1M children are cancelled, ns",
        "≤ 100000",
        |entries| every_parent!(entries, of_a_new_child()),
    )
    .rounds(5)
    .large(),
    Row::new(
        "E1-drop",
        "longest drop of a child of a parent whose 1M children are cancelled, ns",
        "≤ 100000",
        |entries| every_parent!(entries, of_a_drop()),
    )
    .rounds(5)
    .large(),
    Row::new(
        "E1-callback",
        "longest on_cancel, made and dropped, on a parent whose 1M children are cancelled, ns",
        "≤ 100000",
        |entries: &mut Entries<'_>| entries.add("desist", of_a_callback),
    )
    .rounds(5)
    .large(),
    Row::new("E2", "drop a middle token above 100k children, ns per child", "0", |entries| {
        every_parent!(entries, drop_the_middle())
    })
    .rounds(9),
];

fn of_a_check<P: HasChild>() -> Batch {
    while_cancelling::<P>(0, |parent, _| {
        P::is_cancelled(parent);
    })
}

fn of_a_new_child<P: HasChild>() -> Batch {
    while_cancelling::<P>(0, |parent, _| drop(P::child(parent)))
}

fn of_a_drop<P: HasChild>() -> Batch {
    while_cancelling::<P>(SPARE, |_, spare| drop(spare.pop()))
}

fn of_a_callback() -> Batch {
    while_cancelling::<Desist>(0, |parent, _| drop(parent.on_cancel(|_| {})))
}

type Step<P> = fn(&<P as Peer>::Token, &mut Vec<<P as HasChild>::Child>);

fn while_cancelling<P: HasChild>(spare: usize, step: Step<P>) -> Batch {
    Batch::latency(move || on_a_deep_stack(|| longest_gap::<P>(spare, step)))
}

/// The spare children are for the other CPU to drop. They stand among the
/// others, so that the cancel meets them on its way.
fn longest_gap<P: HasChild>(spare_children: usize, step: Step<P>) -> Sample {
    let (source, parent) = P::create();
    let mut kept = Vec::with_capacity(CHILDREN);
    let mut spare = Vec::with_capacity(spare_children);
    for number in 0..CHILDREN {
        kept.push(P::child(&parent));
        if number % (CHILDREN / SPARE) == 0 && spare.len() < spare_children {
            spare.push(P::child(&parent));
        }
    }
    let stepping = AtomicBool::new(false);
    let cancelled = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            pin(1);
            step_until(&cancelled, &stepping, || step(&parent, &mut spare))
        });
        while !stepping.load(Acquire) {
            std::hint::spin_loop();
        }
        spin_for(Duration::from_micros(20));
        let cancel = timed(|| P::cancel(source));
        cancelled.store(true, Release);
        let gap = other.join().expect("the other thread ends well");
        Sample { ns: gap.ns, undisturbed: gap.undisturbed && cancel.undisturbed }
    })
}

fn step_until(over: &AtomicBool, begun: &AtomicBool, mut step: impl FnMut()) -> Sample {
    let before = Disturbance::now();
    let epoch = Instant::now();
    let mut longest = Duration::ZERO;
    let mut last = epoch.elapsed();
    begun.store(true, Release);
    while !over.load(Relaxed) {
        step();
        let now = epoch.elapsed();
        longest = longest.max(now - last);
        last = now;
    }
    let waited_ns = Disturbance::now().since(before).waited_ns as f64;
    let ns = longest.as_nanos() as f64;
    Sample { ns, undisturbed: waited_ns < f64::max(1000.0, 0.05 * ns) }
}

fn drop_the_middle<P: HasChild>() -> Batch {
    Batch::exactly(BELOW_THE_MIDDLE, || {
        let (source, root) = P::create();
        let middle = P::child(&root);
        let leaves: Vec<_> = {
            let parent = P::child_token(&middle);
            (0..BELOW_THE_MIDDLE).map(|_| P::child(&parent)).collect()
        };
        let sample = timed(|| drop(middle));
        P::cancel(source);
        assert!(leaves.iter().all(P::child_is_cancelled), "{} lost its grandchildren", P::NAME);
        sample
    })
}
