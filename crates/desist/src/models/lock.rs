//! The node's lock by itself, with its spinning, its announcement and three
//! that want it.

use std::sync::Arc;

use loom::thread;

use super::{Model, WHOLE_LOCK, saw};
use crate::node::plain::Locked;

fn contend(threads: usize, model: Model) {
    WHOLE_LOCK.set(true);
    model.check(move || {
        let shared = Arc::new(Locked::new());
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.add())
            })
            .collect();
        let before = shared.add();
        saw(if before == 0 { "first" } else { "not first" });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.add() as usize, threads);
    });
    WHOLE_LOCK.set(false);
}

#[test]
fn loom_two_want_a_lock() {
    contend(2, Model::exhaustive("two want a lock", &["first", "not first"]));
}

#[test]
fn loom_three_want_a_lock() {
    contend(3, Model::bounded("three want a lock", 1, &["first", "not first"]));
}
