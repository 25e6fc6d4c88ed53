//! Arming and taking back against a cancel, and three threads at one deadline.

use loom::thread;

use super::deadlines::{LATE, SOON, clock, overdue};
use super::{Model, assert_dropped_once, saw, writing_callback};
use crate::{Reason, Source};

#[test]
fn loom_cancel_and_arm() {
    let outcomes = &["armed before", "cancelled before"];
    Model::bounded("cancel and arm", 2, outcomes).check(|| {
        let (clock, hand) = clock();
        let source = Source::with_clock(clock.clone());
        let due = clock.now() + SOON;
        let canceller = thread::spawn({
            let source = source.clone();
            move || source.cancel()
        });
        source.cancel_at(due);
        let deadline = source.token().deadline();
        assert!(canceller.join().unwrap(), "nothing has come yet");
        assert_eq!(source.token().deadline(), deadline, "nothing is armed by a cancel");
        hand.advance(LATE);
        clock.fire_due();
        assert_eq!(source.token().reason(), Some(Reason::Requested));
        assert!(deadline.is_none_or(|armed| armed == due));
        saw(if deadline.is_some() { "armed before" } else { "cancelled before" });
    });
}

#[test]
fn loom_cancel_and_disarm() {
    let outcomes = &["taken back before", "cancelled before"];
    Model::bounded("cancel and disarm", 3, outcomes).check(|| {
        let (clock, hand, source) = overdue();
        let due = source.token().deadline();
        let canceller = thread::spawn({
            let source = source.clone();
            move || source.cancel()
        });
        source.disarm();
        let deadline = source.token().deadline();
        assert!(canceller.join().unwrap(), "nobody looked at the clock");
        assert_eq!(source.token().deadline(), deadline, "as it was when the cancel came");
        hand.advance(LATE);
        clock.fire_due();
        assert_eq!(source.token().reason(), Some(Reason::Requested));
        assert!(deadline.is_none() || deadline == due);
        saw(if deadline.is_some() { "cancelled before" } else { "taken back before" });
    });
}

/// Whoever asks is told one of the two deadlines, of a child too.
#[test]
fn loom_rearm_and_asking_for_the_deadline() {
    Model::bounded("rearm and asking for the deadline", 4, &["the old one", "the new one"]).check(
        || {
            let (clock, _hand) = clock();
            let source = Source::with_clock(clock.clone());
            let (old, new) = (clock.now() + LATE, clock.now() + SOON);
            source.cancel_at(old);
            let child = source.child();
            let other = thread::spawn(move || source.cancel_at(new));
            let deadline = child.token().deadline().unwrap();
            assert!(deadline == old || deadline == new);
            saw(if deadline == old { "the old one" } else { "the new one" });
            drop(child);
            other.join().unwrap();
        },
    );
}

#[test]
fn loom_fire_and_cancel_and_rearm() {
    let outcomes = &["deadline", "requested"];
    Model::bounded("fire, cancel and rearm", 1, outcomes).no_further().check(|| {
        let (clock, hand, source) = overdue();
        let firer = thread::spawn({
            let clock = clock.clone();
            move || clock.fire_due()
        });
        let canceller = thread::spawn({
            let source = source.clone();
            move || source.cancel()
        });
        source.cancel_after(LATE);
        firer.join().unwrap();
        let won = canceller.join().unwrap();
        let reason = source.token().reason();
        assert_eq!(reason, Some(if won { Reason::Requested } else { Reason::Deadline }));
        hand.advance(LATE * 2);
        clock.fire_due();
        assert_eq!(source.token().reason(), reason, "once");
        saw(if won { "requested" } else { "deadline" });
    });
}

/// What is armed anew while a thread fires it stays armed for later.
#[test]
fn loom_two_that_fire_and_one_that_rearms() {
    let outcomes = &["fired", "put off"];
    Model::bounded("two that fire and one that rearms", 1, outcomes).no_further().check(|| {
        let (clock, hand, source) = overdue();
        let firers = [0, 1].map(|_| {
            let clock = clock.clone();
            thread::spawn(move || clock.fire_due())
        });
        source.cancel_after(LATE);
        let after = source.is_cancelled();
        for firer in firers {
            firer.join().unwrap();
        }
        assert_eq!(source.is_cancelled(), after, "what was put off does not fire");
        hand.advance(LATE);
        clock.fire_due();
        assert_eq!(source.token().reason(), Some(Reason::Deadline));
        saw(if after { "fired" } else { "put off" });
    });
}

#[test]
fn loom_fire_and_disarm_and_drop_of_the_source() {
    let outcomes = &["fired", "taken back or freed"];
    Model::bounded("fire, disarm and drop of the source", 2, outcomes).check(|| {
        let (clock, _hand, source) = overdue();
        let (registration, fired, drops) = writing_callback(&source.token());
        registration.detach();
        let firer = thread::spawn(move || clock.fire_due());
        let other = thread::spawn({
            let source = source.clone();
            move || {
                source.disarm();
                drop(source);
            }
        });
        drop(source);
        other.join().unwrap();
        firer.join().unwrap();
        assert_dropped_once(&drops);
        saw(if fired.get() == 1 { "fired" } else { "taken back or freed" });
    });
}

/// The tree's end, a deadline below, and a cancel from above, all at once.
#[test]
fn loom_fire_and_cancel_of_the_parent_and_drop_of_the_child() {
    let outcomes = &["called", "freed"];
    Model::bounded("fire, cancel of the parent, drop of the child", 1, outcomes).check(|| {
        let (clock, hand) = clock();
        let parent = Source::with_clock(clock.clone());
        let child = parent.token().child_with_timeout(SOON);
        let (registration, called, drops) = writing_callback(&child.token());
        registration.detach();
        hand.advance(SOON);
        let firer = thread::spawn(move || clock.fire_due());
        let canceller = thread::spawn(move || parent.cancel());
        drop(child);
        firer.join().unwrap();
        assert!(canceller.join().unwrap(), "a deadline below is none above");
        assert_dropped_once(&drops);
        saw(if called.get() == 1 { "called" } else { "freed" });
    });
}
