//! Promise 4: on which thread callbacks run, in which order, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use desist::{Reason, Registration, Source, Token};

use crate::common::race::{Side, race};
use crate::common::{
    Captured, Count, Gate, Log, assert_same_cause, cause_of, detail_text, no_deadlock,
};

fn noting<T: Send + 'static>(token: &Token, log: &Log<T>, entry: T) -> Registration {
    let log = log.clone();
    token.on_cancel(move |_| log.push(entry))
}

#[test]
fn callbacks_run_on_the_thread_that_cancels_and_before_cancel_returns() {
    let source = Source::new();
    let child = source.child();
    let log = Log::new();
    let held: Vec<_> = [source.token(), child.token(), child.token()]
        .iter()
        .map(|token| {
            let log = log.clone();
            token.on_cancel(move |_| log.push(thread::current().id()))
        })
        .collect();
    let (canceller, seen) = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert!(source.cancel());
            (thread::current().id(), log.take())
        });
        thread.join().expect("no panic")
    });
    assert_eq!(seen, [canceller; 3]);
    assert_ne!(canceller, thread::current().id());
    drop(held);
}

#[test]
fn the_callback_gets_the_cause() {
    let source = Source::new();
    let child = source.child();
    let log = Log::new();
    let to = log.clone();
    let _held = child.token().on_cancel(move |cause| to.push(cause.clone()));
    source.cancel_with(Reason::SiblingFailed);
    let seen = log.take();
    assert_eq!(seen.len(), 1);
    assert_same_cause(&seen[0], &cause_of(&source.token()));
}

#[test]
fn within_a_token_the_last_registered_runs_first() {
    let source = Source::new();
    let log = Log::new();
    let _held: Vec<_> = (0..100).map(|n| noting(&source.token(), &log, n)).collect();
    assert!(source.cancel());
    assert_eq!(log.take(), (0..100).rev().collect::<Vec<_>>());
}

#[test]
fn the_order_is_kept_when_some_were_taken_back() {
    let source = Source::new();
    let log = Log::new();
    let mut held: Vec<_> = (0..60).map(|n| Some(noting(&source.token(), &log, n))).collect();
    for index in [0, 7, 8, 9, 30, 58, 59] {
        assert!(held[index].take().is_some_and(Registration::unregister));
    }
    let late = noting(&source.token(), &log, 60);
    assert!(source.cancel());
    let expected: Vec<i32> =
        (0..=60).rev().filter(|n| ![0, 7, 8, 9, 30, 58, 59].contains(n)).collect();
    assert_eq!(log.take(), expected);
    drop(late);
}

#[test]
fn the_order_is_kept_when_several_threads_register() {
    let source = Source::new();
    let log = Log::new();
    let token = source.token();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (token, log) = (&token, &log);
            scope.spawn(move || {
                for n in 0..200 {
                    noting(token, log, (thread, n)).detach();
                }
            });
        }
    });
    assert!(source.cancel());
    let seen = log.take();
    assert_eq!(seen.len(), 800);
    for thread in 0..4 {
        let own: Vec<i32> = seen.iter().filter(|(t, _)| *t == thread).map(|(_, n)| *n).collect();
        assert_eq!(own, (0..200).rev().collect::<Vec<_>>());
    }
}

#[test]
fn a_descendants_callback_runs_before_its_ancestors() {
    let root = Source::new();
    let log = Log::new();
    let mut chain = vec![root.clone()];
    for _ in 0..20 {
        let next = chain[chain.len() - 1].child();
        chain.push(next);
    }
    // Registered in an order that is neither that of the tree nor its reverse.
    let mut levels: Vec<usize> = (0..chain.len()).collect();
    levels.sort_by_key(|level| (level * 7) % 10);
    for level in levels {
        noting(&chain[level].token(), &log, level).detach();
    }
    assert!(root.cancel());
    assert_eq!(log.take(), (0..=20).rev().collect::<Vec<_>>());
}

