//! Looking up to ancestors while they are cancelled or go.

use std::time::Duration;

use loom::thread;

use super::deadlines::clock;
use super::{Model, saw};
use crate::{Source, Token};

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

/// `make` gives a source, which is the last to go, and a token at it or below.
fn asked_during_a_cancel(model: Model, make: impl Fn() -> (Source, Token) + Sync + Send + 'static) {
    model.check(move || {
        let (source, token) = make();
        let other = thread::spawn(move || source.cancel());
        assert!(token.can_be_cancelled(), "it is cancelled, or is about to be");
        saw(if token.is_cancelled() { "found cancelled" } else { "asked before" });
        other.join().unwrap();
    });
}

#[test]
fn loom_asking_upward_while_a_cancel_comes() {
    let outcomes = &["found cancelled", "asked before"];
    let model = Model::bounded("asking upward while a cancel comes", 3, outcomes);
    asked_during_a_cancel(model, || {
        let parent = Source::new();
        let token = parent.child().token();
        (parent, token)
    });
}

/// From above the parent, which has no source itself.
#[test]
fn loom_asking_upward_while_a_cancel_comes_from_further_above() {
    let outcomes = &["found cancelled", "asked before"];
    let model = Model::bounded("asking upward, a cancel from further above", 2, outcomes);
    asked_during_a_cancel(model, || {
        let root = Source::new();
        let token = root.child().child().token();
        (root, token)
    });
}

#[test]
fn loom_asking_while_the_last_source_cancels_and_goes() {
    let outcomes = &["found cancelled", "asked before"];
    let model = Model::bounded("asking while the last source cancels and goes", 3, outcomes);
    asked_during_a_cancel(model, || {
        let source = Source::new();
        let token = source.token();
        (source, token)
    });
}

#[test]
fn loom_asking_while_the_last_source_arms_and_goes() {
    let outcomes = &["armed before", "asked before"];
    Model::bounded("asking while the last source arms and goes", 3, outcomes).check(|| {
        let (clock, _hand) = clock();
        let source = Source::with_clock(clock);
        let token = source.token();
        let other = thread::spawn(move || source.cancel_after(Duration::from_secs(1)));
        let armed = token.deadline().is_some();
        assert!(token.can_be_cancelled(), "a source is left, or its deadline");
        saw(if armed { "armed before" } else { "asked before" });
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
