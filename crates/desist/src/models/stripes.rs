//! A signal at which threads met: children on lists by thread.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::thread;

use super::deadlines::overdue;
use super::{Count, Dropped, Model, SPREADS, assert_dropped_once, block_on, lifetimes, saw, trees};
use crate::node::spread::sit;
use crate::node::stripes;
use crate::node::sync::AtomicBool;
use crate::{Reason, Source, Token};

pub(super) trait Spread {
    fn spread(&self);
    fn is_spread(&self) -> bool;
}

impl Spread for Source {
    fn spread(&self) {
        self.token().spread();
    }

    fn is_spread(&self) -> bool {
        self.token().is_spread()
    }
}

impl Spread for Token {
    fn spread(&self) {
        stripes::spread(self.handle().unwrap());
    }

    fn is_spread(&self) -> bool {
        stripes::is_spread(self.handle().unwrap())
    }
}

/// A source whose signal has stripes.
pub(super) fn striped() -> Source {
    let source = Source::new();
    source.spread();
    assert!(source.is_spread());
    source
}

#[test]
fn loom_stripes_cancel_and_the_making_of_a_child() {
    let outcomes = &["born live", "born cancelled"];
    Model::bounded("stripes: cancel and the making of a child", 3, outcomes)
        .check(|| trees::cancel_and_the_making_of_a_child(striped()));
}

/// Each of two places is closed in its turn.
#[test]
fn loom_stripes_cancel_and_two_children_in_two_places() {
    let outcomes = &["both live", "one live", "none live"];
    Model::bounded("stripes: cancel and children in two places", 2, outcomes).check(|| {
        let parent = striped();
        let token = parent.token();
        let other = thread::spawn({
            let token = token.clone();
            move || {
                sit(1);
                let child = token.child();
                (child.is_cancelled(), child)
            }
        });
        let canceller = thread::spawn(move || parent.cancel());
        let child = token.child();
        let early = child.is_cancelled();
        let (other_early, other) = other.join().unwrap();
        canceller.join().unwrap();
        assert!(child.is_cancelled() && other.is_cancelled(), "no child is missed");
        saw(match (early, other_early) {
            (false, false) => "both live",
            (true, true) => "none live",
            _ => "one live",
        });
    });
}

#[test]
fn loom_stripes_cancel_and_drop_of_a_child() {
    let outcomes = &["the child first", "the cancel first"];
    Model::bounded("stripes: cancel and drop of a child", 3, outcomes)
        .check(|| lifetimes::cancel_and_drop_of_a_child(striped()));
}

#[test]
fn loom_stripes_cancel_and_drop_of_a_child_with_a_callback() {
    let outcomes = &["called", "freed"];
    Model::bounded("stripes: cancel and drop of a child with a callback", 2, outcomes)
        .check(|| lifetimes::cancel_and_drop_of_a_child_with_a_callback(striped()));
}

#[test]
fn loom_stripes_child_and_parent_go() {
    let outcomes = &["the child first", "the parent first"];
    Model::bounded("stripes: child and parent go", 3, outcomes)
        .check(|| lifetimes::child_and_parent_go(striped()));
}

#[test]
fn loom_stripes_children_of_two_places_and_their_parent_go() {
    let outcomes = &["the parent last", "a child last"];
    Model::bounded("stripes: children of two places and their parent go", 2, outcomes).check(
        || {
            let parent = striped();
            let (dropped, drops) = Dropped::new();
            parent.token().on_cancel(move |_| drop(dropped)).detach();
            let first = parent.child();
            sit(1);
            let second = parent.child();
            let other = thread::spawn(move || drop(first));
            let owner = thread::spawn({
                let drops = drops.clone();
                move || {
                    drop(parent);
                    saw(if drops.get() == 1 { "the parent last" } else { "a child last" });
                }
            });
            drop(second);
            other.join().unwrap();
            owner.join().unwrap();
            assert_dropped_once(&drops);
        },
    );
}

/// Another thread's child goes while a sibling comes to the same place, and one
/// in the middle of three leaves it.
#[test]
fn loom_stripes_children_come_and_go_in_one_place() {
    let outcomes = &["the last to leave", "before another"];
    Model::bounded("stripes: children come and go in one place", 2, outcomes).check(|| {
        let parent = striped();
        let token = parent.token();
        let [first, second, third] = [(); 3].map(|()| parent.child());
        let left = Arc::new(AtomicBool::new(false));
        let other = thread::spawn({
            let left = Arc::clone(&left);
            move || {
                drop((second, third));
                // Ordering: Relaxed: tells the executions apart, orders nothing.
                left.store(true, Relaxed);
                token.child()
            }
        });
        // Ordering: Relaxed: as above.
        saw(if left.load(Relaxed) { "the last to leave" } else { "before another" });
        drop(first);
        let last = other.join().unwrap();
        parent.cancel();
        assert!(last.is_cancelled());
    });
}

