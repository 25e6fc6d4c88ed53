//! What the crate gives to the tests of others: the clock that is moved by hand, and the waker
//! that misbehaves. (`every_checkpoint` has tests of its own.)
#![cfg(feature = "testing")]

mod common;

use std::time::{Duration, Instant};

use desist::testing::{HostileWaker, ManualClock};
use desist::{Clock, Reason, Source, Token};

use common::{Count, Gate, panic_of, panics, poll_once, poll_with};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_manual_clock_moves_by_hand_only() {
    let clock = ManualClock::new();
    let begin = clock.now();
    assert_eq!(clock.now(), begin);
    clock.advance(Duration::ZERO);
    assert_eq!(clock.now(), begin);
    clock.advance(SECOND);
    clock.advance(SECOND / 2);
    assert_eq!(clock.now(), begin + SECOND * 3 / 2);
    assert!(clock.clock().now() == clock.now());
}

#[test]
fn a_manual_clock_gives_any_number_of_clocks_that_are_the_same() {
    let clock = ManualClock::new();
    let sources = [clock.clock(), clock.clock(), clock.clock().clone()].map(Source::with_clock);
    sources.iter().for_each(|source| source.cancel_after(SECOND));
    clock.advance(SECOND);
    assert!(sources.iter().all(|source| source.token().reason() == Some(Reason::Deadline)));
}

#[test]
fn a_manual_clock_does_not_wait() {
    let clock = ManualClock::new();
    let source = Source::with_clock(clock.clock());
    source.cancel_after(SECOND * 100_000);
    let begin = Instant::now();
    clock.advance(SECOND * 100_000);
    assert!(source.is_cancelled());
    assert!(begin.elapsed() < SECOND * 60);
}

#[test]
fn a_manual_clock_is_advanced_from_several_threads() {
    common::no_deadlock(|| {
        let clock = ManualClock::new();
        let begin = clock.now();
        let root = Source::with_clock(clock.clock());
        let sources: Vec<Source> =
            (1..=300).map(|n| root.token().child_with_timeout(SECOND * n)).collect();
        common::race::all_at_once(3, |_| {
            for _ in 0..100 {
                clock.advance(SECOND);
            }
        });
        assert_eq!(clock.now(), begin + SECOND * 300);
        assert!(sources.iter().all(Source::is_cancelled));
    });
}

#[test]
fn a_manual_clock_that_is_being_advanced_is_advanced_further_by_another_thread() {
    common::no_deadlock(|| {
        let clock = ManualClock::new();
        let begin = clock.now();
        let source = Source::with_clock(clock.clock());
        source.cancel_after(SECOND);
        let [moved, go, done] = [Gate::new(), Gate::new(), Gate::new()];
        let other = {
            let (clock, moved, go, done) = (clock.clone(), moved.clone(), go.clone(), done.clone());
            std::thread::spawn(move || {
                // It has moved the clock before, but does not do so when it comes again.
                clock.advance(Duration::ZERO);
                moved.open();
                go.wait();
                clock.advance(SECOND * 5);
                done.open();
            })
        };
        moved.wait();
        let _held = source.token().on_cancel(move |_| {
            go.open();
            done.wait();
        });
        clock.advance(SECOND * 10);
        assert_eq!(clock.now(), begin + SECOND * 15);
        other.join().expect("no panic");
    });
}

#[test]
fn a_manual_clock_is_advanced_inside_a_callback() {
    common::no_deadlock(|| {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let (first, second) = (root.child(), root.child());
        first.cancel_after(SECOND);
        second.cancel_after(SECOND * 3);
        let (inner, seen) = (clock.clone(), second.token());
        let _held = first.token().on_cancel(move |_| {
            inner.advance(SECOND * 5);
            assert!(seen.is_cancelled(), "fired before the inner call returned");
        });
        clock.advance(SECOND);
        assert!(first.is_cancelled() && second.is_cancelled());
    });
}

