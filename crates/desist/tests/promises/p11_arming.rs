//! Promise 11, arming: at once, replaced, disarmed, held by whoever can see it, or never.

use std::time::{Duration, Instant};

use desist::{Reason, Source, Token};

use crate::common::{Captured, Log, cause_of};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_zero_deadline_is_cancelled_synchronously() {
    let (armed, at) = (Source::new(), Source::new());
    armed.cancel_after(Duration::ZERO);
    at.cancel_at(Instant::now());
    let parent = Source::new();
    let token = parent.token();
    let child = token.child();
    child.cancel_after(Duration::ZERO);
    let now = Instant::now();
    for (name, source) in [
        ("with_timeout", Source::with_timeout(Duration::ZERO)),
        ("with_deadline", Source::with_deadline(now)),
        ("cancel_after", armed),
        ("cancel_at", at),
        ("child_with_timeout", token.child_with_timeout(Duration::ZERO)),
        ("child_with_deadline", token.child_with_deadline(now)),
        ("cancel_after of a child", child),
        ("shielded_for", token.shielded_for(Duration::ZERO)),
        ("child of never", Token::never().child_with_timeout(Duration::ZERO)),
    ] {
        assert!(source.is_cancelled(), "{name}");
        assert_eq!(source.token().reason(), Some(Reason::Deadline), "{name}");
        assert!(!source.cancel(), "{name}");
    }
    assert!(!parent.is_cancelled());
}

#[test]
fn a_past_deadline_is_cancelled_synchronously() {
    let Some(past) = Instant::now().checked_sub(Duration::from_millis(1)) else {
        return;
    };
    let source = Source::new();
    source.cancel_at(past);
    let token = Token::never();
    for source in [source, Source::with_deadline(past), token.child_with_deadline(past)] {
        assert_eq!(source.token().reason(), Some(Reason::Deadline));
    }
}

#[test]
fn a_zero_deadline_has_called_its_callbacks_and_its_descendants_when_it_returns() {
    let source = Source::new();
    let child = source.child();
    let log = Log::new();
    let to = log.clone();
    let _held = child.token().on_cancel(move |cause| {
        to.push((cause.reason(), std::thread::current().id()));
    });
    source.cancel_after(Duration::ZERO);
    assert_eq!(log.take(), [(Reason::Deadline, std::thread::current().id())]);
    assert!(child.is_cancelled());
}

#[test]
fn two_sources_with_a_zero_deadline_are_two_signals() {
    let left = Source::with_timeout(Duration::ZERO).token();
    let right = Source::with_timeout(Duration::ZERO).token();
    assert_ne!(left, right);
    assert_ne!(left, Token::never());
}

#[test]
fn longer_than_any_timer_is_as_if_not_armed() {
    let parent = Source::new();
    let token = parent.token();
    let armed = Source::new();
    armed.cancel_after(Duration::MAX);
    let replaced = Source::with_timeout(HOUR);
    replaced.cancel_after(Duration::MAX);
    for (name, source) in [
        ("with_timeout", Source::with_timeout(Duration::MAX)),
        ("cancel_after", armed),
        ("replaced", replaced),
        ("child", token.child_with_timeout(Duration::MAX)),
        ("shielded_for", token.shielded_for(Duration::MAX)),
    ] {
        assert!(!source.is_cancelled(), "{name}");
        assert_eq!(source.token().deadline(), None, "{name}");
        assert_eq!(source.token().remaining(), None, "{name}");
        assert!(source.token().can_be_cancelled(), "{name}: by its source");
    }
    let alone = Source::with_timeout(Duration::MAX).token();
    assert!(!alone.can_be_cancelled());
}

#[test]
fn a_child_with_an_endless_timeout_still_inherits() {
    let parent = Source::with_timeout(HOUR);
    let child = parent.token().child_with_timeout(Duration::MAX);
    assert_eq!(child.token().deadline(), parent.token().deadline());
    assert!(child.token().deadline().is_some());
}