/// A child that was cancelled by itself needs its parent's memory until it goes.
#[test]
fn loom_stripes_a_cancelled_child_and_its_parent_go() {
    let outcomes = &["the parent first", "the child first"];
    Model::bounded("stripes: a cancelled child and its parent go", 3, outcomes).check(|| {
        let parent = striped();
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let child = parent.child();
        child.cancel();
        let gone = Count::new();
        let other = thread::spawn({
            let gone = gone.clone();
            move || {
                drop(child);
                gone.add();
            }
        });
        drop(parent);
        assert_dropped_once(&drops);
        saw(if gone.get() == 1 { "the child first" } else { "the parent first" });
        other.join().unwrap();
    });
}

#[test]
fn loom_stripes_a_child_is_cancelled_while_its_parent_goes() {
    let outcomes = &["kept by the child", "gone by itself"];
    Model::bounded("stripes: a child is cancelled while its parent goes", 3, outcomes).check(
        || {
            let parent = striped();
            let (dropped, drops) = Dropped::new();
            parent.token().on_cancel(move |_| drop(dropped)).detach();
            let child = parent.child();
            let other = thread::spawn(move || {
                child.cancel();
                child
            });
            drop(parent);
            saw(if drops.get() == 1 { "gone by itself" } else { "kept by the child" });
            let child = other.join().unwrap();
            assert_dropped_once(&drops);
            drop(child);
        },
    );
}

#[test]
fn loom_stripes_a_child_is_cancelled_while_its_parent_is() {
    let outcomes = &["by the parent", "by itself"];
    Model::bounded("stripes: a child is cancelled while its parent is", 2, outcomes).check(|| {
        let parent = striped();
        let child = parent.child();
        let token = child.token();
        let canceller = thread::spawn(move || {
            parent.cancel_with(Reason::Shutdown);
        });
        let own = child.cancel_with(Reason::Superseded);
        assert!(token.is_cancelled());
        drop(child);
        canceller.join().unwrap();
        saw(if own { "by itself" } else { "by the parent" });
        let reason = if own { Reason::Superseded } else { Reason::Shutdown };
        assert_eq!(token.reason(), Some(reason));
    });
}

/// Both find the lock taken, or one, or none; nothing is lost, whoever made the
/// stripes and whichever list a child came to.
#[test]
fn loom_stripes_are_made_where_two_meet() {
    let outcomes = &["made", "not made"];
    Model::bounded("stripes are made where two meet", 3, outcomes).check(|| {
        SPREADS.set(true);
        let parent = Source::new();
        let other = thread::spawn({
            let token = parent.token();
            move || {
                sit(1);
                [(); 2].map(|()| token.child())
            }
        });
        let own = [(); 2].map(|()| parent.child());
        let others = other.join().unwrap();
        saw(if parent.is_spread() { "made" } else { "not made" });
        SPREADS.set(false);
        drop(others[0].clone());
        parent.cancel();
        assert!(own.iter().chain(&others).all(Source::is_cancelled), "no child is missed");
    });
}

#[test]
fn loom_stripes_are_made_while_it_is_cancelled() {
    let outcomes = &["made", "not made"];
    Model::bounded("stripes are made while it is cancelled", 3, outcomes).check(|| {
        let parent = Source::new();
        let token = parent.token();
        let canceller = thread::spawn(move || parent.cancel());
        token.spread();
        let child = token.child();
        saw(if token.is_spread() { "made" } else { "not made" });
        canceller.join().unwrap();
        assert!(child.is_cancelled(), "no child is missed");
    });
}

/// Who found it live a moment ago must not find stripes that nobody will close.
#[test]
fn loom_stripes_are_not_made_after_the_cancel() {
    let outcomes = &["born live", "born cancelled"];
    Model::bounded("stripes are not made after the cancel", 3, outcomes).check(|| {
        let parent = Source::new();
        let token = parent.token();
        let canceller = thread::spawn(move || {
            parent.cancel();
            parent.spread();
        });
        let child = token.child();
        saw(if child.is_cancelled() { "born cancelled" } else { "born live" });
        canceller.join().unwrap();
        assert!(child.is_cancelled(), "no child is missed");
    });
}

