//! Values whose drop panics: what a callback captured, a detail, the payload of a panic, a waker.

use std::panic::panic_any;
use std::thread;

use desist::{Cause, Reason, Source, Token};

use crate::common::panics::{listen, planned};
use crate::common::wakers::{Event, counting, hooked};
use crate::common::{
    Captured, Count, DetailOnDrop, Gate, OnDrop, no_deadlock, panic_of, poll_once, poll_with,
};

/// A value whose drop panics, unless a panic unwinds already.
fn bomb(text: &'static str) -> OnDrop<impl FnMut() + Send + Sync> {
    OnDrop(move || {
        if !thread::panicking() {
            planned(text);
        }
    })
}

#[test]
fn a_captured_value_that_panics_when_its_registration_is_dropped() {
    let source = Source::new();
    let called = Count::new();
    let count = called.clone();
    let _held = source.token().on_cancel(move |_| count.add());
    let register = || {
        let captured = bomb("captured");
        source.token().on_cancel(move |_| drop(captured))
    };
    let (dropped, unregistered) = (register(), register());
    assert_eq!(panic_of(|| drop(dropped)), "planned: captured");
    assert_eq!(panic_of(|| unregistered.unregister()), "planned: captured");
    let text = panic_of(|| {
        let captured = bomb("never called");
        Token::never().on_cancel(move |_| drop(captured)).detach();
    });
    assert_eq!(text, "planned: never called");
    assert!(source.cancel());
    assert_eq!(called.get(), 1);
}

#[test]
fn a_captured_value_that_panics_after_its_call_is_a_panic_of_the_callback() {
    let source = Source::new();
    let called = Count::new();
    let captured = Captured::new();
    let register = || {
        let (count, handle) = (called.clone(), captured.handle());
        source.token().on_cancel(move |_| {
            let _handle = handle;
            count.add();
        })
    };
    let before = register();
    let captured_bomb = bomb("after the call");
    let middle = source.token().on_cancel(move |_| {
        let _keep = &captured_bomb;
    });
    let after = register();
    assert_eq!(panic_of(|| source.cancel()), "planned: after the call");
    assert_eq!((called.get(), captured.held()), (2, 0));
    drop((before, middle, after));
}

#[test]
fn captured_values_that_panic_when_their_tree_is_dropped() {
    listen();
    let parent = Source::new();
    let captured = Captured::new();
    let child = parent.child();
    for n in 0..5 {
        let (bomb, handle) = (bomb("with the tree"), captured.handle());
        child.token().on_cancel(move |_| drop((bomb, handle))).detach();
        assert_eq!(captured.held(), n + 1);
    }
    panic_of(|| drop(child));
    assert_eq!(captured.held(), 0, "the others are dropped too");
    assert!(parent.cancel());
}

#[test]
fn a_detail_that_panics_when_it_is_dropped() {
    let bomb = |text| {
        Cause::new(Reason::Other).detail(DetailOnDrop(move || {
            if !thread::panicking() {
                planned(text);
            }
        }))
    };
    let source = Source::new();
    source.cancel();
    assert_eq!(panic_of(|| source.cancel_with(bomb("of a loser"))), "planned: of a loser");
    assert_eq!(source.token().reason(), Some(Reason::Requested));

    let source = Source::new();
    let child = source.child();
    assert!(source.cancel_with(bomb("of the last handle")));
    drop(source);
    assert_eq!(panic_of(|| drop(child)), "planned: of the last handle");
}

#[test]
fn payloads_that_panic_when_they_are_dropped() {
    listen();
    let source = Source::new();
    let called = Count::new();
    let mut held = Vec::new();
    for _ in 0..4 {
        let count = called.clone();
        held.push(source.token().on_cancel(move |_| {
            count.add();
            let payload = OnDrop(|| {
                if !thread::panicking() {
                    planned("a payload");
                }
            });
            panic_any(payload);
        }));
    }
    // Whatever comes out: all have run, and the process goes on.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| source.cancel()));
    assert_eq!(called.get(), 4);
    assert!(source.is_cancelled());
    // The payload of the first is the caller's to drop.
    std::mem::forget(outcome.expect_err("one of the panics resumes"));
}