#[test]
fn long_deadlines_are_never_early_and_never_a_panic() {
    let mut durations = vec![Duration::MAX - Duration::from_nanos(1)];
    durations.extend((0..64).map(|bit| Duration::from_secs(1_u64 << bit)).skip(8));
    durations.extend([
        Duration::from_millis(u64::from(u32::MAX) - 1),
        Duration::from_millis(u64::from(u32::MAX)),
        Duration::from_nanos(u64::MAX),
        Duration::from_micros(u64::MAX),
        Duration::from_millis(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
    ]);
    let parent = Source::new();
    for duration in durations {
        let before = Instant::now();
        let source = Source::with_timeout(duration);
        let child = parent.token().child_with_timeout(duration);
        parent.cancel_after(duration);
        for token in [source.token(), child.token(), parent.token()] {
            assert!(!token.is_cancelled(), "{duration:?}");
            if let Some(deadline) = token.deadline() {
                assert!(Some(deadline) >= before.checked_add(duration), "{duration:?}");
            }
        }
        if let Some(at) = before.checked_add(duration) {
            let source = Source::with_deadline(at);
            parent.cancel_at(at);
            assert!(!source.is_cancelled() && !parent.is_cancelled(), "{duration:?}");
        }
    }
}

#[test]
fn arming_replaces_what_was_armed() {
    let source = Source::with_timeout(HOUR);
    let token = source.token();
    let first = token.deadline().expect("armed");
    source.cancel_after(HOUR * 2);
    let later = token.deadline().expect("armed");
    assert!(later > first);
    source.cancel_after(HOUR / 2);
    let sooner = token.deadline().expect("armed");
    assert!(sooner < first);
    source.cancel_at(first);
    let again = token.deadline().expect("armed");
    assert!(first <= again && again <= first + Duration::from_millis(4));
    source.disarm();
    assert_eq!(token.deadline(), None);
    assert_eq!(token.remaining(), None);
    source.disarm();
    assert!(!source.is_cancelled());
}

#[test]
fn arming_is_a_no_op_once_cancelled() {
    let source = Source::new();
    source.cancel_with("gone");
    let cause = cause_of(&source.token());
    source.cancel_after(Duration::ZERO);
    source.cancel_at(Instant::now());
    source.cancel_after(HOUR);
    assert_eq!(source.token().deadline(), None, "nothing is armed any more");
    source.disarm();
    crate::common::assert_same_cause(&cause, &cause_of(&source.token()));
}

#[test]
fn an_armed_deadline_makes_a_token_cancellable_without_a_source() {
    let token = Source::with_timeout(HOUR).token();
    assert!(token.can_be_cancelled());
    assert!(token.deadline().is_some());
    let child = token.child().token();
    assert!(child.can_be_cancelled(), "by its parent's deadline");

    let source = Source::with_timeout(HOUR);
    let disarmed = source.token();
    source.disarm();
    drop(source);
    assert!(!disarmed.can_be_cancelled());
}

#[test]
fn when_nobody_is_left_the_timer_is_gone_too() {
    // A detached callback sees nothing: what it captured is dropped with the last handle.
    let captured = Captured::new();
    let source = Source::with_timeout(HOUR);
    let handle = captured.handle();
    source.token().on_cancel(move |_| drop(handle)).detach();
    let child = source.child();
    drop(source);
    assert_eq!(captured.held(), 1, "the child can see the deadline");
    drop(child);
    assert_eq!(captured.held(), 0);
}

#[cfg(feature = "testing")]
mod by_hand {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::Waker;

    use desist::testing::ManualClock;

    use super::*;
    use crate::common::wakers::counting;
    use crate::common::{Count, poll_with};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_armed_deadline_holds_for_a_token_when_every_source_is_gone() {
        let clock = ManualClock::new();
        let source = Source::with_clock(clock.clock());
        source.cancel_after(SECOND);
        let token = source.token();
        drop(source);
        clock.advance(SECOND);
        assert_eq!(token.reason(), Some(Reason::Deadline));
    }

    #[test]
    fn an_armed_deadline_holds_for_a_held_registration_alone() {
        let clock = ManualClock::new();
        let called = Count::new();
        let count = called.clone();
        let registration = {
            let source = Source::with_clock(clock.clock());
            source.cancel_after(SECOND);
            source.token().on_cancel(move |_| count.add())
        };
        clock.advance(SECOND);
        assert_eq!(called.get(), 1);
        assert!(!registration.unregister());
    }

    #[test]
    fn an_armed_deadline_holds_for_a_pending_future_alone() {
        let clock = ManualClock::new();
        let owned = || {
            let source = Source::with_clock(clock.clock());
            source.cancel_after(SECOND);
            source.token()
        };
        let (wakes, waker) = counting();
        let mut futures: Vec<Pin<Box<dyn Future<Output = Reason>>>> = vec![
            Box::pin(async { owned().cancelled_owned().await.reason() }),
            Box::pin(async { owned().await.reason() }),
            Box::pin(async {
                let ran = owned().run_owned(std::future::pending::<()>()).await;
                ran.expect_err("never completes").reason()
            }),
        ];
        for future in &mut futures {
            assert!(poll_with(future.as_mut(), &waker).is_pending());
        }
        clock.advance(SECOND);
        assert_eq!(wakes.get(), 3);
        for future in &mut futures {
            let ready = poll_with(future.as_mut(), Waker::noop());
            assert_eq!(ready, std::task::Poll::Ready(Reason::Deadline));
        }
    }

    #[test]
    fn an_armed_deadline_holds_for_a_child_alone() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let child = root.token().child_with_timeout(SECOND).child().token();
        drop(root);
        assert!(child.can_be_cancelled());
        clock.advance(SECOND);
        assert_eq!(child.reason(), Some(Reason::Deadline));
    }

    #[test]
    fn a_deadline_that_nobody_sees_calls_nobody() {
        let clock = ManualClock::new();
        let called = Count::new();
        let count = called.clone();
        let source = Source::with_clock(clock.clock());
        source.cancel_after(SECOND);
        source.token().on_cancel(move |_| count.add()).detach();
        drop(source);
        clock.advance(SECOND * 2);
        assert_eq!(called.get(), 0);
    }

    #[test]
    fn deadline_equal_to_now_is_due() {
        let clock = ManualClock::new();
        let armed = Source::with_clock(clock.clock());
        armed.cancel_at(clock.now());
        assert_eq!(armed.token().reason(), Some(Reason::Deadline), "armed at now");

        let reached = Source::with_clock(clock.clock());
        reached.cancel_at(clock.now() + SECOND);
        clock.advance(SECOND - Duration::from_nanos(1));
        assert!(!reached.is_cancelled(), "one nanosecond before");
        clock.advance(Duration::from_nanos(1));
        assert!(reached.is_cancelled(), "reached exactly");
    }

    #[test]
    fn a_deadline_moved_back_after_firing_stays_fired() {
        let clock = ManualClock::new();
        let source = Source::with_clock(clock.clock());
        source.cancel_after(SECOND);
        clock.advance(SECOND);
        source.cancel_after(SECOND * 100);
        assert!(source.is_cancelled());
        assert_eq!(source.token().reason(), Some(Reason::Deadline));
    }

    #[test]
    fn what_was_replaced_or_disarmed_does_not_fire() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let (moved, disarmed) = (root.child(), root.child());
        moved.cancel_after(SECOND);
        disarmed.cancel_after(SECOND);
        moved.cancel_after(SECOND * 3);
        disarmed.disarm();
        clock.advance(SECOND * 2);
        assert!(!moved.is_cancelled() && !disarmed.is_cancelled());
        clock.advance(SECOND);
        assert!(moved.is_cancelled() && !disarmed.is_cancelled());
        clock.advance(SECOND * 1_000);
        assert!(!disarmed.is_cancelled() && !root.is_cancelled());
    }

    #[test]
    fn a_cancelled_source_is_not_fired_again() {
        let clock = ManualClock::new();
        let source = Source::with_clock(clock.clock());
        let called = Count::new();
        let count = called.clone();
        source.token().on_cancel(move |_| count.add()).detach();
        source.cancel_after(SECOND);
        source.cancel_with(Reason::Shutdown);
        clock.advance(SECOND * 2);
        assert_eq!(called.get(), 1);
        assert_eq!(source.token().reason(), Some(Reason::Shutdown));
    }

    #[test]
    fn the_instant_of_a_deadline_is_when_it_fired() {
        let clock = ManualClock::new();
        let source = Source::with_clock(clock.clock());
        let at = clock.now() + SECOND;
        source.cancel_at(at);
        clock.advance(SECOND * 5);
        let fired = cause_of(&source.token()).at();
        assert!(at <= fired && fired <= clock.now());
    }

    #[test]
    fn a_shield_with_a_bound_counts_from_now_on() {
        let clock = ManualClock::new();
        let root = Source::with_clock(clock.clock());
        root.cancel_after(SECOND);
        clock.advance(SECOND / 2);
        let shield = root.token().shielded_for(SECOND * 5);
        clock.advance(SECOND / 2);
        assert!(root.is_cancelled());
        assert!(!shield.is_cancelled(), "the signal does not pass the shield");
        let after = root.token().shielded_for(SECOND * 5);
        assert!(!after.is_cancelled(), "made under a cancelled token");
        clock.advance(SECOND * 5);
        assert_eq!(shield.token().reason(), Some(Reason::Deadline));
        assert_eq!(after.token().reason(), Some(Reason::Deadline));
    }
}
