//! Durations and instants beyond any range.

use std::time::{Duration, Instant};

use desist::{Reason, Source, Token};

use crate::common::no_deadlock;

/// Durations at the edges of everything that counts time.
fn edges() -> Vec<Duration> {
    let mut edges = vec![Duration::MAX, Duration::MAX - Duration::from_nanos(1)];
    for bits in [31, 32, 33, 47, 48, 53, 62, 63] {
        let near = 1_u64 << bits;
        for value in [near - 1, near, near + 1] {
            edges.extend([
                Duration::from_secs(value),
                Duration::from_millis(value),
                Duration::from_micros(value),
                Duration::from_nanos(value),
            ]);
        }
    }
    edges.push(Duration::from_secs(u64::MAX));
    // What is left really is in the future of this test.
    edges.retain(|edge| *edge > Duration::from_secs(600));
    edges
}

/// The latest instant that can be written down.
fn last_instant() -> Instant {
    let mut instant = Instant::now();
    let mut step = Duration::from_secs(1 << 62);
    while step > Duration::from_secs(1) {
        match instant.checked_add(step) {
            Some(later) => instant = later,
            None => step /= 2,
        }
    }
    instant
}

/// The earliest instant that can be written down.
fn first_instant() -> Instant {
    let mut instant = Instant::now();
    let mut step = Duration::from_secs(1 << 62);
    while step > Duration::from_nanos(1) {
        match instant.checked_sub(step) {
            Some(earlier) => instant = earlier,
            None => step /= 2,
        }
    }
    instant
}

#[test]
fn durations_beyond_any_range_are_as_if_not_armed_or_far_away() {
    let parent = Source::new();
    let armed = Source::new();
    for edge in edges() {
        armed.cancel_after(edge);
        for source in [
            Source::with_timeout(edge),
            parent.token().child_with_timeout(edge),
            parent.token().shielded_for(edge),
            armed.clone(),
        ] {
            let token = source.token();
            assert!(!token.is_cancelled(), "{edge:?}");
            assert!(token.check().is_ok(), "{edge:?}");
            if let Some(left) = token.remaining() {
                assert!(left > Duration::from_secs(500), "{edge:?}");
            }
        }
    }
    armed.disarm();
    assert!(armed.cancel());
}

#[test]
fn instants_far_away_are_as_if_not_armed_or_far_away() {
    let parent = Source::new();
    let mut instants = vec![last_instant()];
    instants.extend(edges().into_iter().filter_map(|edge| Instant::now().checked_add(edge)));
    for at in instants {
        parent.cancel_at(at);
        for source in
            [Source::with_deadline(at), parent.token().child_with_deadline(at), parent.child()]
        {
            assert!(!source.is_cancelled(), "{at:?}");
            let _ = (source.token().deadline(), source.token().remaining());
            assert!(source.token().can_be_cancelled());
        }
    }
    assert!(!parent.is_cancelled());
}

#[test]
fn instants_long_gone_are_cancelled_at_once() {
    let past = first_instant();
    let armed = Source::new();
    armed.cancel_at(past);
    let token = Token::never();
    for source in [armed, Source::with_deadline(past), token.child_with_deadline(past)] {
        assert_eq!(source.token().reason(), Some(Reason::Deadline));
        let _ = (source.token().deadline(), source.token().remaining());
    }
}

#[test]
fn blocking_with_endless_bounds_ends_by_the_signal() {
    no_deadlock(|| {
        let source = Source::new();
        let token = source.token();
        std::thread::scope(|scope| {
            let waiters = [
                scope.spawn(|| token.blocking_wait_timeout(Duration::MAX).is_some()),
                scope.spawn(|| token.blocking_sleep(Duration::MAX).is_err()),
                scope.spawn(|| token.blocking_wait_timeout(Duration::from_secs(1 << 62)).is_some()),
                scope.spawn(|| token.blocking_sleep(Duration::from_secs(u64::MAX)).is_err()),
            ];
            source.cancel();
            for waiter in waiters {
                assert!(waiter.join().expect("no panic"));
            }
        });
        assert!(Token::never().blocking_wait_timeout(Duration::ZERO).is_none());
        assert!(Token::never().blocking_sleep(Duration::ZERO).is_ok());
        assert!(token.blocking_sleep(Duration::ZERO).is_err());
    });
}

