//! A deadline that fires against all that can be done with it meanwhile.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loom::thread;

use super::{Dropped, Model, assert_dropped_once, saw, writing_callback};
use crate::{Clock, Reason, Source, TimeSource};

/// Moved by hand. Its mutex is nothing to the model checker: threads of a model
/// take turns, and nobody waits while holding it.
pub(super) struct Hand {
    now: Mutex<Instant>,
    told: Mutex<Option<Instant>>,
}

impl TimeSource for Hand {
    fn now(&self) -> Instant {
        *self.now.lock().unwrap()
    }

    fn arm(&self, next: Option<Instant>) {
        // A teller may be slow here; the next one must not overtake it.
        thread::yield_now();
        *self.told.lock().unwrap() = next;
    }
}

impl Hand {
    pub(super) fn advance(&self, by: Duration) {
        *self.now.lock().unwrap() += by;
    }

    /// True if it would be looked at the clock in time for `due`, and after now:
    /// an earlier look is allowed, it tells again.
    fn told_by(&self, due: Instant) -> bool {
        let now = *self.now.lock().unwrap();
        self.told.lock().unwrap().is_some_and(|told| now < told && told <= due)
    }
}

thread_local! {
    static BEGIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A clock that is moved by hand.
pub(super) fn clock() -> (Clock, Arc<Hand>) {
    // The same in each execution: nothing may differ between two runs.
    let begin = BEGIN.get().unwrap_or_else(Instant::now);
    BEGIN.set(Some(begin));
    let hand = Arc::new(Hand { now: Mutex::new(begin), told: Mutex::new(None) });
    (Clock::new(Arc::clone(&hand)), hand)
}

pub(super) const SOON: Duration = Duration::from_millis(5);
pub(super) const LATE: Duration = Duration::from_secs(5);

/// A source whose deadline has come and was not looked at.
pub(super) fn overdue() -> (Clock, Arc<Hand>, Source) {
    let (clock, hand) = clock();
    let source = Source::with_clock(clock.clone());
    source.cancel_after(SOON);
    hand.advance(SOON);
    (clock, hand, source)
}

#[test]
fn loom_fire_and_disarm() {
    Model::exhaustive("fire and disarm", &["fired", "taken back"]).check(|| {
        let (clock, _hand, source) = overdue();
        let firer = thread::spawn(move || clock.fire_due());
        source.disarm();
        let after = source.is_cancelled();
        firer.join().unwrap();
        assert_eq!(source.is_cancelled(), after, "what was taken back does not fire");
        saw(if after { "fired" } else { "taken back" });
    });
}

#[test]
fn loom_fire_and_rearm() {
    Model::exhaustive("fire and rearm", &["fired", "put off"]).check(|| {
        let (clock, hand, source) = overdue();
        let firer = thread::spawn({
            let clock = clock.clone();
            move || clock.fire_due()
        });
        source.cancel_after(LATE);
        let after = source.is_cancelled();
        firer.join().unwrap();
        assert_eq!(source.is_cancelled(), after, "what was put off does not fire");
        if !after {
            hand.advance(LATE);
            clock.fire_due();
            assert_eq!(source.token().reason(), Some(Reason::Deadline), "later it does");
        }
        saw(if after { "fired" } else { "put off" });
    });
}

/// What comes again while a thread still fires it is left to that thread, which
/// may be the last that keeps it alive.
#[test]
fn loom_fire_and_rearm_and_fire_again() {
    let outcomes = &["fired once", "put off and fired", "freed before it came"];
    Model::bounded("fire, rearm and fire again", 3, outcomes).check(|| {
        let (clock, hand, source) = overdue();
        let (registration, fired, drops) = writing_callback(&source.token());
        registration.detach();
        let firer = thread::spawn({
            let (clock, source) = (clock.clone(), source.clone());
            move || {
                clock.fire_due();
                drop(source);
            }
        });
        source.cancel_after(SOON);
        let first = source.is_cancelled();
        drop(source);
        hand.advance(SOON);
        clock.fire_due();
        firer.join().unwrap();
        assert_dropped_once(&drops);
        saw(match (first, fired.get()) {
            (true, 1) => "fired once",
            (false, 1) => "put off and fired",
            (false, 0) => "freed before it came",
            other => panic!("{other:?}"),
        });
    });
}

#[test]
fn loom_fire_and_cancel() {
    Model::exhaustive("fire and cancel", &["deadline", "requested"]).check(|| {
        let (clock, _hand, source) = overdue();
        let firer = thread::spawn(move || clock.fire_due());
        let won = source.cancel();
        firer.join().unwrap();
        let reason = source.token().reason().unwrap();
        assert_eq!(won, reason == Reason::Requested);
        saw(if won { "requested" } else { "deadline" });
    });
}

#[test]
fn loom_fire_and_drop_of_the_source() {
    Model::bounded("fire and drop of the source", 2, &["fired", "freed"]).check(|| {
        let (clock, _hand, source) = overdue();
        let (registration, fired, drops) = writing_callback(&source.token());
        registration.detach();
        let firer = thread::spawn(move || clock.fire_due());
        drop(source);
        firer.join().unwrap();
        assert_dropped_once(&drops);
        saw(if fired.get() == 1 { "fired" } else { "freed" });
    });
}

#[test]
fn loom_fire_and_drop_of_the_source_with_a_parent() {
    let outcomes = &["the parent goes with it", "the parent stays"];
    Model::bounded("fire and drop of a child", 3, outcomes).check(|| {
        let (clock, hand) = clock();
        let parent = Source::with_clock(clock.clone());
        let (dropped, drops) = Dropped::new();
        parent.token().on_cancel(move |_| drop(dropped)).detach();
        let child = parent.token().child_with_timeout(SOON);
        hand.advance(SOON);
        let firer = thread::spawn(move || clock.fire_due());
        drop(parent);
        let stays = drops.get() == 0;
        saw(if stays { "the parent stays" } else { "the parent goes with it" });
        drop(child);
        firer.join().unwrap();
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_fire_and_cancel_of_the_parent() {
    let outcomes = &["deadline", "by its parent"];
    Model::bounded("fire and cancel of the parent", 3, outcomes).check(|| {
        let (clock, hand) = clock();
        let parent = Source::with_clock(clock.clone());
        let child = parent.token().child_with_timeout(SOON);
        hand.advance(SOON);
        let firer = thread::spawn(move || clock.fire_due());
        parent.cancel();
        assert!(child.is_cancelled());
        drop(parent);
        firer.join().unwrap();
        saw(match child.token().reason() {
            Some(Reason::Deadline) => "deadline",
            _ => "by its parent",
        });
    });
}

#[test]
fn loom_two_that_fire() {
    Model::bounded("two that fire", 3, &["by the one", "by the other", "by both"]).check(|| {
        let (clock, _hand, source) = overdue();
        let second = Source::with_clock(clock.clone());
        second.cancel_after(Duration::from_nanos(1));
        _hand.advance(SOON);
        let by = Arc::new(Mutex::new(Vec::new()));
        for source in [&source, &second] {
            let by = Arc::clone(&by);
            source
                .token()
                .on_cancel(move |_| by.lock().unwrap().push(thread::current().id()))
                .detach();
        }
        let firer = thread::spawn({
            let clock = clock.clone();
            move || clock.fire_due()
        });
        clock.fire_due();
        firer.join().unwrap();
        assert!(source.is_cancelled() && second.is_cancelled());
        let by = by.lock().unwrap();
        assert_eq!(by.len(), 2);
        let here = by.iter().filter(|id| **id == thread::current().id()).count();
        saw(["by the other", "by both", "by the one"][here]);
    });
}

/// Whoever keeps the time is told of the earliest deadline, however the tellers
/// overtake each other.
#[test]
fn loom_two_that_arm() {
    Model::bounded("two that arm", 4, &["told by itself", "told by the other"]).check(|| {
        let (clock, hand) = clock();
        let late = Source::with_clock(clock.clone());
        let soon = Source::with_clock(clock.clone());
        let due = *hand.now.lock().unwrap() + SOON;
        let other = thread::spawn({
            let late = late.clone();
            move || late.cancel_after(LATE)
        });
        soon.cancel_after(SOON);
        let first = hand.told_by(due);
        other.join().unwrap();
        assert!(hand.told_by(due), "told of the earliest");
        saw(if first { "told by itself" } else { "told by the other" });
        drop((late, soon));
    });
}

#[test]
fn loom_fire_and_arm_another() {
    Model::bounded("fire and arm another", 4, &["told by itself", "told by the other"]).check(
        || {
            let (clock, hand, source) = overdue();
            let second = Source::with_clock(clock.clone());
            let firer = thread::spawn(move || clock.fire_due());
            second.cancel_after(SOON);
            let due = second.token().deadline().unwrap();
            let told = hand.told_by(due);
            firer.join().unwrap();
            assert!(source.is_cancelled());
            assert!(hand.told_by(due), "told of what is left");
            saw(if told { "told by itself" } else { "told by the other" });
        },
    );
}

/// The last handle goes by the short way while the walk lets the only child go.
#[test]
fn loom_fire_of_a_parent_and_the_end_of_all() {
    let outcomes = &["fired", "too late"];
    Model::bounded("a parent's deadline, its last source and its child", 2, outcomes).check(|| {
        let (clock, _hand, source) = overdue();
        let child = source.token().child();
        let firer = thread::spawn(move || clock.fire_due());
        drop(source);
        let fired = child.is_cancelled();
        drop(child);
        firer.join().unwrap();
        saw(if fired { "fired" } else { "too late" });
    });
}

#[test]
fn loom_fire_above_a_callback_and_the_end_of_all() {
    let outcomes = &["called", "too late"];
    Model::bounded("a deadline above a callback, and two that go", 1, outcomes).check(|| {
        let (clock, _hand, source) = overdue();
        let child = source.token().child();
        let (registration, called, drops) = writing_callback(&child.token());
        registration.detach();
        let firer = thread::spawn(move || clock.fire_due());
        let other = thread::spawn(move || drop(source));
        drop(child);
        other.join().unwrap();
        firer.join().unwrap();
        assert_dropped_once(&drops);
        saw(if called.get() == 1 { "called" } else { "too late" });
    });
}

/// A node that only its child keeps is cancelled by its deadline and from above.
#[test]
fn loom_fire_of_an_orphan_and_a_cancel_above() {
    let outcomes = &["deadline", "above"];
    Model::bounded("an orphan's deadline and a cancel above", 2, outcomes).check(|| {
        let (clock, hand) = clock();
        let top = Source::with_clock(clock.clone());
        let middle = top.token().child_with_timeout(SOON);
        let leaf = middle.token().child();
        drop(middle);
        hand.advance(SOON);
        let firer = thread::spawn(move || clock.fire_due());
        let canceller = thread::spawn(move || {
            top.cancel();
        });
        let token = leaf.token();
        drop(leaf);
        firer.join().unwrap();
        canceller.join().unwrap();
        let by_deadline = token.reason() == Some(Reason::Deadline);
        saw(if by_deadline { "deadline" } else { "above" });
    });
}