/// What stood on the node's own list is behind what comes from the stripes, also
/// when the one that was the last of a stripe has left.
#[test]
fn loom_stripes_are_put_before_what_was_there() {
    let outcomes = &["the last left before", "the last left after"];
    Model::bounded("stripes are put before what was there", 2, outcomes).check(|| {
        let parent = Source::new();
        let own = parent.child();
        parent.spread();
        let last = parent.child();
        let first = parent.child();
        let leaver = thread::spawn(move || {
            let cancelled = last.is_cancelled();
            drop(last);
            cancelled
        });
        parent.cancel();
        assert!(own.is_cancelled() && first.is_cancelled(), "no child is missed");
        let after = leaver.join().unwrap();
        saw(if after { "the last left after" } else { "the last left before" });
    });
}

/// The last handle but one goes while stripes are made through the other.
#[test]
fn loom_stripes_are_made_while_a_handle_goes() {
    let outcomes = &["the source first", "the stripes first"];
    Model::bounded("stripes are made while a handle goes", 3, outcomes).check(|| {
        let parent = Source::new();
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let token = parent.token();
        let other = thread::spawn(move || drop(parent));
        token.spread();
        let child = token.child();
        saw(if token.can_be_cancelled() { "the stripes first" } else { "the source first" });
        drop(token);
        other.join().unwrap();
        assert_eq!(drops.get(), 0, "the child keeps it");
        drop(child);
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_stripes_below_what_is_cancelled() {
    let outcomes = &["born live", "born cancelled"];
    Model::bounded("stripes below what is cancelled", 2, outcomes).check(|| {
        let root = Source::new();
        let between = root.child();
        between.spread();
        let token = between.token();
        let canceller = thread::spawn(move || {
            root.cancel();
        });
        let child = token.child();
        saw(if child.is_cancelled() { "born cancelled" } else { "born live" });
        canceller.join().unwrap();
        assert!(child.is_cancelled() && token.is_cancelled(), "no child is missed");
    });
}

/// What has no handles any more still hands the cancel on.
#[test]
fn loom_stripes_of_an_orphan_hand_the_cancel_on() {
    let outcomes = &["before the cancel", "after the cancel"];
    Model::bounded("stripes of an orphan", 1, outcomes).check(|| {
        let root = Source::new();
        let between = root.child();
        between.spread();
        let child = between.child();
        let token = root.token();
        let other = thread::spawn(move || {
            drop(between);
        });
        let canceller = thread::spawn(move || root.cancel());
        saw(if child.is_cancelled() { "after the cancel" } else { "before the cancel" });
        other.join().unwrap();
        canceller.join().unwrap();
        assert!(token.is_cancelled() && child.is_cancelled());
    });
}

/// Whoever looks upward has a handle of the parent for a moment, when all others
/// may be gone.
#[test]
fn loom_stripes_a_look_upward_while_the_parent_goes() {
    let outcomes = &["can be cancelled", "can not"];
    Model::bounded("stripes: a look upward while the parent goes", 3, outcomes).check(|| {
        let parent = striped();
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let child = parent.child();
        let token = child.token();
        drop(child);
        let other = thread::spawn(move || drop(parent));
        saw(if token.can_be_cancelled() { "can be cancelled" } else { "can not" });
        other.join().unwrap();
        assert_eq!(drops.get(), 0, "the child keeps it");
        assert!(!token.can_be_cancelled());
        drop(token);
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_stripes_a_deadline_fires_while_a_child_is_made() {
    let outcomes = &["born live", "born cancelled"];
    Model::bounded("stripes: a deadline fires while a child is made", 2, outcomes).check(|| {
        let (clock, _hand, source) = overdue();
        source.spread();
        let firer = thread::spawn(move || clock.fire_due());
        let child = source.child();
        saw(if child.is_cancelled() { "born cancelled" } else { "born live" });
        firer.join().unwrap();
        assert_eq!(child.token().reason(), Some(Reason::Deadline), "no child is missed");
    });
}

/// A child of two parents stands on their own lists, beside the stripes.
#[test]
fn loom_stripes_of_one_of_two_parents() {
    let outcomes = &["born live", "born cancelled"];
    Model::bounded("stripes of one of two parents", 2, outcomes).check(|| {
        let (first, second) = (striped(), Source::new());
        let tokens = [first.token(), second.token()];
        let canceller = thread::spawn(move || {
            first.cancel();
        });
        let linked = Source::linked(&tokens.each_ref().map(|token: &Token| token.clone()));
        saw(if linked.is_cancelled() { "born cancelled" } else { "born live" });
        canceller.join().unwrap();
        assert!(linked.is_cancelled(), "it is not missed");
        assert!(!second.is_cancelled());
        assert_eq!(block_on(linked.token().cancelled()).reason(), Reason::Requested);
    });
}
