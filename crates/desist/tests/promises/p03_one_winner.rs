//! Promise 3: exactly one caller wins, the others do not wait, and the winner has done its part.

use std::sync::Arc;
use std::thread;

use desist::{Cancelled, Reason, Source};

use crate::common::race::{Side, all_at_once, race};
use crate::common::wakers::{counting, on_wake};
use crate::common::{Count, Gate, cause_of, detail_text, no_deadlock, poll_with};

#[test]
fn the_first_call_returns_true_and_every_later_one_false() {
    let source = Source::new();
    let same = source.clone();
    assert!(source.cancel());
    assert!(!source.cancel());
    assert!(!same.cancel_with(Reason::Shutdown));
    assert!(!same.cancel());
}

#[test]
fn exactly_one_of_many_concurrent_callers_wins() {
    for round in 0..400 {
        let source = Source::new();
        let won =
            all_at_once(4, |index| source.cancel_with(format!("caller {index} of round {round}")));
        let winners: Vec<usize> = (0..won.len()).filter(|index| won[*index]).collect();
        assert_eq!(winners.len(), 1, "{won:?}");
        let expected = format!("caller {} of round {round}", winners[0]);
        let seen = detail_text(&cause_of(&source.token()));
        assert_eq!(seen.as_deref(), Some(expected.as_str()));
    }
}

#[test]
fn of_two_callers_each_wins_sometimes_and_the_cause_is_the_winners() {
    race(
        Source::new,
        |source| source.cancel_with("left"),
        |source| source.cancel_with("right"),
        |source, left, right| {
            assert!(left ^ right, "left {left}, right {right}");
            let text = detail_text(&cause_of(&source.token()));
            assert_eq!(text.as_deref(), Some(if left { "left" } else { "right" }));
            Side::left_if(left)
        },
    );
}

#[test]
fn a_guard_and_a_caller_have_one_winner() {
    race(
        || {
            let source = Source::new();
            let guard = std::sync::Mutex::new(Some(source.guard()));
            (source, guard)
        },
        |(source, _)| source.cancel(),
        |(_, guard)| drop(guard.lock().expect("not poisoned").take()),
        |(source, _), won, ()| {
            let expected = if won { Reason::Requested } else { Reason::Dropped };
            assert_eq!(source.token().reason(), Some(expected));
            Side::left_if(won)
        },
    );
}

#[cfg(feature = "testing")]
#[test]
fn a_deadline_and_a_caller_have_one_winner() {
    use std::time::Duration;

    let second = Duration::from_secs(1);
    race(
        || {
            let clock = desist::testing::ManualClock::new();
            let source = Source::with_clock(clock.clock());
            source.cancel_after(second);
            let called = Count::new();
            let count = called.clone();
            source.token().on_cancel(move |_| count.add()).detach();
            (clock, source, called)
        },
        |(_, source, _)| source.cancel(),
        |(clock, ..)| clock.advance(second),
        |(_, source, called), won, ()| {
            let expected = if won { Reason::Requested } else { Reason::Deadline };
            assert_eq!(source.token().reason(), Some(expected));
            assert_eq!(called.get(), 1);
            Side::left_if(won)
        },
    );
}

#[test]
fn a_child_has_one_winner_between_its_own_cancel_and_its_parents() {
    race(
        || {
            let parent = Source::new();
            let child = parent.child();
            (parent, child)
        },
        |(parent, _)| parent.cancel_with(Reason::Shutdown),
        |(_, child)| child.cancel(),
        |(_, child), parent_won, child_won| {
            assert!(parent_won);
            let expected = if child_won { Reason::Requested } else { Reason::Shutdown };
            assert_eq!(child.token().reason(), Some(expected));
            Side::left_if(!child_won)
        },
    );
}

/// Cancels on another thread with a callback or waker that stays inside until the gate opens.
fn while_the_winner_is_inside(
    source: &Source,
    entered: &Gate,
    leave: &Gate,
    during: impl FnOnce(),
) -> bool {
    thread::scope(|scope| {
        let winner = scope.spawn(|| source.cancel_with("the winner"));
        entered.wait();
        during();
        leave.open();
        winner.join().expect("the winner does not panic")
    })
}

#[test]
fn a_loser_does_not_wait_for_a_callback() {
    no_deadlock(|| {
        let (entered, leave) = (Gate::new(), Gate::new());
        let source = Source::new();
        let child = source.child();
        let (inside, wait) = (entered.clone(), leave.clone());
        let _held = source.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
        });
        let won = while_the_winner_is_inside(&source, &entered, &leave, || {
            assert!(!source.cancel());
            assert!(!source.cancel_with(Reason::Shutdown));
            assert!(!child.cancel());
            assert!(source.is_cancelled() && child.is_cancelled());
        });
        assert!(won);
    });
}

