//! Faults that were once found in this crate, each as a test that saw it.
#![cfg(feature = "testing")]

mod common;

use std::error::Error;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use desist::testing::{HostileWaker, ManualClock};
use desist::{Clock, Reason, Source, TimeSource, Token};

use common::{no_deadlock, poll_with};

/// A future that is forgotten after its poll never takes itself off the signal's list.
#[test]
fn a_wait_that_was_forgotten_lets_go_of_its_waker_with_the_signal() {
    let hostile = HostileWaker::new();
    let source = Source::new();
    {
        let token = source.token();
        let mut wait = Box::pin(token.cancelled());
        assert!(poll_with(wait.as_mut(), &hostile.waker()).is_pending());
        mem::forget(wait);
    }
    {
        let token = source.token();
        let mut run = Box::pin(token.run(std::future::pending::<()>()));
        assert!(poll_with(run.as_mut(), &hostile.waker()).is_pending());
        mem::forget(run);
    }
    drop(source);
    assert_eq!(hostile.drops(), hostile.clones() + 2, "every waker is gone");
    assert_eq!(hostile.wakes(), 0);
}

/// The same where the signal is cancelled first.
#[test]
fn a_wait_that_was_forgotten_is_woken() {
    let hostile = HostileWaker::new();
    let source = Source::new();
    let token = source.token();
    let mut wait = Box::pin(token.cancelled());
    assert!(poll_with(wait.as_mut(), &hostile.waker()).is_pending());
    mem::forget(wait);
    source.cancel();
    assert_eq!(hostile.wakes(), 1);
}

/// The last handle goes in the very moment in which the deadline fires.
#[test]
fn a_handle_dropped_while_its_deadline_fires() {
    no_deadlock(|| {
        let parent = Source::new();
        let fired = Arc::new(AtomicUsize::new(0));
        let (mut early, mut late) = (0, 0);
        for round in 0..4_000_u64 {
            let timeout = Duration::from_micros(1_000);
            let armed = Instant::now();
            let source = if round % 2 == 0 {
                Source::with_timeout(timeout)
            } else {
                parent.token().child_with_timeout(timeout)
            };
            let fired = Arc::clone(&fired);
            source
                .token()
                .on_cancel(move |_| {
                    fired.fetch_add(1, Ordering::Relaxed);
                })
                .detach();
            // Between one and a bit more than two ticks after the arming.
            let wait = Duration::from_nanos(1_000_000 + round * 977 % 1_300_000);
            while armed.elapsed() < wait {
                std::hint::spin_loop();
            }
            if source.is_cancelled() {
                late += 1;
            } else {
                early += 1;
            }
            drop(source);
        }
        assert!(early > 0 && late > 0, "the drop came first {early} times, the deadline {late}");
    });
}

/// The parent goes, cancelled, while somebody looks up at it.
#[test]
fn a_token_that_is_being_cancelled_never_says_that_it_cannot_be() {
    no_deadlock(|| {
        let tell = Arc::new(Mutex::new(None::<Source>));
        let stop = Arc::new(AtomicBool::new(false));
        let canceller = {
            let (told, stop) = (Arc::clone(&tell), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let source = told.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some(source) = source {
                        source.cancel();
                    }
                }
            })
        };
        let begun = Instant::now();
        let (mut before, mut after) = (0, 0);
        while (before < 20 || after < 20) && begun.elapsed() < Duration::from_secs(30) {
            // Parents that cannot be cancelled any more, and at last one that is.
            let mut parents: Vec<Token> = (0..100).map(|_| Source::new().token()).collect();
            let last = Source::new();
            parents.push(last.token());
            let token = Source::linked(&parents).token();
            parents.pop();
            *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            while !token.is_cancelled() {
                let live = !token.is_cancelled();
                assert!(token.can_be_cancelled());
                assert_ne!(Token::any([&token]), Token::never());
                if live && token.is_cancelled() {
                    after += 1;
                } else {
                    before += 1;
                }
            }
        }
        stop.store(true, Ordering::Release);
        canceller.join().expect("no panic");
        assert!(before > 0 && after > 0, "asked {before} times before, {after} times during it");
    });
}

/// Looks upward race with the end of what they look at.
#[test]
fn a_deadline_that_fires_does_not_vanish_meanwhile() {
    no_deadlock(|| {
        for _ in 0..300 {
            let source = Source::with_timeout(Duration::from_millis(1));
            let token = source.child().child().token();
            drop(source);
            while !token.is_cancelled() {
                assert!(token.deadline().is_some());
            }
            assert!(token.deadline().is_some(), "it is what cancelled it");
        }
    });
}

struct PanicsWhenDropped(Instant);