#[test]
fn blocking_waits_follow_the_manual_clock() {
    common::no_deadlock(|| {
        let clock = ManualClock::new();
        let source = Source::with_clock(clock.clock());
        let token = source.token();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| token.blocking_sleep(SECOND * 3_600).is_ok());
            let bounded = scope.spawn(|| token.blocking_wait_timeout(SECOND * 3_600).is_none());
            while !(sleeper.is_finished() && bounded.is_finished()) {
                clock.advance(SECOND * 600);
                std::thread::yield_now();
            }
            assert!(sleeper.join().expect("no panic"));
            assert!(bounded.join().expect("no panic"));
        });
        assert!(!source.is_cancelled());
    });
}

#[test]
fn a_hostile_waker_counts_and_the_token_gives_every_clone_back() {
    let hostile = HostileWaker::new();
    let source = Source::new();
    let waker = hostile.waker();
    let mut woken = Box::pin(source.token().cancelled_owned());
    let mut dropped = Box::pin(source.token().cancelled_owned());
    assert!(poll_with(woken.as_mut(), &waker).is_pending());
    assert!(poll_with(dropped.as_mut(), &waker).is_pending());
    assert!(poll_with(dropped.as_mut(), &waker).is_pending());
    assert_eq!(hostile.wakes(), 0);
    let (clones, drops) = (hostile.clones(), hostile.drops());
    assert_eq!(clones - drops, 2, "one for each that waits");
    drop(dropped);
    assert_eq!(hostile.drops(), drops + 1);
    source.cancel();
    assert_eq!(hostile.wakes(), 1);
    assert!(poll_once(woken.as_mut()).is_ready());
    drop((woken, waker));
    assert_eq!(hostile.drops(), clones - 1 + 1, "all but the woken one, and our own");
}

#[test]
fn a_hostile_waker_calls_its_hooks() {
    let source = Source::new();
    let child = source.child();
    let seen = child.token();
    let hostile = HostileWaker::new().on_wake(move || {
        assert!(seen.is_cancelled());
        panics::planned("a hostile waker");
    });
    let mut wait = Box::pin(source.token().cancelled_owned());
    assert!(poll_with(wait.as_mut(), &hostile.waker()).is_pending());
    assert_eq!(panic_of(|| source.cancel()), "planned: a hostile waker");
    assert_eq!(hostile.wakes(), 1);

    let hostile = HostileWaker::new().on_clone(|| panics::planned("a hostile clone"));
    let waker = hostile.waker();
    let mut wait = Box::pin(Source::new().token().cancelled_owned());
    assert_eq!(panic_of(|| poll_with(wait.as_mut(), &waker)), "planned: a hostile clone");
}

#[test]
fn a_hostile_waker_says_when_it_is_dropped_and_how_often_it_was_woken() {
    let dropped = Count::new();
    let count = dropped.clone();
    let hostile = HostileWaker::new().on_drop(move || count.add());
    let (waker, other) = (hostile.waker(), hostile.waker());
    assert_eq!((dropped.get(), hostile.drops()), (0, 0));
    drop(waker);
    assert_eq!((dropped.get(), hostile.drops()), (1, 1));
    let before = format!("{hostile:?}");
    assert!(before.contains("HostileWaker"), "{before}");
    other.wake_by_ref();
    assert_ne!(format!("{hostile:?}"), before);
}

#[test]
fn a_clock_that_is_held_weakly_is_there_while_somebody_uses_it() {
    let clock = ManualClock::new();
    clock.advance(SECOND);
    let own = clock.clock();
    let weak = own.downgrade();
    let source = Source::with_clock(own);
    let child = source.child();
    drop(source);
    let upgraded = weak.upgrade().expect("a child uses it");
    assert_eq!((upgraded.now(), child.token().clock().now()), (clock.now(), clock.now()));
    assert_eq!(format!("{upgraded:?} {weak:?}"), "Clock(own) WeakClock(own)");
    drop((upgraded, child, clock));
    assert!(weak.upgrade().is_none());

    let system = Clock::system().downgrade();
    assert_eq!(
        format!("{:?} {system:?}", system.upgrade()),
        "Some(Clock(system)) WeakClock(system)"
    );
    assert!(Token::never().clock().now() <= Instant::now());
}