#[test]
fn a_loser_does_not_wait_for_a_waker() {
    no_deadlock(|| {
        let (entered, leave) = (Gate::new(), Gate::new());
        let source = Source::new();
        let child = source.child();
        let (inside, wait) = (entered.clone(), leave.clone());
        let waker = on_wake(move || {
            inside.open();
            wait.wait();
        });
        let mut waiting = Box::pin(child.token().cancelled_owned());
        assert!(poll_with(waiting.as_mut(), &waker).is_pending());
        let won = while_the_winner_is_inside(&source, &entered, &leave, || {
            assert!(!source.cancel());
            assert!(!child.cancel());
        });
        assert!(won);
    });
}

#[test]
fn when_the_winner_returns_its_waiters_were_woken_and_its_callbacks_have_run() {
    for _ in 0..200 {
        let root = Source::new();
        let sources: Vec<Source> = (0..8).map(|_| root.child().child()).collect();
        let called = Count::new();
        let mut woken = Vec::new();
        let mut waits = Vec::new();
        for source in &sources {
            let count = called.clone();
            source.token().on_cancel(move |_| count.add()).detach();
            let (wakes, waker) = counting();
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            woken.push(wakes);
            waits.push(wait);
        }
        let seen = all_at_once(3, |_| {
            root.cancel().then(|| {
                let woken: Vec<usize> = woken.iter().map(|wakes| wakes.get()).collect();
                (called.get(), woken)
            })
        });
        let of_winner: Vec<_> = seen.into_iter().flatten().collect();
        assert_eq!(of_winner, [(8, vec![1; 8])]);
    }
}

#[test]
fn below_a_node_that_another_cancel_took_first_they_are_the_others() {
    no_deadlock(|| {
        let (entered, leave) = (Gate::new(), Gate::new());
        let root = Source::new();
        let middle = root.child();
        let below = middle.child();
        let callers = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |who: &'static str| {
            let callers = Arc::clone(&callers);
            move || {
                let mut callers = callers.lock().expect("not poisoned");
                callers.push((who, thread::current().id()));
            }
        };
        // Runs first: a descendant's callback before its ancestor's.
        let (inside, wait, noted) = (entered.clone(), leave.clone(), note("below"));
        let _first = below.token().on_cancel(move |_| {
            noted();
            inside.open();
            wait.wait();
        });
        let noted = note("middle");
        let _second = middle.token().on_cancel(move |_| noted());
        let noted = note("root");
        let _third = root.token().on_cancel(move |_| noted());

        let here = thread::current().id();
        let (won, other) = thread::scope(|scope| {
            let other = scope.spawn(|| (middle.cancel(), thread::current().id()));
            entered.wait();
            // The callbacks of `middle` are the other's: this returns while they still run.
            assert!(root.cancel_with(Reason::Shutdown));
            leave.open();
            other.join().expect("no panic")
        });
        assert!(won);
        let mut callers = std::mem::take(&mut *callers.lock().expect("not poisoned"));
        callers.sort_by_key(|(who, _)| *who);
        assert_eq!(callers, [("below", other), ("middle", other), ("root", here)]);
        assert_eq!(below.token().reason(), Some(Reason::Requested));
        assert_eq!(root.token().reason(), Some(Reason::Shutdown));
    });
}

#[test]
fn two_cancels_whose_callbacks_cancel_each_others_tree_both_return() {
    no_deadlock(|| {
        race(
            || {
                let (left, right) = (Source::new(), Source::new());
                let shared = Source::linked([left.token(), right.token()]);
                let (l, r) = (left.clone(), right.clone());
                let cross = |other: Source| {
                    move |_: &Cancelled| {
                        other.cancel_with("crossed");
                    }
                };
                left.token().on_cancel(cross(r)).detach();
                right.token().on_cancel(cross(l)).detach();
                (left, right, shared)
            },
            |(left, ..)| left.cancel_with("left"),
            |(_, right, _)| right.cancel_with("right"),
            |(left, right, shared), won_left, won_right| {
                assert!(won_left || won_right);
                assert!(left.is_cancelled() && right.is_cancelled());
                let text = detail_text(&cause_of(&shared.token()));
                Side::left_if(text.as_deref() == Some("left"))
            },
        );
    });
}