#[test]
fn in_a_wide_tree_every_child_comes_before_its_parent() {
    let root = Source::new();
    let log = Log::new();
    let mut held = vec![noting(&root.token(), &log, (0, 0))];
    for middle in 1..=10 {
        let child = root.child();
        held.push(noting(&child.token(), &log, (middle, 0)));
        // A held registration keeps its token in the tree.
        held.extend((1..=10).map(|leaf| noting(&child.child().token(), &log, (middle, leaf))));
    }
    assert!(root.cancel());
    let seen = log.take();
    assert_eq!(seen.len(), 111);
    assert_eq!(seen.last(), Some(&(0, 0)));
    for middle in 1..=10 {
        let last = seen.iter().rposition(|(m, _)| *m == middle);
        let own = seen.iter().position(|entry| *entry == (middle, 0));
        assert_eq!(last, own, "the parent's callback is the last of its family");
    }
}

#[test]
fn in_a_tree_with_several_parents_every_child_comes_before_all_its_parents() {
    let root = Source::new();
    let (left, right) = (root.child(), root.child());
    let far = right.child();
    let bottom = Source::linked([left.token(), far.token(), root.token()]);
    let log = Log::new();
    for (name, source) in
        [("left", &left), ("bottom", &bottom), ("root", &root), ("right", &right), ("far", &far)]
    {
        noting(&source.token(), &log, name).detach();
    }
    assert!(root.cancel());
    let seen = log.take();
    let place = |name| seen.iter().position(|n| *n == name).expect("it has run");
    assert_eq!(seen.len(), 5);
    assert!(place("bottom") < place("left") && place("bottom") < place("far"));
    assert!(place("far") < place("right"));
    assert_eq!(place("root"), 4);
}

#[test]
fn each_runs_at_most_once() {
    let source = Source::new();
    let child = Source::linked([source.token(), source.child().token()]);
    let called = Count::new();
    let count = called.clone();
    let _held = child.token().on_cancel(move |_| count.add());
    assert!(child.cancel());
    assert!(source.cancel());
    assert!(!source.cancel());
    assert!(!child.cancel());
    assert_eq!(called.get(), 1);
}

#[test]
fn each_runs_once_when_several_parents_are_cancelled_at_the_same_time() {
    race(
        || {
            let (left, right) = (Source::new(), Source::new());
            let child = Source::linked([left.token(), right.token()]);
            let called = Count::new();
            let count = called.clone();
            child.token().on_cancel(move |_| count.add()).detach();
            (left, right, child, called)
        },
        |(left, ..)| left.cancel_with("left"),
        |(_, right, ..)| right.cancel_with("right"),
        |(_, _, child, called), _, _| {
            assert_eq!(called.get(), 1);
            let text = detail_text(&cause_of(&child.token()));
            Side::left_if(text.as_deref() == Some("left"))
        },
    );
}

#[test]
fn the_same_closure_registered_twice_runs_twice_and_is_removed_separately() {
    let source = Source::new();
    let called = Count::new();
    let callback = {
        let called = called.clone();
        move |_: &desist::Cancelled| called.add()
    };
    let first = source.token().on_cancel(callback.clone());
    let _second = source.token().on_cancel(callback.clone());
    let _third = source.token().on_cancel(callback);
    assert!(first.unregister());
    source.cancel();
    assert_eq!(called.get(), 2);
}

#[test]
fn registered_on_a_cancelled_token_it_runs_inline() {
    for token in [Token::cancelled_with("gone"), {
        let parent = Source::new();
        let child = parent.child();
        parent.cancel_with("gone");
        child.token()
    }] {
        let log = Log::new();
        let to = log.clone();
        let captured = Captured::new();
        let handle = captured.handle();
        let registration = token.on_cancel(move |cause| {
            to.push((thread::current().id(), cause.clone()));
            drop(handle);
        });
        let seen = log.take();
        assert_eq!(seen.len(), 1, "it has run before `on_cancel` returned");
        assert_eq!(seen[0].0, thread::current().id());
        assert_same_cause(&seen[0].1, &cause_of(&token));
        assert_eq!(captured.held(), 0);
        assert!(!registration.unregister());
        assert!(log.take().is_empty());
    }
}

