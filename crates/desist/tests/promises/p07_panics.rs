//! Promise 7: a panicking callback or waker strands nobody.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use desist::{Reason, Registration, Source, Token};

use crate::common::panics::{heard, listen, planned};
use crate::common::wakers::{counting, on_wake};
use crate::common::{
    Captured, Count, Gate, Log, OnDrop, lock, no_deadlock, panic_of, poll_once, poll_with,
};

fn panicking(token: &Token, text: &'static str) -> Registration {
    token.on_cancel(move |_| planned(text))
}

fn counted(token: &Token, count: &Count) -> Registration {
    let count = count.clone();
    token.on_cancel(move |_| count.add())
}

#[test]
fn all_other_callbacks_run_and_then_the_panic_resumes_in_cancel() {
    let source = Source::new();
    let token = source.token();
    let called = Count::new();
    let _held = [
        counted(&token, &called),
        counted(&token, &called),
        panicking(&token, "in the middle"),
        counted(&token, &called),
    ];
    assert_eq!(panic_of(|| source.cancel()), "planned: in the middle");
    assert_eq!(called.get(), 3);
    assert!(source.is_cancelled());
    assert_eq!(token.reason(), Some(Reason::Requested));
    assert!(!source.cancel());
}

#[test]
fn the_first_of_several_panics_resumes_with_its_very_payload() {
    struct Payload(u32);

    listen();
    let source = Source::new();
    let called = Count::new();
    // Last registered runs first, so the one with the number is the first to panic.
    let _late = panicking(&source.token(), "third");
    let _between = counted(&source.token(), &called);
    let _later = panicking(&source.token(), "second");
    let _first = source.token().on_cancel(|_| panic_any(Payload(42)));
    let payload = catch_unwind(AssertUnwindSafe(|| source.cancel())).expect_err("it panics");
    assert_eq!(payload.downcast_ref::<Payload>().map(|p| p.0), Some(42));
    assert_eq!(called.get(), 1);
    assert!(heard("second") && heard("third"));
}

#[test]
fn a_panic_in_a_child_keeps_nobody_in_the_tree_from_being_called() {
    let root = Source::new();
    let children: Vec<Source> = (0..10).map(|_| root.child()).collect();
    let called = Count::new();
    let mut held = vec![counted(&root.token(), &called)];
    for (index, child) in children.iter().enumerate() {
        held.push(counted(&child.token(), &called));
        if index % 3 == 0 {
            held.push(panicking(&child.token(), "in a child"));
        }
        held.push(counted(&child.child().token(), &called));
    }
    assert_eq!(panic_of(|| root.cancel()), "planned: in a child");
    assert_eq!(called.get(), 21);
    assert!(children.iter().all(Source::is_cancelled));
}

#[test]
fn all_others_are_woken_when_a_waker_panics() {
    let root = Source::new();
    let children = [root.child(), root.child(), root.child()];
    let called = Count::new();
    let mut waits = Vec::new();
    let mut woken = Vec::new();
    for source in children.iter().chain([&root]) {
        for n in 0..3 {
            let (wakes, mut waker) = counting();
            if n == 1 {
                waker = on_wake(|| planned("in a waker"));
            } else {
                woken.push(wakes);
            }
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            waits.push(wait);
        }
        counted(&source.token(), &called).detach();
    }
    assert_eq!(panic_of(|| root.cancel()), "planned: in a waker");
    assert!(woken.iter().all(|wakes| wakes.get() == 1), "somebody was not woken");
    assert_eq!(called.get(), 4, "callbacks run in spite of the waker");
    assert!(waits.iter_mut().all(|wait| poll_once(wait.as_mut()).is_ready()));
}

#[test]
fn a_panic_of_a_waker_comes_before_a_panic_of_a_callback() {
    let source = Source::new();
    let _held = panicking(&source.token(), "the callback");
    let mut wait = Box::pin(source.token().cancelled_owned());
    let waker = on_wake(|| planned("the waker"));
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    assert_eq!(panic_of(|| source.cancel()), "planned: the waker");
    assert!(heard("the callback"));
}

