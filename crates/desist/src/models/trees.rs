//! Cancels in trees and diamonds.

use std::sync::Arc;

use loom::thread;

use super::{Count, Dropped, Model, assert_dropped_once, saw, writing_callback};
use crate::node::plain::{Marking, Plain};
use crate::{Reason, Source, Token};

#[test]
fn loom_cancel_and_the_making_of_a_child() {
    let outcomes = &["born live", "born cancelled"];
    Model::exhaustive("cancel and the making of a child", outcomes)
        .check(|| cancel_and_the_making_of_a_child(Source::new()));
}

pub(super) fn cancel_and_the_making_of_a_child(parent: Source) {
    let token = parent.token();
    let canceller = thread::spawn(move || parent.cancel_with(Reason::Shutdown));
    let child = token.child();
    saw(if child.is_cancelled() { "born cancelled" } else { "born live" });
    canceller.join().unwrap();
    assert_eq!(child.token().reason(), Some(Reason::Shutdown), "no child is missed");
}

#[test]
fn loom_cancel_and_the_making_of_a_grandchild() {
    let outcomes = &["born live", "born cancelled"];
    Model::exhaustive("cancel and the making of a grandchild", outcomes).check(|| {
        let root = Source::new();
        let parent = root.child();
        let token = root.token();
        let canceller = thread::spawn(move || {
            root.cancel();
        });
        let child = parent.child();
        saw(if child.is_cancelled() { "born cancelled" } else { "born live" });
        canceller.join().unwrap();
        assert!(token.is_cancelled() && child.is_cancelled());
    });
}

#[test]
fn loom_a_second_cancel() {
    Model::bounded("a second cancel", 3, &["the first won", "the second won"]).check(|| {
        let source = Source::new();
        let below = source.child().child();
        let other = thread::spawn({
            let (source, below) = (source.clone(), below.token());
            move || {
                let won = source.cancel_with(Reason::Superseded);
                assert!(below.is_cancelled(), "nothing below is live, whoever won");
                won
            }
        });
        let won = source.cancel_with(Reason::Shutdown);
        assert!(below.is_cancelled(), "nothing below is live, whoever won");
        assert_ne!(won, other.join().unwrap(), "exactly one wins");
        let reason = if won { Reason::Shutdown } else { Reason::Superseded };
        assert_eq!(source.token().reason(), Some(reason));
        assert_eq!(below.token().reason(), Some(reason));
        saw(if won { "the first won" } else { "the second won" });
    });
}

/// One wins, one waits for it, and one finds it all done.
#[test]
fn loom_three_cancels() {
    let outcomes = &["the first won", "another won"];
    Model::bounded("three cancels", 1, outcomes).check(|| {
        let source = Source::new();
        let below = source.child();
        let others = [source.clone(), source.clone()].map(|source| {
            let below = below.token();
            thread::spawn(move || {
                let won = source.cancel();
                assert!(below.is_cancelled(), "nothing below is live, whoever won");
                won
            })
        });
        let won = source.cancel();
        assert!(below.is_cancelled(), "nothing below is live, whoever won");
        let wins = others.map(|other| other.join().unwrap()).into_iter().filter(|won| *won);
        assert_eq!(wins.count() + usize::from(won), 1, "exactly one wins");
        saw(if won { "the first won" } else { "another won" });
    });
}

/// The same without the tree: one marks and says so, one waits for it, and one
/// only looks.
#[test]
fn loom_a_marking_one_that_waits_and_one_that_looks() {
    let outcomes = &["settled", "not yet"];
    Model::bounded("a marking, one that waits, one that looks", 3, outcomes).check(|| {
        let marking = Arc::new(Marking::new());
        let marked = Plain::new();
        let walk = thread::spawn({
            let (marking, marked) = (Arc::clone(&marking), marked.clone());
            move || {
                marked.add();
                marking.settle();
            }
        });
        let waits = thread::spawn({
            let (marking, marked) = (Arc::clone(&marking), marked.clone());
            move || {
                marking.wait();
                assert_eq!(marked.get(), 1);
            }
        });
        let settled = marking.is_settled();
        assert!(!settled || marked.get() == 1, "the marks are seen");
        saw(if settled { "settled" } else { "not yet" });
        walk.join().unwrap();
        waits.join().unwrap();
    });
}

#[test]
fn loom_cancels_above_and_below() {
    let outcomes = &["by the parent", "by itself"];
    Model::bounded("cancels above and below", 3, outcomes).check(|| {
        let root = Source::new();
        let middle = root.child();
        let below = middle.child();
        let other = thread::spawn({
            let below = below.token();
            move || {
                middle.cancel_with(Reason::Superseded);
                assert!(below.is_cancelled());
            }
        });
        root.cancel_with(Reason::Shutdown);
        assert!(below.is_cancelled(), "also what another walk marks");
        other.join().unwrap();
        saw(match below.token().reason() {
            Some(Reason::Shutdown) => "by the parent",
            Some(Reason::Superseded) => "by itself",
            other => panic!("{other:?}"),
        });
    });
}

