//! Rows 6: one cancel reaches many.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Waker};

use super::Shuffle;
use crate::measure::{Batch, Entries, Row};
use crate::peers::{HasChild, HasWait, every_parent, every_waiter};
use crate::sample::{Sample, on_a_deep_stack, timed};
use crate::waker::{counting_waker, woken};

const MILLION: usize = 1_000_000;
const TO_CHILDREN: &str = "cancel a parent until each child sees it, ns per child";
const TO_WAITERS: &str = "cancel until each waiter of the token is woken, ns per waiter";

pub(super) const ROWS: &[Row] = &[
    Row::new("6b-1", TO_CHILDREN, "", |entries| children(entries, 1, 2000)).rounds(21),
    Row::new("6b-1k", TO_CHILDREN, "≤ 10", |entries| children(entries, 1000, 10)).rounds(21),
    Row::new("6b-100k", TO_CHILDREN, "≤ 10", |entries| children(entries, 100_000, 1)).rounds(9),
    Row::new("6b-1M", TO_CHILDREN, "≤ 10", |entries| children(entries, MILLION, 1))
        .rounds(5)
        .large(),
    Row::new(
        "6e",
        "the same, 1M children, each replaced in random order before, ns per child",
        "≤ 20",
        |entries| {
            every_parent!(entries, shuffled_children(MILLION));
            entries.limit("set a shuffled boxed flag", set_shuffled_flags(MILLION));
        },
    )
    .rounds(5)
    .large(),
    Row::new("6c-1", TO_WAITERS, "≤ 50", |entries| waiters(entries, 1, 2000)).rounds(21),
    Row::new("6c-1k", TO_WAITERS, "≤ 2.6", |entries| waiters(entries, 1000, 10)).rounds(21),
    Row::new("6c-1M", TO_WAITERS, "≤ 2.6", |entries| waiters(entries, MILLION, 1))
        .rounds(5)
        .large(),
];

fn children(entries: &mut Entries<'_>, count: usize, families: usize) {
    every_parent!(entries, to_children(count, families));
    entries.limit("set a boxed flag", set_flags(count, families));
}

fn waiters(entries: &mut Entries<'_>, count: usize, tokens: usize) {
    every_waiter!(entries, to_waiters(count, tokens));
    entries.limit("call a waker", call_wakers(count * tokens));
}

pub(super) fn to_children<P: HasChild>(count: usize, families: usize) -> Batch {
    Batch::exactly(count * families, move || {
        on_a_deep_stack(|| cancel_families::<P>(count, families))
    })
}

fn cancel_families<P: HasChild>(count: usize, families: usize) -> Sample {
    let mut roots = Vec::new();
    let mut tokens = Vec::new();
    let mut broods: Vec<Vec<P::Child>> = Vec::new();
    for _ in 0..families {
        let (source, token) = P::create();
        broods.push((0..count).map(|_| P::child(&token)).collect());
        roots.push(source);
        tokens.push(token);
    }
    timed(|| {
        for (source, brood) in roots.into_iter().zip(&broods) {
            P::cancel(source);
            assert!(brood.iter().all(P::child_is_cancelled));
        }
    })
}

fn shuffled_children<P: HasChild>(count: usize) -> Batch {
    Batch::exactly(count, move || on_a_deep_stack(|| cancel_shuffled::<P>(count)))
}

fn cancel_shuffled<P: HasChild>(count: usize) -> Sample {
    let (source, token) = P::create();
    let mut children: Vec<_> = (0..count).map(|_| P::child(&token)).collect();
    let mut shuffle = Shuffle::new();
    for _ in 0..count {
        children[shuffle.below(count)] = P::child(&token);
    }
    timed(|| {
        P::cancel(source);
        assert!(children.iter().all(P::child_is_cancelled));
    })
}

pub(super) fn to_waiters<P: HasWait>(count: usize, tokens: usize) -> Batch {
    Batch::exactly(count * tokens, move || cancel_waiters::<P>(count, tokens))
}

fn cancel_waiters<P: HasWait>(count: usize, tokens: usize) -> Sample {
    let waker = counting_waker();
    let mut context = Context::from_waker(&waker);
    let mut sources = Vec::new();
    let mut waits = Vec::new();
    for _ in 0..tokens {
        let (source, token) = P::create();
        sources.push(source);
        for _ in 0..count {
            let mut wait = Box::pin(P::wait_owned(token.clone()));
            assert!(wait.as_mut().poll(&mut context).is_pending());
            waits.push(wait);
        }
    }
    let woken_before = woken();
    let sample = timed(|| sources.into_iter().for_each(P::cancel));
    assert_eq!(woken() - woken_before, waits.len() as u64, "{} wakes all in cancel", P::NAME);
    for wait in &mut waits {
        assert!(wait.as_mut().poll(&mut context).is_ready());
    }
    sample
}

fn call_wakers(count: usize) -> Batch {
    Batch::exactly(count, move || {
        let wakers: Vec<_> = (0..count).map(|_| counting_waker()).collect();
        timed(|| wakers.iter().for_each(Waker::wake_by_ref))
    })
}

/// A flag on a cache line of its own, as a child's would be.
pub(super) type Padded = Arc<(AtomicBool, [u64; 8])>;

pub(super) fn padded() -> Padded {
    Arc::new((AtomicBool::new(false), [0; 8]))
}

fn set_and_see(flags: &[Padded]) {
    flags.iter().for_each(|flag| flag.0.store(true, Release));
    assert!(flags.iter().all(|flag| flag.0.load(Acquire)));
}

fn set_flags(count: usize, families: usize) -> Batch {
    Batch::exactly(count * families, move || {
        let broods: Vec<Vec<_>> =
            (0..families).map(|_| (0..count).map(|_| padded()).collect()).collect();
        timed(|| broods.iter().for_each(|flags| set_and_see(flags)))
    })
}

fn set_shuffled_flags(count: usize) -> Batch {
    Batch::exactly(count, move || {
        let mut flags: Vec<_> = (0..count).map(|_| padded()).collect();
        let mut shuffle = Shuffle::new();
        for _ in 0..count {
            flags[shuffle.below(count)] = padded();
        }
        timed(|| set_and_see(&flags))
    })
}
