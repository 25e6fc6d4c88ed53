//! Looking up to ancestors while they are cancelled or go.

use std::time::Duration;

use loom::thread;

use super::deadlines::clock;
use super::{Model, saw};
use crate::Source;

#[test]
fn loom_asking_upward_while_the_parent_goes() {
    let outcomes = &["can be cancelled", "cannot"];
    Model::bounded("asking upward while the parent goes", 3, outcomes).check(|| {
        let parent = Source::new();
        let child = parent.child();
        let token = child.token();
        drop(child);
        let other = thread::spawn(move || drop(parent));
        saw(if token.can_be_cancelled() { "can be cancelled" } else { "cannot" });
        drop(token);
        other.join().unwrap();
    });
}

#[test]
fn loom_asking_upward_while_a_cancel_comes() {
    let outcomes = &["found cancelled", "asked before"];
    Model::bounded("asking upward while a cancel comes", 3, outcomes).check(|| {
        let parent = Source::new();
        let child = parent.child();
        let token = child.token();
        drop(child);
        let other = thread::spawn(move || parent.cancel());
        assert!(token.can_be_cancelled(), "it is cancelled, or is about to be");
        saw(if token.is_cancelled() { "found cancelled" } else { "asked before" });
        other.join().unwrap();
    });
}

#[test]
fn loom_asking_for_a_deadline_while_the_tree_ends() {
    Model::bounded("asking for a deadline", 3, &["inherited", "none"]).check(|| {
        let (clock, _) = clock();
        let root = Source::with_clock(clock);
        let between = root.child();
        let child = between.child();
        root.cancel_after(Duration::from_secs(1));
        let due = root.token().deadline();
        let other = thread::spawn(move || {
            root.disarm();
            drop(root);
        });
        drop(between);
        let deadline = child.token().deadline();
        assert!(deadline.is_none() || deadline == due);
        saw(if deadline.is_some() { "inherited" } else { "none" });
        drop(child);
        other.join().unwrap();
    });
}
