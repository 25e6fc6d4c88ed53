//! Rows 2 and 3: handles and their signal.

use std::hint::black_box;

use crate::measure::{Batch, Row};
use crate::peers::{Peer, every_peer};
use crate::sample::{on_two_cpus, timed};

pub(super) const ROWS: &[Row] = &[
    Row::new("2a", "clone and drop a token, ns each", "≤ 10", |entries| {
        every_peer!(entries, clone_by_one_thread());
    }),
    Row::new("2b", "clone and drop a token, 2 threads, ns each per thread", "≤ 30", |entries| {
        every_peer!(entries, clone_by_two_threads());
    }),
    Row::new("3", "create a source and its token, drop both, ns each", "≤ 17", |entries| {
        every_peer!(entries, create());
    }),
];

#[inline(never)]
pub(super) fn clone_and_drop<P: Peer>(token: &P::Token, times: u64) {
    for _ in 0..times {
        drop(black_box(token.clone()));
    }
}

fn clone_by_one_thread<P: Peer>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        timed(|| clone_and_drop::<P>(&token, times))
    })
}

fn clone_by_two_threads<P: Peer>() -> Batch {
    let (source, token) = P::create();
    Batch::new(move |times| {
        let _live = &source;
        on_two_cpus(|_| clone_and_drop::<P>(&token, times))
    })
}

#[inline(never)]
fn create_and_drop<P: Peer>(times: u64) {
    for _ in 0..times {
        drop(black_box(P::create()));
    }
}

fn create<P: Peer>() -> Batch {
    Batch::new(|times| timed(|| create_and_drop::<P>(times)))
}
