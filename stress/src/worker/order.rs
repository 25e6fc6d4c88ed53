//! The order of the calls, in a tree that no other thread knows.

use std::sync::{Arc, PoisonError};

use desist::{Registration, Source, Token};

use super::Worker;
use crate::report::ensure;
use crate::sync::Mutex;
use crate::tally::CALLED;

/// Which callbacks ran, in their order: the depth of the signal, and which one
/// on it.
type Log = Arc<Mutex<Vec<(usize, usize)>>>;

impl Worker {
    /// A chain, with callbacks on every link: the last link's come first, and
    /// on each the last registered.
    pub(super) fn order(&mut self) -> bool {
        let (depth, each) = (self.random.between(1, 5), self.random.between(1, 4));
        let mut links = vec![Source::new()];
        for above in 1..depth {
            // By one parent, or by two ways that meet again.
            let parent = links[above - 1].token();
            let link = if self.random.one_in(2) {
                parent.child()
            } else {
                Source::linked([parent.child().token(), parent])
            };
            links.push(link);
        }
        let log = Log::default();
        let registrations: Vec<Registration> = (0..each)
            .flat_map(|number| links.iter().enumerate().map(move |(at, link)| (number, at, link)))
            .map(|(number, at, link)| register(&link.token(), &log, (at, number)))
            .collect();
        links[0].cancel();
        let found = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted: Vec<(usize, usize)> =
            (0..depth).rev().flat_map(|at| (0..each).rev().map(move |n| (at, n))).collect();
        ensure!(found == wanted, "called in the order {found:?}, not {wanted:?}");
        drop(registrations);
        true
    }
}

fn register(token: &Token, log: &Log, what: (usize, usize)) -> Registration {
    let log = Arc::clone(log);
    token.on_cancel(move |_| {
        CALLED.add();
        log.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    })
}
