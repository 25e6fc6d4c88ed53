//! The node's lock by itself, with its spinning, its announcement and three
//! that want it.

use std::sync::Arc;

use loom::thread;

use super::{Model, WHOLE_LOCK, saw};
use crate::node::plain::Locked;

fn contend(threads: usize, times: u32, model: Model) {
    WHOLE_LOCK.set(true);
    model.check(move || {
        let shared = Arc::new(Locked::new());
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..times {
                        shared.add();
                    }
                })
            })
            .collect();
        let before = shared.add();
        saw(if before == 0 { "first" } else { "not first" });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.add(), 1 + times * (threads as u32 - 1));
    });
    WHOLE_LOCK.set(false);
}

#[test]
fn loom_two_want_a_lock_and_one_comes_back() {
    let outcomes = &["first", "not first"];
    contend(2, 2, Model::bounded("two want a lock, one comes back", 5, outcomes));
}

#[test]
fn loom_two_want_a_lock() {
    contend(2, 1, Model::exhaustive("two want a lock", &["first", "not first"]));
}

#[test]
fn loom_three_want_a_lock() {
    contend(3, 1, Model::bounded("three want a lock", 1, &["first", "not first"]).no_further());
}