impl TimeSource for PanicsWhenDropped {
    fn now(&self) -> Instant {
        self.0
    }

    fn arm(&self, _next: Option<Instant>) {}
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        common::panics::planned("a clock's drop");
    }
}

/// A panic in what a cancel frees, in the middle of it, strands nobody.
#[test]
fn a_clock_that_panics_when_dropped_strands_nobody() {
    let ancestor = Source::new();
    let other = Source::with_clock(Clock::new(PanicsWhenDropped(Instant::now())));
    let token = Source::linked([other.token(), ancestor.token()]).token();
    // The other parent holds the last handle of the child, and is freed in the middle of it.
    other.token().on_cancel(move |_| drop(token)).detach();
    drop(other);
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    ancestor
        .token()
        .on_cancel(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .detach();
    let hostile = HostileWaker::new();
    let mut wait = Box::pin(ancestor.token().cancelled_owned());
    assert!(poll_with(wait.as_mut(), &hostile.waker()).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| ancestor.cancel())).is_err());
    assert_eq!((hostile.wakes(), called.load(Ordering::Relaxed)), (1, 1));
}

struct PanicsOnce {
    now: Mutex<Instant>,
    armed: AtomicBool,
}

impl TimeSource for PanicsOnce {
    fn now(&self) -> Instant {
        if self.armed.swap(false, Ordering::Relaxed) {
            common::panics::planned("a clock's now");
        }
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, _next: Option<Instant>) {}
}

/// Whenever `now` panics, the deadline is not lost.
#[test]
fn a_clock_whose_now_panics_loses_no_deadline() {
    let time = Arc::new(PanicsOnce { now: Instant::now().into(), armed: false.into() });
    let clock = Clock::new(Arc::clone(&time));
    let source = Source::with_clock(clock.clone());
    source.cancel_after(Duration::from_secs(1));
    *time.now.lock().expect("not poisoned") += Duration::from_secs(2);
    time.armed.store(true, Ordering::Relaxed);
    assert!(catch_unwind(AssertUnwindSafe(|| clock.fire_due())).is_err());
    assert!(!source.is_cancelled());
    clock.fire_due();
    assert_eq!(source.token().reason(), Some(Reason::Deadline));
}

/// Many deadlines of one instant do not cost their square.
#[test]
fn a_hundred_thousand_deadlines_of_one_instant() {
    no_deadlock(|| {
        let clock = ManualClock::new();
        let due = clock.now() + Duration::from_secs(1);
        let sources: Vec<_> = (0..100_000)
            .map(|_| {
                let source = Source::with_clock(clock.clock());
                source.cancel_at(due);
                source
            })
            .collect();
        clock.advance(Duration::from_secs(1));
        assert!(sources.iter().all(Source::is_cancelled));
    });
}

/// A cause that is passed on is told once.
#[test]
fn a_cause_that_was_passed_on_does_not_repeat_itself() {
    let mut cause = Token::cancelled_with(Reason::Shutdown.with("SIGTERM")).check().unwrap_err();
    for _ in 0..100_000 {
        cause = Token::cancelled_with(cause).check().unwrap_err();
    }
    let mut chain = vec![cause.to_string()];
    let mut source = cause.source();
    while let Some(error) = source {
        chain.push(error.to_string());
        source = error.source();
    }
    assert_eq!(chain, ["cancelled: shutdown", "SIGTERM"]);
    assert!(format!("{cause:?}").len() < 500, "and is printed without recursion");
    assert_eq!(cause.detail().map(ToString::to_string).as_deref(), Some("cancelled: shutdown"));
}

/// Children go as fast as they are marked, while the cause is cloned.
#[test]
fn a_wide_tree_that_goes_while_it_is_marked_and_asked_why() {
    const CHILDREN: usize = if cfg!(miri) { 200 } else { 20_000 };
    for _ in 0..if cfg!(miri) { 1 } else { 20 } {
        let parent = Source::new();
        let kept = parent.child().token();
        let mut children: Vec<Source> = (0..CHILDREN).map(|_| parent.child()).collect();
        let asked = parent.child().token();
        thread::scope(|scope| {
            scope.spawn(|| {
                // The newest is marked first.
                while let Some(child) = children.pop() {
                    while !child.is_cancelled() {
                        std::hint::spin_loop();
                    }
                }
            });
            scope.spawn(|| {
                asked.blocking_wait();
                while !kept.is_cancelled() {
                    assert_eq!(asked.reason(), Some(Reason::Superseded));
                    drop(asked.cancellation());
                }
            });
            parent.cancel_with(Reason::Superseded);
        });
        assert_eq!(kept.reason(), Some(Reason::Superseded));
    }
}
