//! Rows 4: children come and go.

use std::hint::black_box;

use super::{Shuffle, allocate_and_free};
use crate::measure::{Batch, Row};
use crate::peers::{HasChild, every_parent};
use crate::sample::{on_two_cpus, timed};

const SIBLINGS: usize = 100_000;
/// Not more at a time, because some peers keep something of every child.
const AT_A_TIME: u64 = 20_000;

pub(super) const ROWS: &[Row] = &[
    Row::new("4a", "make a child and drop it, ns each", "≤ 18", |entries| {
        every_parent!(entries, alone());
        entries.limit("malloc and free 128 B", allocate());
    }),
    Row::new("4b", "the same, 2 threads, one parent, ns each per thread", "≤ 30", |entries| {
        every_parent!(entries, by_two_threads());
        entries.limit("malloc and free 128 B", allocate_by_two_threads());
    }),
    Row::new("4c", "the same among 100k live siblings, ns each", "≤ 18", |entries| {
        every_parent!(entries, among_siblings(SIBLINGS));
        entries.limit("malloc and free 128 B", allocate());
    }),
    Row::new("4d", "replace a random one of 100k live children, ns each", "≤ 140", |entries| {
        every_parent!(entries, replace_a_sibling());
        entries.limit("replace a box of 128 B", replace_a_box());
    }),
];

#[inline(never)]
pub(super) fn make_and_drop<P: HasChild>(parent: &P::Token, times: u64) {
    for _ in 0..times {
        drop(black_box(P::child(parent)));
    }
}

fn alone<P: HasChild>() -> Batch {
    Batch::up_to(AT_A_TIME, |times| {
        let (_live, parent) = P::create();
        timed(|| make_and_drop::<P>(&parent, times))
    })
}

fn by_two_threads<P: HasChild>() -> Batch {
    Batch::up_to(AT_A_TIME, |times| {
        let (_live, parent) = P::create();
        on_two_cpus(|_| make_and_drop::<P>(&parent, times))
    })
}

fn family<P: HasChild>(siblings: usize) -> (P::Source, P::Token, Vec<P::Child>) {
    let (source, parent) = P::create();
    let children = (0..siblings).map(|_| P::child(&parent)).collect();
    (source, parent, children)
}

pub(super) fn among_siblings<P: HasChild>(siblings: usize) -> Batch {
    let family = family::<P>(siblings);
    Batch::up_to(AT_A_TIME, move |times| {
        let (_, parent, _) = &family;
        timed(|| make_and_drop::<P>(parent, times))
    })
}

fn replace_a_sibling<P: HasChild>() -> Batch {
    let (source, parent, mut children) = family::<P>(SIBLINGS);
    let mut shuffle = Shuffle::new();
    Batch::up_to(AT_A_TIME, move |times| {
        let _live = &source;
        timed(|| {
            for _ in 0..times {
                let child = P::child(&parent);
                children[shuffle.below(SIBLINGS)] = child;
            }
        })
    })
}

fn allocate() -> Batch {
    Batch::new(|times| timed(|| allocate_and_free(128, times)))
}

fn allocate_by_two_threads() -> Batch {
    Batch::new(|times| on_two_cpus(|_| allocate_and_free(128, times)))
}

fn replace_a_box() -> Batch {
    let mut boxes: Vec<_> = (0..SIBLINGS).map(boxed).collect();
    let mut shuffle = Shuffle::new();
    Batch::new(move |times| {
        timed(|| {
            for _ in 0..times {
                let place = shuffle.below(SIBLINGS);
                boxes[place] = boxed(place);
            }
        })
    })
}

fn boxed(content: usize) -> Box<[u8; 128]> {
    Box::new([content as u8; 128])
}