#[test]
fn registered_while_another_thread_runs_callbacks_it_runs_inline() {
    no_deadlock(|| {
        let (entered, leave) = (Gate::new(), Gate::new());
        let source = Source::new();
        let (inside, wait) = (entered.clone(), leave.clone());
        let _held = source.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
        });
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            entered.wait();
            let log = Log::new();
            let to = log.clone();
            let registration = source.token().on_cancel(move |_| to.push(thread::current().id()));
            assert_eq!(log.take(), [thread::current().id()]);
            assert!(!registration.unregister());
            leave.open();
        });
    });
}

#[test]
fn registered_while_the_token_is_cancelled_it_runs_exactly_once() {
    race(
        Source::new,
        Source::cancel,
        |source| {
            let called = Count::new();
            let count = called.clone();
            let canceller = Arc::new(AtomicBool::new(false));
            let (here, other) = (thread::current().id(), Arc::clone(&canceller));
            let held = source.token().on_cancel(move |_| {
                other.store(thread::current().id() != here, Ordering::SeqCst);
                count.add();
            });
            (called, canceller, held)
        },
        |_, won, (called, by_canceller, held)| {
            assert!(won);
            assert_eq!(called.get(), 1, "it has run, here or there, before both returned");
            assert!(!held.unregister());
            Side::left_if(!by_canceller.load(Ordering::SeqCst))
        },
    );
}

#[test]
fn registered_on_never_it_is_dropped_without_a_call() {
    for token in [Token::never(), Token::default(), Source::new().token().shielded()] {
        let captured = Captured::new();
        let handle = captured.handle();
        let called = Count::new();
        let count = called.clone();
        let registration = token.on_cancel(move |_| {
            count.add();
            drop(handle);
        });
        assert_eq!(captured.held(), 0, "dropped before `on_cancel` returned");
        drop(registration);
        token.on_cancel(|_| ()).detach();
        let _ = token.on_cancel(|_| ()).blocking_unregister();
        assert_eq!(called.get(), 0);
    }
}

#[test]
fn a_detached_callback_runs_when_the_signal_comes() {
    let source = Source::new();
    let called = Count::new();
    let count = called.clone();
    source.token().on_cancel(move |_| count.add()).detach();
    assert_eq!(called.get(), 0);
    source.cancel();
    assert_eq!(called.get(), 1);
}

#[test]
fn a_held_registration_is_enough_to_be_called() {
    let root = Source::new();
    let log = Log::new();
    let registration = {
        let child = root.child();
        noting(&child.token(), &log, ())
    };
    assert!(root.cancel());
    assert_eq!(log.take().len(), 1);
    assert!(!registration.unregister());
}

#[test]
fn a_registration_outlives_its_source() {
    let source = Source::new();
    let token = source.token();
    let log = Log::new();
    let kept = noting(&token, &log, 1);
    let dropped = noting(&token, &log, 2);
    drop(source);
    drop(token);
    drop(dropped);
    drop(kept);
    assert!(log.take().is_empty());
}

#[cfg(feature = "testing")]
#[test]
fn callbacks_of_a_deadline_run_in_its_order_on_the_thread_that_moves_the_clock() {
    use std::time::Duration;

    let clock = desist::testing::ManualClock::new();
    let root = Source::with_clock(clock.clock());
    let log = Log::new();
    let held: Vec<_> = [3_u64, 1, 2]
        .into_iter()
        .map(|seconds| {
            let child = root.token().child_with_timeout(Duration::from_secs(seconds));
            let log = log.clone();
            let held = child.token().on_cancel(move |cause| {
                log.push((seconds, cause.reason(), thread::current().id()));
            });
            (child, held)
        })
        .collect();
    clock.advance(Duration::from_secs(10));
    let here = thread::current().id();
    let expected = [1, 2, 3].map(|seconds| (seconds, Reason::Deadline, here));
    assert_eq!(log.take(), expected);
    drop(held);
}
