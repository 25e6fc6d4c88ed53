//! Rows 1: asking a live token.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::chain::Chain;
use super::children::make_and_drop;
use super::handles::clone_and_drop;
use crate::measure::{Batch, Row};
use crate::peers::{Flag, HasChild, Peer, every_parent, every_peer};
use crate::sample::{on_two_cpus, timed};

pub(super) const ROWS: &[Row] = &[
    Row::new("1a", "is_cancelled of a live root, ns per check", "≤ 0.25", |entries| {
        every_peer!(entries, of_a_root());
    }),
    Row::new("1b", "is_cancelled eight levels down, ns per check", "≤ 0.25", |entries| {
        every_parent!(entries, of_a_descendant(8));
        entries.limit(Flag::NAME, of_a_root::<Flag>());
    }),
    Row::new("1c", "is_cancelled, 2 threads, one token, ns per check", "≤ 0.25", |entries| {
        every_peer!(entries, by_two_threads());
    }),
    Row::new(
        "1d",
        "is_cancelled while another CPU clones and drops the token, ns per check",
        "≤ 0.4",
        |entries| every_peer!(entries, beside_clones()),
    ),
    Row::new(
        "1e",
        "is_cancelled while another CPU makes and drops children, ns per check",
        "≤ 0.4",
        |entries| every_parent!(entries, beside_children()),
    ),
    Row::new(
        "1e-child",
        "is_cancelled of a child while another CPU makes and drops its siblings, ns per check",
        "",
        |entries| every_parent!(entries, beside_siblings()),
    ),
];

#[inline(never)]
fn ask<P: Peer>(token: &P::Token, times: u64) {
    let mut cancelled = 0;
    for _ in 0..times {
        cancelled += u64::from(P::is_cancelled(token));
    }
    assert_eq!(black_box(cancelled), 0);
}

fn of_a_root<P: Peer>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| ask::<P>(&token, times))
    })
}

fn of_a_descendant<P: HasChild>(depth: usize) -> Batch {
    let chain = Chain::<P>::new(depth);
    let token = P::child_token(chain.leaf());
    Batch::new(move |times| {
        let _live = &chain;
        timed(|| ask::<P>(&token, times))
    })
}

fn by_two_threads<P: Peer>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        on_two_cpus(|_| ask::<P>(&token, times))
    })
}

fn beside_clones<P: Peer>() -> Batch {
    let (source, token) = P::create();
    Batch::up_to(200_000, move |times| {
        let _live = &source;
        beside(|| ask::<P>(&token, times), || clone_and_drop::<P>(&token, 8))
    })
}

fn beside_children<P: HasChild>() -> Batch {
    Batch::up_to(100_000, |times| {
        let (_live, token) = P::create();
        beside(|| ask::<P>(&token, times), || make_and_drop::<P>(&token, 8))
    })
}

fn beside_siblings<P: HasChild>() -> Batch {
    Batch::up_to(100_000, |times| {
        let (_live, parent) = P::create();
        let child = P::child(&parent);
        let ask = || (0..times).for_each(|_| _ = black_box(P::child_is_cancelled(&child)));
        beside(ask, || make_and_drop::<P>(&parent, 8))
    })
}

/// `work` on one CPU while the other does `disturb` again and again.
fn beside(work: impl Fn() + Sync, disturb: impl Fn() + Sync) -> crate::sample::Sample {
    let done = AtomicBool::new(false);
    on_two_cpus(|thread| {
        if thread == 0 {
            work();
            done.store(true, Release);
        } else {
            while !done.load(Relaxed) {
                disturb();
            }
        }
    })
}