#[test]
fn loom_cancel_and_linking() {
    Model::bounded("cancel and linking", 3, &["by the first", "by the second"]).check(|| {
        let first = Source::new();
        let second = Source::new();
        let tokens = [first.token(), second.token()];
        let canceller = thread::spawn(move || first.cancel_with(Reason::Superseded));
        let linked = Source::linked(&tokens);
        second.cancel_with(Reason::Shutdown);
        assert!(linked.is_cancelled());
        canceller.join().unwrap();
        saw(match linked.token().reason() {
            Some(Reason::Superseded) => "by the first",
            Some(Reason::Shutdown) => "by the second",
            other => panic!("{other:?}"),
        });
    });
}

/// A linked signal that was cancelled while it was linked keeps nothing of the
/// parent that is still live.
#[test]
fn loom_cancel_of_one_parent_and_linking_lets_the_other_go() {
    let outcomes = &["while it was linked", "before or after"];
    Model::bounded("linking under a cancel lets the live parent go", 3, outcomes).check(|| {
        let first = Source::new();
        let second = Source::new();
        let (dropped, drops) = Dropped::new();
        second.token().on_cancel(move |_| drop(dropped)).detach();
        let tokens = [first.token(), second.token()];
        let canceller = thread::spawn(move || first.cancel());
        let born_live = !tokens[0].is_cancelled();
        let linked = Source::linked(&tokens);
        saw(if born_live && linked.is_cancelled() {
            "while it was linked"
        } else {
            "before or after"
        });
        canceller.join().unwrap();
        drop((tokens, second));
        assert_eq!(drops.get(), 1, "the live parent is gone, though the linked one is held");
        assert!(linked.is_cancelled());
    });
}

/// The second parent is cancelled before the first: the walk from the first
/// meets the child while it learns of the second.
#[test]
fn loom_cancels_of_both_parents_and_linking() {
    let outcomes = &["by the first", "by the second"];
    Model::bounded("cancels of both parents and linking", 3, outcomes).check(|| {
        let first = Source::new();
        let second = Source::new();
        let tokens = [first.token(), second.token()];
        let canceller = thread::spawn(move || {
            second.cancel_with(Reason::Shutdown);
            first.cancel_with(Reason::Superseded);
        });
        let linked = Source::linked(&tokens);
        canceller.join().unwrap();
        saw(match linked.token().reason() {
            Some(Reason::Superseded) => "by the first",
            Some(Reason::Shutdown) => "by the second",
            other => panic!("{other:?}"),
        });
    });
}

#[test]
fn loom_two_cancels_and_linking() {
    Model::bounded("two cancels and linking", 1, &["by the first", "by the second"]).check(|| {
        let first = Source::new();
        let second = Source::new();
        let tokens = [first.token(), second.token()];
        let cancellers = [(first, Reason::Superseded), (second, Reason::Shutdown)]
            .map(|(source, reason)| thread::spawn(move || source.cancel_with(reason)));
        let any = Token::any(&tokens);
        for canceller in cancellers {
            assert!(canceller.join().unwrap());
        }
        assert!(any.is_cancelled());
        saw(match any.reason() {
            Some(Reason::Superseded) => "by the first",
            Some(Reason::Shutdown) => "by the second",
            other => panic!("{other:?}"),
        });
    });
}

#[test]
fn loom_linked_goes_while_a_parent_is_cancelled() {
    let outcomes = &["cancelled", "live"];
    Model::bounded("linked goes while a parent is cancelled", 3, outcomes).check(|| {
        let first = Source::new();
        let second = Source::new();
        let linked = Source::linked([&first.token(), &second.token()]);
        let canceller = thread::spawn(move || first.cancel());
        saw(if linked.is_cancelled() { "cancelled" } else { "live" });
        drop(linked);
        drop(second);
        canceller.join().unwrap();
    });
}

/// `x` and `y` are below both roots, on a way of their own from each, and met in
/// the opposite order by the two walks: where it is shared, each waits for the other.
#[test]
fn loom_two_cancels_meet_twice_in_a_diamond() {
    let outcomes = &["all by one", "shared"];
    Model::bounded("two cancels meet twice", 2, outcomes).check(|| {
        let left = Source::new();
        let right = Source::new();
        // The newest child is marked first.
        let lx = left.child();
        let ly = left.child();
        let ry = right.child();
        let rx = right.child();
        let x = Source::linked([&lx.token(), &rx.token()]);
        let y = Source::linked([&ly.token(), &ry.token()]);
        let calls = Count::new();
        for signal in [&x, &y] {
            let calls = calls.clone();
            signal.token().on_cancel(move |_| calls.add()).detach();
        }
        let other = thread::spawn({
            let (x, y) = (x.token(), y.token());
            move || {
                left.cancel_with(Reason::Superseded);
                assert!(x.is_cancelled() && y.is_cancelled(), "nothing below is live");
            }
        });
        right.cancel_with(Reason::Shutdown);
        assert!(x.is_cancelled() && y.is_cancelled(), "nothing below is live");
        other.join().unwrap();
        assert_eq!(calls.get(), 2, "each once");
        let same = x.token().reason() == y.token().reason();
        saw(if same { "all by one" } else { "shared" });
    });
}