#[test]
fn a_waker_that_panics_when_it_is_cloned() {
    let source = Source::new();
    let (wakes, good) = counting();
    let mut other = Box::pin(source.token().cancelled_owned());
    assert!(poll_with(other.as_mut(), &good).is_pending());
    let bad = hooked(|event| {
        if event == Event::Clone {
            planned("cloned");
        }
    });
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert_eq!(panic_of(|| poll_with(wait.as_mut(), &bad)), "planned: cloned");
    assert_eq!(panic_of(|| poll_with(other.as_mut(), &bad)), "planned: cloned");
    assert!(poll_once(wait.as_mut()).is_pending(), "it may be polled again");
    assert!(poll_with(other.as_mut(), &good).is_pending());
    assert!(source.cancel());
    assert_eq!(wakes.get(), 1);
    assert!(poll_once(wait.as_mut()).is_ready());
    assert!(poll_once(other.as_mut()).is_ready());
}

#[test]
fn a_waker_that_panics_when_it_is_dropped() {
    let source = Source::new();
    let waker = || {
        hooked(|event| {
            if event == Event::Drop && !thread::panicking() {
                planned("a waker dropped");
            }
        })
    };
    let (wakes, good) = counting();
    let mut wait = Box::pin(source.token().cancelled_owned());
    let bad = waker();
    assert!(poll_with(wait.as_mut(), &bad).is_pending());
    let text = panic_of(|| poll_with(wait.as_mut(), &good).is_pending());
    assert_eq!(text, "planned: a waker dropped");
    // Whether the new waker got its place before the panic is not said; polled again it has.
    assert!(poll_with(wait.as_mut(), &good).is_pending());
    assert!(source.cancel());
    assert_eq!(wakes.get(), 1);
    std::mem::forget(bad);

    let other = Source::new();
    let mut wait = Box::pin(other.token().cancelled_owned());
    let bad = waker();
    assert!(poll_with(wait.as_mut(), &bad).is_pending());
    assert_eq!(panic_of(|| drop(wait)), "planned: a waker dropped");
    std::mem::forget(bad);
    assert!(other.cancel());
}

#[test]
fn a_future_that_panics_inside_run_leaves_the_token_as_it_was() {
    let source = Source::new();
    let token = source.token();
    let mut run = Box::pin(
        token.run(std::future::poll_fn(|_| -> std::task::Poll<()> { planned("inside run") })),
    );
    assert_eq!(panic_of(|| poll_once(run.as_mut())), "planned: inside run");
    drop(run);
    assert!(source.cancel());
}

#[test]
fn the_timer_survives_whatever_panics_when_it_is_dropped() {
    no_deadlock(|| {
        listen();
        let soon = std::time::Duration::from_millis(3);
        for _ in 0..10 {
            let captured = bomb("dropped by the timer");
            let source = Source::new();
            source
                .token()
                .on_cancel(move |_| {
                    let _keep = &captured;
                    panic_any(OnDrop(|| {
                        if !thread::panicking() {
                            planned("a payload dropped by the timer");
                        }
                    }));
                })
                .detach();
            // Not before: whoever registers too late is the one who calls.
            source.cancel_after(soon);
            assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
        }
        let after = Source::with_timeout(soon);
        assert_eq!(after.token().blocking_wait().reason(), Reason::Deadline);
    });
}

#[cfg(feature = "testing")]
#[test]
fn a_clock_moved_by_hand_survives_a_payload_that_panics_when_it_is_dropped() {
    listen();
    let soon = std::time::Duration::from_secs(1);
    let clock = desist::testing::ManualClock::new();
    let (first, second) = (Source::with_clock(clock.clock()), Source::with_clock(clock.clock()));
    first.cancel_after(soon);
    second.cancel_after(soon * 2);
    let payload = || OnDrop(|| planned("a payload dropped by the clock"));
    first.token().on_cancel(move |_| panic_any(payload())).detach();
    clock.advance(soon * 2);
    assert!(first.is_cancelled() && second.is_cancelled());
}

#[test]
fn a_waker_that_panics_when_a_wait_for_a_callback_is_given_up_while_unwinding() {
    no_deadlock(|| {
        listen();
        let source = Source::new();
        let (inside, go) = (Gate::new(), Gate::new());
        let registration = source.token().on_cancel({
            let (inside, go) = (inside.clone(), go.clone());
            move |_| {
                inside.open();
                go.wait();
            }
        });
        let canceller = thread::spawn(move || source.cancel());
        inside.wait();
        let text = panic_of(|| {
            let mut wait = Box::pin(registration.unregistered());
            let waker = hooked(|event| {
                if event == Event::Drop {
                    planned("the waker");
                }
            });
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            // Its own copy of the waker must be quiet, or there would be two panics at once.
            std::mem::forget(waker);
            let _given_up = wait;
            planned("the first")
        });
        assert_eq!(text, "planned: the first");
        go.open();
        assert!(canceller.join().is_ok());
    });
}