#[test]
fn blocked_threads_are_woken_when_a_waker_panics() {
    no_deadlock(|| {
        let source = Source::new();
        let token = source.token();
        thread::scope(|scope| {
            let blocked: Vec<_> =
                (0..3).map(|_| scope.spawn(|| token.blocking_wait().reason())).collect();
            let mut wait = Box::pin(source.token().cancelled_owned());
            let waker = on_wake(|| planned("beside blocked threads"));
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            panic_of(|| source.cancel_with(Reason::Shutdown));
            for thread in blocked {
                assert_eq!(thread.join().expect("no panic"), Reason::Shutdown);
            }
        });
    });
}

#[test]
fn what_a_panicking_callback_captured_is_dropped() {
    let source = Source::new();
    let captured = Captured::new();
    let handle = captured.handle();
    let held = source.token().on_cancel(move |_| {
        let _handle = handle;
        planned("with something captured")
    });
    panic_of(|| source.cancel());
    assert_eq!(captured.held(), 0);
    assert!(!held.unregister());
}

#[test]
fn a_callback_that_runs_inline_panics_at_its_registrant() {
    let source = Source::new();
    source.cancel();
    let token = source.token();
    let text = panic_of(|| token.on_cancel(|_| planned("inline")).detach());
    assert_eq!(text, "planned: inline");
    let called = Count::new();
    counted(&token, &called).detach();
    assert_eq!(called.get(), 1, "the token is as good as before");
}

#[test]
fn who_waits_for_a_callback_that_panics_is_released() {
    no_deadlock(|| {
        let source = Source::new();
        let (entered, leave) = (Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), leave.clone());
        let held = source.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
            planned("while somebody waits")
        });
        thread::scope(|scope| {
            let canceller = scope.spawn(|| panic_of(|| source.cancel()));
            entered.wait();
            let about = Gate::new();
            let asked = about.clone();
            let waiter = scope.spawn(move || {
                about.open();
                held.blocking_unregister()
            });
            asked.wait();
            leave.open();
            assert!(!waiter.join().expect("no panic"));
            let text = canceller.join().expect("caught");
            assert_eq!(text, "planned: while somebody waits");
        });
    });
}

#[test]
fn a_scoped_callback_that_panics_does_so_in_the_cancel() {
    no_deadlock(|| {
        let source = Source::new();
        let text = thread::scope(|scope| {
            source.token().while_registered(
                |_| planned("scoped"),
                || {
                    let canceller = scope.spawn(|| panic_of(|| source.cancel()));
                    canceller.join().expect("caught")
                },
            )
        });
        assert_eq!(text, "planned: scoped");
    });
}

#[test]
fn the_loser_of_a_cancel_that_panics_hears_nothing_of_it() {
    no_deadlock(|| {
        let source = Source::new();
        let (entered, leave) = (Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), leave.clone());
        let _held = source.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
            planned("the winner's")
        });
        thread::scope(|scope| {
            let winner = scope.spawn(|| panic_of(|| source.cancel()));
            entered.wait();
            assert!(!source.cancel());
            leave.open();
            winner.join().expect("caught");
        });
    });
}

#[test]
fn a_guard_dropped_while_unwinding_does_not_abort() {
    let source = Source::new();
    let called = Count::new();
    let _held = [
        counted(&source.token(), &called),
        panicking(&source.token(), "a callback while unwinding"),
        counted(&source.token(), &called),
    ];
    let mut wait = Box::pin(source.token().cancelled_owned());
    let waker = on_wake(|| planned("a waker while unwinding"));
    assert!(poll_with(wait.as_mut(), &waker).is_pending());
    let text = panic_of(|| {
        let _guard = source.guard();
        planned("the panic that unwinds")
    });
    assert_eq!(text, "planned: the panic that unwinds");
    assert_eq!(source.token().reason(), Some(Reason::Dropped));
    assert_eq!(called.get(), 2);
}

#[test]
fn a_cancel_in_a_destructor_while_unwinding_does_not_abort() {
    let source = Source::new();
    let called = Count::new();
    let _held = [
        counted(&source.token(), &called),
        panicking(&source.token(), "a callback in a destructor"),
    ];
    let won = Count::new();
    let text = panic_of(|| {
        let _cleanup = OnDrop(|| {
            if source.cancel() {
                won.add();
            }
        });
        planned("the panic before the destructor")
    });
    assert_eq!(text, "planned: the panic before the destructor");
    assert_eq!((called.get(), won.get()), (1, 1));
}