#[test]
fn the_shortest_deadlines_come() {
    no_deadlock(|| {
        for nanos in [0, 1, 2, 999, 1_000, 1_001, 999_999, 1_000_000, 1_000_001] {
            let source = Source::with_timeout(Duration::from_nanos(nanos));
            assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
        }
    });
}

#[test]
fn rearming_without_end_is_no_leak_and_no_panic() {
    let source = Source::new();
    let far = last_instant();
    for round in 0..20_000_u64 {
        source.cancel_after(Duration::from_secs(600 + round * round * round));
        source.cancel_at(far);
        source.cancel_after(Duration::MAX);
        if round % 3 == 0 {
            source.disarm();
        }
    }
    assert!(!source.is_cancelled());
    source.cancel_after(Duration::ZERO);
    assert!(source.is_cancelled());
}

#[cfg(feature = "testing")]
#[test]
fn a_clock_may_be_moved_beyond_any_range() {
    use desist::testing::ManualClock;

    let clock = ManualClock::new();
    let source = Source::with_clock(clock.clock());
    let endless = source.token().child_with_timeout(Duration::MAX);
    let long = source.token().child_with_timeout(Duration::from_secs(1 << 40));
    clock.advance(Duration::ZERO);
    assert!(!long.is_cancelled());
    let armed = long.token().deadline().is_some();
    clock.advance(Duration::from_secs(1 << 41));
    assert_eq!(long.is_cancelled(), armed, "longer than any timer is as if not armed");
    let before = clock.now();
    clock.advance(Duration::MAX);
    clock.advance(Duration::MAX);
    assert!(clock.now() >= before);
    assert!(!endless.is_cancelled());
    // And it still works there, if only for what is due at once.
    let last = Source::with_clock(clock.clock());
    last.cancel_after(Duration::ZERO);
    assert!(last.is_cancelled());
}

#[cfg(feature = "testing")]
#[test]
fn many_far_deadlines_on_a_clock_by_hand_come_in_order() {
    use desist::testing::ManualClock;

    let clock = ManualClock::new();
    let root = Source::with_clock(clock.clock());
    let log = crate::common::Log::new();
    let held: Vec<_> = (0..34_u32)
        .rev()
        .map(|bits| {
            let child = root.token().child_with_timeout(Duration::from_secs(1 << bits));
            let log = log.clone();
            let held = child.token().on_cancel(move |_| log.push(bits));
            (child, held)
        })
        .collect();
    clock.advance(Duration::from_secs(1 << 20));
    assert_eq!(log.take(), (0..=20).collect::<Vec<_>>());
    clock.advance(Duration::from_secs(1 << 34));
    assert_eq!(log.take(), (21..34).collect::<Vec<_>>());
    drop(held);
}

#[cfg(feature = "testing")]
#[test]
fn the_first_instant_that_is_too_late_for_any_clock_is_as_if_not_armed() {
    use desist::testing::ManualClock;

    const TOO_LATE: u64 = u64::MAX - 1;
    let clock = ManualClock::new();
    let begin = clock.now();
    let armed = |nanos| {
        let after = Duration::from_nanos(nanos);
        let sources = [0, 1].map(|_| Source::with_clock(clock.clock()));
        sources[0].cancel_after(after);
        sources[1].cancel_at(begin + after);
        sources.map(|source| (source.token().deadline(), source))
    };
    let (last, never) = (armed(TOO_LATE - 1), armed(TOO_LATE));
    for (deadline, _) in &last {
        assert_eq!(*deadline, Some(begin + Duration::from_nanos(TOO_LATE - 1)));
    }
    for (deadline, _) in &never {
        assert_eq!(*deadline, None);
    }
    clock.advance(Duration::from_nanos(u64::MAX));
    assert!(last.iter().all(|(_, source)| source.is_cancelled()));
    assert!(!never.iter().any(|(_, source)| source.is_cancelled()));
}
