//! Rows 8: a chain of children of children.

use crate::measure::{Batch, Entries, Row};
use crate::peers::{HasChild, every_parent};
use crate::sample::{Sample, on_a_deep_stack, timed};

const TITLE: &str = "cancel the root of a chain until the leaf sees it, ns per level";

pub(super) const ROWS: &[Row] = &[
    Row::new("8a-10", TITLE, "≤ 15", |entries| chains(entries, 10, 1000)).rounds(21),
    Row::new("8a-1k", TITLE, "≤ 15", |entries| chains(entries, 1000, 10)).rounds(21),
    Row::new("8a-100k", TITLE, "≤ 15", |entries| chains(entries, 100_000, 1)).rounds(9),
];

pub(super) struct Chain<P: HasChild> {
    source: P::Source,
    _root: P::Token,
    descendants: Vec<P::Child>,
}

impl<P: HasChild> Chain<P> {
    pub(super) fn new(depth: usize) -> Self {
        let (source, root) = P::create();
        let mut descendants = Vec::with_capacity(depth);
        descendants.push(P::child(&root));
        for level in 1..depth {
            let parent = P::child_token(&descendants[level - 1]);
            descendants.push(P::child(&parent));
        }
        Self { source, _root: root, descendants }
    }

    pub(super) fn leaf(&self) -> &P::Child {
        self.descendants.last().expect("a chain has a level")
    }
}

fn chains(entries: &mut Entries<'_>, depth: usize, count: usize) {
    every_parent!(entries, to_the_leaf(depth, count));
}

fn to_the_leaf<P: HasChild>(depth: usize, count: usize) -> Batch {
    Batch::exactly(depth * count, move || on_a_deep_stack(|| cancel_roots::<P>(depth, count)))
}

fn cancel_roots<P: HasChild>(depth: usize, count: usize) -> Sample {
    let mut sources = Vec::with_capacity(count);
    let mut kept = Vec::with_capacity(count);
    for _ in 0..count {
        let Chain { source, _root, descendants } = Chain::<P>::new(depth);
        sources.push(source);
        kept.push((_root, descendants));
    }
    timed(|| {
        for (source, (_, descendants)) in sources.into_iter().zip(&kept) {
            P::cancel(source);
            assert!(descendants.last().is_some_and(P::child_is_cancelled));
        }
    })
}
