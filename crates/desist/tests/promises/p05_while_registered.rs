//! Promise 5, the scoped callback: its closure borrows, so it always waits.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use desist::{Source, Token};

use crate::common::panics::planned;
use crate::common::race::{Side, race};
use crate::common::{Count, Gate, Log, assert_same_cause, cause_of, no_deadlock, panic_of};

#[test]
fn the_result_of_the_body_is_returned() {
    let source = Source::new();
    let text = String::from("borrowed");
    let length = source.token().while_registered(|_| (), || text.len());
    assert_eq!(length, 8);
    assert_eq!(Token::never().while_registered(|_| (), || 7), 7);
}

#[test]
fn the_callback_borrows_and_runs_when_the_signal_comes_in_the_body() {
    let source = Source::new();
    let mut calls = Vec::new();
    let won = source
        .token()
        .while_registered(|cause| calls.push(cause.clone()), || source.cancel_with("now"));
    assert!(won);
    assert_eq!(calls.len(), 1);
    assert_same_cause(&calls[0], &cause_of(&source.token()));
}

#[test]
fn after_it_returned_the_callback_is_never_called() {
    let source = Source::new();
    let bodies = Cell::new(0);
    let called = Count::new();
    source.token().while_registered(|_| called.add(), || bodies.set(bodies.get() + 1));
    source.cancel();
    assert_eq!((bodies.get(), called.get()), (1, 0));
}

#[test]
fn what_the_callback_captured_is_dropped_once_whether_it_was_called_or_not() {
    let captured = Arc::new(());
    for called in [false, true] {
        let source = Source::new();
        let inside = Arc::clone(&captured);
        source.token().while_registered(
            move |_| assert_eq!(Arc::strong_count(&inside), 2),
            || {
                assert_eq!(Arc::strong_count(&captured), 2);
                if called {
                    source.cancel();
                }
            },
        );
        assert_eq!(Arc::strong_count(&captured), 1, "called: {called}");
    }
}

#[test]
fn on_a_cancelled_token_the_callback_runs_before_the_body() {
    let log = Log::new();
    let result = Token::cancelled_with("gone").while_registered(
        |_| log.push("callback"),
        || {
            log.push("body");
            5
        },
    );
    assert_eq!(result, 5);
    assert_eq!(log.take(), ["callback", "body"]);
}

#[test]
fn it_waits_for_a_callback_that_runs_on_another_thread() {
    no_deadlock(|| {
        let source = Source::new();
        let (entered, leave) = (Gate::new(), Gate::new());
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            source.token().while_registered(
                |_| {
                    entered.open();
                    leave.wait();
                    ended.store(true, Ordering::SeqCst);
                },
                || {
                    scope.spawn(|| source.cancel());
                    entered.wait();
                    scope.spawn(|| {
                        // Nothing tells that it waits by now; give it the time.
                        thread::sleep(Duration::from_millis(20));
                        leave.open();
                    });
                },
            );
            assert!(ended.load(Ordering::SeqCst), "it returned while the callback was running");
        });
    });
}

#[test]
fn it_waits_from_inside_another_callback_too() {
    no_deadlock(|| {
        let (outer, inner) = (Source::new(), Source::new());
        let seen = Log::new();
        let (to, token, canceller) = (seen.clone(), inner.token(), inner.clone());
        let _held = outer.token().on_cancel(move |_| {
            let (entered, leave) = (Gate::new(), Gate::new());
            let ended = AtomicBool::new(false);
            thread::scope(|scope| {
                token.while_registered(
                    |_| {
                        entered.open();
                        leave.wait();
                        ended.store(true, Ordering::SeqCst);
                    },
                    || {
                        scope.spawn(|| canceller.cancel());
                        entered.wait();
                        scope.spawn(|| {
                            thread::sleep(Duration::from_millis(20));
                            leave.open();
                        });
                    },
                );
            });
            to.push(ended.load(Ordering::SeqCst));
        });
        assert!(outer.cancel());
        assert_eq!(seen.take(), [true]);
    });
}

#[test]
fn racing_a_cancel_it_is_over_or_never_begun_when_it_returns() {
    race(
        Source::new,
        Source::cancel,
        |source| {
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            source.token().while_registered(
                |_| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    ended.fetch_add(1, Ordering::SeqCst);
                },
                thread::yield_now,
            );
            (begun.into_inner(), ended.into_inner())
        },
        |_, _, (begun, ended)| {
            assert_eq!(begun, ended, "running when it returned");
            assert!(ended <= 1);
            Side::left_if(ended == 1)
        },
    );
}

#[test]
fn it_may_be_nested_and_the_inner_callback_runs_first() {
    let source = Source::new();
    let token = source.token();
    let log = Log::new();
    token.while_registered(
        |_| log.push("outer"),
        || token.while_registered(|_| log.push("inner"), || source.cancel()),
    );
    assert_eq!(log.take(), ["inner", "outer"]);
}

#[test]
fn it_keeps_its_place_among_other_callbacks() {
    let source = Source::new();
    let token = source.token();
    let log = Log::new();
    let to = log.clone();
    let _first = token.on_cancel(move |_| to.push(1));
    token.while_registered(
        |_| log.push(2),
        || {
            let to = log.clone();
            let _third = token.on_cancel(move |_| to.push(3));
            source.cancel();
        },
    );
    assert_eq!(log.take(), [3, 2, 1]);
}

#[test]
fn a_body_that_panics_takes_its_callback_back() {
    let source = Source::new();
    let called = Count::new();
    let text = panic_of(|| {
        source.token().while_registered(|_| called.add(), || planned("body of while_registered"))
    });
    assert_eq!(text, "planned: body of while_registered");
    source.cancel();
    assert_eq!(called.get(), 0);
}

#[test]
fn a_body_that_panics_while_the_callback_runs_waits_for_it() {
    no_deadlock(|| {
        let source = Source::new();
        let (entered, leave) = (Gate::new(), Gate::new());
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let text = panic_of(|| {
                source.token().while_registered(
                    |_| {
                        entered.open();
                        leave.wait();
                        ended.store(true, Ordering::SeqCst);
                    },
                    || {
                        scope.spawn(|| source.cancel());
                        entered.wait();
                        scope.spawn(|| {
                            thread::sleep(Duration::from_millis(20));
                            leave.open();
                        });
                        planned("body beside its running callback")
                    },
                )
            });
            assert_eq!(text, "planned: body beside its running callback");
            assert!(ended.load(Ordering::SeqCst), "it returned while the callback was running");
        });
    });
}

#[test]
fn a_callback_may_use_while_registered_on_its_own_token() {
    no_deadlock(|| {
        let source = Source::new();
        let log = Log::new();
        let (token, to) = (source.token(), log.clone());
        let _held = source.token().on_cancel(move |_| {
            token.while_registered(|_| to.push("inner"), || to.push("body"));
        });
        source.cancel();
        assert_eq!(log.take(), ["inner", "body"]);
    });
}