#[test]
fn a_callback_inline_in_a_destructor_while_unwinding_does_not_abort_others() {
    let source = Source::new();
    source.cancel();
    let called = Count::new();
    panic_of(|| {
        let _cleanup = OnDrop(|| counted(&source.token(), &called).detach());
        planned("before an inline callback")
    });
    assert_eq!(called.get(), 1);
}

#[test]
fn fired_by_the_timer_it_goes_to_the_panic_hook_and_time_goes_on() {
    no_deadlock(|| {
        listen();
        for round in 0..3 {
            let source = Source::new();
            let (over, called) = (Gate::new(), Count::new());
            let open = over.clone();
            // Registered first, so it runs last.
            source.token().on_cancel(move |_| open.open()).detach();
            counted(&source.token(), &called).detach();
            panicking(&source.token(), "a callback of the timer").detach();
            let mut wait = Box::pin(source.token().cancelled_owned());
            let waker = on_wake(|| planned("a waker of the timer"));
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            source.cancel_after(Duration::from_millis(5));
            over.wait();
            assert_eq!(called.get(), 1, "round {round}");
            assert_eq!(source.token().reason(), Some(Reason::Deadline));
        }
        assert!(heard("a callback of the timer") && heard("a waker of the timer"));
        let later = Source::with_timeout(Duration::from_millis(5));
        assert_eq!(later.token().blocking_wait().reason(), Reason::Deadline);
    });
}

#[test]
fn many_panics_in_one_instant_of_the_timer_lose_no_deadline() {
    no_deadlock(|| {
        listen();
        let sources: Vec<Source> = (0..50)
            .map(|n| {
                let source = Source::with_timeout(Duration::from_millis(5 + n % 3));
                panicking(&source.token(), "one of fifty").detach();
                source
            })
            .collect();
        for source in &sources {
            assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
        }
    });
}

#[cfg(feature = "testing")]
#[test]
fn fired_by_a_clock_moved_by_hand_all_deadlines_come_in_spite_of_a_panic() {
    listen();
    let clock = desist::testing::ManualClock::new();
    let root = Source::with_clock(clock.clock());
    let called = Count::new();
    let children: Vec<Source> =
        (1..=5).map(|n| root.token().child_with_timeout(Duration::from_secs(n))).collect();
    let _panicking: Vec<_> = children
        .iter()
        .map(|child| panicking(&child.token(), "of a clock moved by hand"))
        .collect();
    let _counted: Vec<_> = children.iter().map(|child| counted(&child.token(), &called)).collect();
    clock.advance(Duration::from_secs(9));
    assert_eq!(called.get(), 5);
    assert!(children.iter().all(Source::is_cancelled));
    assert!(heard("of a clock moved by hand"));
}

#[test]
fn a_deadline_in_the_past_panics_where_it_is_armed() {
    // Cancelled synchronously by the caller: there is a caller, so the panic resumes there.
    let source = Source::new();
    let called = Count::new();
    let _held = [
        counted(&source.token(), &called),
        panicking(&source.token(), "of a deadline in the past"),
    ];
    let text = panic_of(|| source.cancel_after(Duration::ZERO));
    assert_eq!(text, "planned: of a deadline in the past");
    assert_eq!(called.get(), 1);
}

#[test]
fn a_panicking_callback_of_another_cancel_below_is_the_others() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let log = Log::new();
        let to = log.clone();
        let (entered, leave) = (Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), leave.clone());
        let _held = child.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
            planned("below, of another cancel")
        });
        let _root = root.token().on_cancel(move |_| to.push("root"));
        thread::scope(|scope| {
            let other = scope.spawn(|| panic_of(|| child.cancel()));
            entered.wait();
            assert!(root.cancel(), "and does not panic");
            leave.open();
            assert_eq!(other.join().expect("caught"), "planned: below, of another cancel");
        });
        assert_eq!(log.take(), ["root"]);
    });
}

#[test]
fn a_nested_cancel_gives_its_panic_to_the_callback_that_called_it() {
    let (outer, inner) = (Source::new(), Source::new());
    let _inner = panicking(&inner.token(), "of the inner cancel");
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (to, canceller) = (Arc::clone(&seen), inner.clone());
    let _outer = outer.token().on_cancel(move |_| lock(&to).push(panic_of(|| canceller.cancel())));
    assert!(outer.cancel());
    assert_eq!(*lock(&seen), ["planned: of the inner cancel"]);
}
