//! How the cost of one grows with how many there are.

use super::children::among_siblings;
use super::fanout::{to_children, to_waiters};
use super::timeouts;
use super::waits::among_live;
use crate::measure::Entries;
use crate::peers::{add_each, every_parent};

/// One kind of work, measured among ever more.
pub(crate) struct Series {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) fill: fn(&mut Entries<'_>, usize),
}

pub(crate) const SERIES: &[Series] = &[
    Series {
        id: "child-beside",
        title: "make a child and drop it beside n live siblings, ns each",
        fill: |entries, n| every_parent!(entries, among_siblings(n)),
    },
    Series {
        id: "child-cancel",
        title: "cancel a parent of n children until each sees it, ns per child",
        fill: |entries, n| every_parent!(entries, to_children(n, sets(n))),
    },
    Series {
        id: "wait-beside",
        title: "wait: register, poll once, drop, beside n live ones, ns each",
        fill: |entries, n| add_each!([Desist TokioUtil Nexus], entries, among_live(n)),
    },
    Series {
        id: "wait-cancel",
        title: "cancel until each of n waiters is woken, ns per waiter",
        fill: |entries, n| add_each!([Desist TokioUtil Nexus], entries, to_waiters(n, sets(n))),
    },
    Series {
        id: "timeout-beside",
        title: "a 30 s timeout, made and dropped beside n live ones, ns each",
        fill: timeouts::among,
    },
];

/// As many sets of `n` as one sample needs to be long enough for the clock.
fn sets(n: usize) -> usize {
    (10_000 / n).clamp(1, 2_000)
}