/// The same with a wait inside a callback: whoever is called must find nobody
/// live, also in the part that the other walk marks.
#[test]
fn loom_a_callback_finds_nobody_live() {
    let outcomes = &["called by the left", "called by the right"];
    Model::bounded("a callback finds nobody live", 2, outcomes).check(|| {
        let left = Source::new();
        let right = Source::new();
        let joint = Source::linked([&left.token(), &right.token()]);
        let below = joint.child();
        let (token, written) = (below.token(), Plain::new());
        let registration = right.token().on_cancel({
            let written = written.clone();
            move |_| {
                assert!(token.is_cancelled(), "nobody below is live when a callback runs");
                written.add();
            }
        });
        let other = thread::spawn(move || left.cancel_with(Reason::Superseded));
        right.cancel_with(Reason::Shutdown);
        other.join().unwrap();
        assert_eq!(written.get(), 1);
        drop(registration);
        saw(match joint.token().reason() {
            Some(Reason::Superseded) => "called by the left",
            _ => "called by the right",
        });
    });
}

#[test]
fn loom_a_callback_that_comes_too_late_finds_nobody_live() {
    let outcomes = &["registered", "called inline"];
    Model::bounded("an inline callback finds nobody live", 3, outcomes).check(|| {
        let source = Source::new();
        let below = source.child();
        let token = source.token();
        let canceller = thread::spawn(move || source.cancel());
        let canceller_id = canceller.thread().id();
        let registration = token.on_cancel(move |_| {
            assert!(below.is_cancelled(), "nobody below is live when a callback runs");
            let inline = thread::current().id() != canceller_id;
            saw(if inline { "called inline" } else { "registered" });
        });
        canceller.join().unwrap();
        drop(registration);
    });
}

/// The counts of a cause that a walk has handed out are given back before the
/// walk is done, and somebody counts meanwhile.
#[test]
fn loom_children_go_while_their_parent_is_marked() {
    let outcomes = &["marked and gone during the walk", "live"];
    Model::bounded("children go while their parent is marked", 2, outcomes).check(|| {
        let parent = Source::new();
        let mut children: Vec<_> = (0..4).map(|_| parent.child()).collect();
        let canceller = thread::spawn(move || parent.cancel_with(Reason::Shutdown));
        // The newest is marked first; what is dropped gives a count back.
        let asked = children.pop().unwrap().token();
        let mut gone = 0;
        while children.pop_if(|newest| newest.is_cancelled()).is_some() {
            gone += 1;
        }
        if let Some(cancelled) = asked.cancellation() {
            assert_eq!(cancelled.reason(), Reason::Shutdown);
        }
        canceller.join().unwrap();
        saw(if gone == 3 { "marked and gone during the walk" } else { "live" });
    });
}

/// Nobody pins the node that a cancel begins at: a handle is enough.
#[test]
fn loom_cancel_of_a_parent_and_the_end_of_its_token_and_child() {
    let outcomes = &["cancelled", "live"];
    Model::bounded("cancel, the end of a token and of a child", 3, outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let child = token.child();
        let canceller = thread::spawn(move || {
            source.cancel();
        });
        let other = thread::spawn(move || drop(token));
        let cancelled = child.is_cancelled();
        drop(child);
        canceller.join().unwrap();
        other.join().unwrap();
        saw(if cancelled { "cancelled" } else { "live" });
    });
}

#[test]
fn loom_cancel_of_a_linked_source_and_of_one_parent() {
    let outcomes = &["its own", "the parent's"];
    Model::bounded("cancel of a linked source and of a parent", 2, outcomes).check(|| {
        let (one, two) = (Source::new(), Source::new());
        let both = Source::linked([one.token(), two.token()]);
        let child = both.token().child();
        let token = child.token();
        drop(child);
        let by_own = thread::spawn(move || {
            both.cancel();
        });
        let by_parent = thread::spawn(move || {
            one.cancel_with(Reason::Shutdown);
        });
        drop(two);
        by_own.join().unwrap();
        by_parent.join().unwrap();
        let own = token.reason() == Some(Reason::Requested);
        saw(if own { "its own" } else { "the parent's" });
    });
}

/// What is called is chained by its node alone, which the parent's walk meets.
#[test]
fn loom_cancel_of_a_child_with_a_callback_and_of_its_parent() {
    let outcomes = &["its own", "the parent's"];
    Model::bounded("cancel of a child that calls, and of its parent", 3, outcomes).check(|| {
        let parent = Source::new();
        let child = parent.child();
        let token = child.token();
        let (registration, called, drops) = writing_callback(&token);
        registration.detach();
        let by_own = thread::spawn(move || {
            child.cancel();
        });
        parent.cancel_with(Reason::Shutdown);
        by_own.join().unwrap();
        assert_eq!(called.get(), 1, "it runs exactly once");
        assert_dropped_once(&drops);
        let own = token.reason() == Some(Reason::Requested);
        saw(if own { "its own" } else { "the parent's" });
    });
}
