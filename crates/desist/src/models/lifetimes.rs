//! Handles, children and parents that go, all at once.

use loom::thread;

use super::{Count, Dropped, Model, assert_dropped_once, saw, writing_callback};
use crate::node::grave;
use crate::node::plain::Plain;
use crate::{Reason, Source};

#[test]
fn loom_the_last_two_handles_go() {
    Model::exhaustive("the last two handles go", &["alone", "not alone"]).check(|| {
        let source = Source::new();
        let (dropped, drops) = Dropped::new();
        let used = Plain::new();
        source
            .token()
            .on_cancel({
                let used = used.clone();
                move |_| {
                    let _captured = (&used, dropped);
                }
            })
            .detach();
        let token = source.token();
        let other = thread::spawn(move || {
            let seen = token.is_cancelled();
            drop(token);
            seen
        });
        drop(source);
        saw(if drops.get() == 1 { "alone" } else { "not alone" });
        assert!(!other.join().unwrap());
        assert_dropped_once(&drops);
        // Whoever freed the closure had seen everything before.
        used.add();
    });
}

#[test]
fn loom_a_registration_outlives_the_handles() {
    let outcomes = &["registered before", "registered after"];
    Model::exhaustive("a registration outlives the handles", outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let (dropped, drops) = Dropped::new();
        let registered = Count::new();
        let other = thread::spawn({
            let registered = registered.clone();
            move || {
                let registration = token.on_cancel(move |_| drop(dropped));
                registered.add();
                drop(token);
                registration
            }
        });
        drop(source);
        saw(if registered.get() == 1 { "registered before" } else { "registered after" });
        let registration = other.join().unwrap();
        assert_eq!(drops.get(), 0, "the registration keeps what it needs");
        assert!(registration.unregister());
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_three_handles_go() {
    Model::bounded("three handles go", 3, &["alone", "not alone"]).check(|| {
        let source = Source::new();
        let (dropped, drops) = Dropped::new();
        source.token().on_cancel(move |_| drop(dropped)).detach();
        let others =
            [source.clone(), source.clone()].map(|other| thread::spawn(move || drop(other)));
        drop(source);
        saw(if drops.get() == 1 { "alone" } else { "not alone" });
        for other in others {
            other.join().unwrap();
        }
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_a_clone_is_made_while_another_goes() {
    let outcomes = &["the clone was last", "the source was last"];
    Model::bounded("a clone is made while another goes", 3, outcomes).check(|| {
        let source = Source::new();
        let (dropped, drops) = Dropped::new();
        source.token().on_cancel(move |_| drop(dropped)).detach();
        let token = source.token();
        let other = thread::spawn(move || {
            let clone = token.clone();
            drop(token);
            assert!(!clone.is_cancelled());
        });
        let late = source.token();
        drop(source);
        drop(late);
        let last = drops.get() == 1;
        saw(if last { "the source was last" } else { "the clone was last" });
        other.join().unwrap();
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_child_and_parent_go() {
    Model::exhaustive("child and parent go", &["the child first", "the parent first"])
        .check(|| child_and_parent_go(Source::new()));
}

pub(super) fn child_and_parent_go(parent: Source) {
    let (dropped, drops) = Dropped::new();
    parent.token().on_cancel(move |_| drop(dropped)).detach();
    let child = parent.child();
    let other = thread::spawn(move || drop(child));
    drop(parent);
    saw(if drops.get() == 1 { "the child first" } else { "the parent first" });
    other.join().unwrap();
    assert_dropped_once(&drops);
}

#[test]
fn loom_two_children_and_their_parent_go() {
    let outcomes = &["the parent last", "a child last"];
    Model::bounded("two children and their parent go", 1, outcomes).check(|| {
        let parent = Source::new();
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let (first, second) = (parent.child(), parent.child());
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
    });
}

#[test]
fn loom_cancel_and_drop_of_a_child() {
    let outcomes = &["the child first", "the cancel first"];
    Model::bounded("cancel and drop of a child", 3, outcomes)
        .check(|| cancel_and_drop_of_a_child(Source::new()));
}

pub(super) fn cancel_and_drop_of_a_child(parent: Source) {
    let child = parent.child();
    let canceller = thread::spawn(move || parent.cancel());
    saw(if child.is_cancelled() { "the cancel first" } else { "the child first" });
    drop(child);
    assert!(canceller.join().unwrap());
}

#[test]
fn loom_cancel_and_drop_of_a_child_with_a_callback() {
    Model::bounded("cancel and drop of a child with a callback", 2, &["called", "freed"])
        .check(|| cancel_and_drop_of_a_child_with_a_callback(Source::new()));
}

pub(super) fn cancel_and_drop_of_a_child_with_a_callback(parent: Source) {
    let child = parent.child();
    let (registration, called, drops) = writing_callback(&child.token());
    registration.detach();
    let canceller = thread::spawn(move || parent.cancel());
    drop(child);
    canceller.join().unwrap();
    assert_dropped_once(&drops);
    saw(if called.get() == 1 { "called" } else { "freed" });
}

#[test]
fn loom_cancel_and_the_end_of_an_orphan_in_between() {
    let outcomes = &["reached through the orphan", "gone before"];
    Model::bounded("cancel, and an orphan between", 1, outcomes).check(|| {
        let parent = Source::new();
        let between = parent.child();
        let child = between.child();
        let token = parent.token();
        let canceller = thread::spawn(move || parent.cancel());
        let other = thread::spawn(move || drop(between));
        let seen = child.is_cancelled();
        drop(child);
        saw(if seen { "reached through the orphan" } else { "gone before" });
        other.join().unwrap();
        canceller.join().unwrap();
        assert!(token.is_cancelled());
    });
}

#[test]
fn loom_a_cancelled_child_and_its_parent_go() {
    let outcomes = &["by itself", "by its parent"];
    Model::bounded("a cancelled child and its parent go", 3, outcomes).check(|| {
        let parent = Source::new();
        let child = parent.child();
        let other = thread::spawn(move || child.cancel_with(Reason::Superseded));
        parent.cancel();
        drop(parent);
        saw(if other.join().unwrap() { "by itself" } else { "by its parent" });
    });
}

#[test]
fn loom_a_child_is_cancelled_while_its_live_parent_goes() {
    let outcomes = &["the child was last", "the parent was last"];
    Model::exhaustive("a child is cancelled, its live parent goes", outcomes).check(|| {
        let parent = Source::new();
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let child = parent.child();
        let other = thread::spawn(move || child.cancel());
        drop(parent);
        saw(if drops.get() == 1 { "the parent was last" } else { "the child was last" });
        other.join().unwrap();
        assert_dropped_once(&drops);
    });
}

/// A cause whose detail is another cancellation. Three that hold it: the signal, one that was told the cause, one that was told
/// the cause behind it.
#[test]
fn loom_a_cause_and_the_cause_behind_it_go() {
    let outcomes = &["the signal was last", "another was last"];
    Model::exhaustive("a cause and the cause behind it go", outcomes).check(|| {
        let inner = Source::new();
        inner.cancel();
        let behind = inner.token().cancellation().unwrap();
        drop(inner);
        let outer = Source::new();
        outer.cancel_with(behind.clone());
        let told = outer.token().cancellation().unwrap();
        let others = [(behind, 1), (told, 2)].map(|(cause, causes)| {
            thread::spawn(move || {
                assert_eq!(cause.reason(), Reason::Requested);
                assert!(grave::records() >= causes, "what is behind a cause stays with it");
                drop(cause);
            })
        });
        drop(outer);
        saw(if grave::records() == 0 { "the signal was last" } else { "another was last" });
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(grave::records(), 0);
    });
}
