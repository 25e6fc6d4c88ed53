//! A million of each, created and dropped.

use std::pin::{Pin, pin};
use std::time::Duration;

use desist::{Registration, Source, Token, WhenCancelled};

use crate::common::race::Random;
use crate::common::wakers::counting;
use crate::common::{MILLION, poll_with};
use crate::heap::leaves_nothing;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn children_under_one_parent() {
    let parent = Source::new();
    leaves_nothing(|| {
        for _ in 0..MILLION {
            drop(parent.child());
        }
    });
    assert!(parent.cancel());
}

#[test]
fn children_that_live_at_the_same_time() {
    let parent = Source::new();
    leaves_nothing(|| {
        let mut children: Vec<Source> = (0..MILLION).map(|_| parent.child()).collect();
        Random::new().shuffle(&mut children);
        drop(children);
    });
}

#[test]
fn children_with_a_callback_and_a_wait_each() {
    let parent = Source::new();
    let (_, waker) = counting();
    leaves_nothing(|| {
        for n in 0..MILLION / 2 {
            let child = parent.child();
            child.token().on_cancel(move |_| assert!(n < MILLION)).detach();
            let mut wait = pin!(child.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
        }
    });
}

#[test]
fn waits_polled_and_dropped() {
    let source = Source::new();
    let token = source.token();
    let (_, waker) = counting();
    leaves_nothing(|| {
        for _ in 0..MILLION {
            let mut wait = pin!(token.cancelled());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
        }
    });
}

#[test]
fn waits_that_live_at_the_same_time() {
    let source = Source::new();
    let (_, waker) = counting();
    leaves_nothing(|| {
        let mut waits: Vec<Pin<Box<WhenCancelled<'static>>>> = (0..MILLION / 2)
            .map(|_| {
                let mut wait = Box::pin(source.token().cancelled_owned());
                assert!(poll_with(wait.as_mut(), &waker).is_pending());
                wait
            })
            .collect();
        Random::new().shuffle(&mut waits);
        drop(waits);
    });
}

#[test]
fn callbacks_registered_and_dropped() {
    let token_source = Source::new();
    let token = token_source.token();
    leaves_nothing(|| {
        for n in 0..MILLION {
            let registration = token.on_cancel(move |_| assert!(n < MILLION));
            match n % 4 {
                0 => drop(registration),
                1 => assert!(registration.unregister()),
                2 => assert!(registration.blocking_unregister()),
                _ => drop(registration.unregistered()),
            }
        }
    });
}

#[test]
fn callbacks_that_live_at_the_same_time() {
    let source = Source::new();
    let token = source.token();
    leaves_nothing(|| {
        let mut held: Vec<Registration> =
            (0..MILLION / 2).map(|n| token.on_cancel(move |_| assert!(n < MILLION))).collect();
        Random::new().shuffle(&mut held);
        drop(held);
    });
}

#[test]
fn timers_armed_and_dropped() {
    leaves_nothing(|| {
        for _ in 0..MILLION {
            drop(Source::with_timeout(HOUR));
        }
    });
}

#[test]
fn timers_that_live_at_the_same_time() {
    leaves_nothing(|| {
        let mut random = Random::new();
        let mut timers: Vec<Token> = (0..MILLION)
            .map(|_| {
                let after = Duration::from_millis(600_000 + random.next() % 3_000_000);
                Source::with_timeout(after).token()
            })
            .collect();
        random.shuffle(&mut timers);
        drop(timers);
    });
}

#[test]
fn timers_of_children_rearmed_and_disarmed() {
    let parent = Source::new();
    leaves_nothing(|| {
        let children: Vec<Source> =
            (0..MILLION / 4).map(|_| parent.token().child_with_timeout(HOUR)).collect();
        for (n, child) in children.iter().enumerate() {
            match n % 3 {
                0 => child.disarm(),
                1 => child.cancel_after(HOUR * 2),
                _ => assert!(child.cancel()),
            }
        }
    });
}

#[cfg(feature = "testing")]
#[test]
fn timers_on_a_clock_moved_by_hand_dropped_or_fired() {
    leaves_nothing(|| {
        let clock = desist::testing::ManualClock::new();
        let root = Source::with_clock(clock.clock());
        let mut timers: Vec<Source> = (0..MILLION / 4)
            .map(|n| {
                let after = Duration::from_millis(1 + (n as u64 * 7_919) % 100_000);
                root.token().child_with_timeout(after)
            })
            .collect();
        clock.advance(Duration::from_secs(50));
        Random::new().shuffle(&mut timers);
        timers.truncate(MILLION / 8);
        clock.advance(Duration::from_secs(50));
        assert!(timers.iter().all(Source::is_cancelled));
    });
}

#[test]
fn linked_sources() {
    let parents: Vec<Source> = (0..4).map(|_| Source::new()).collect();
    let tokens: Vec<Token> = parents.iter().map(Source::token).collect();
    leaves_nothing(|| {
        for n in 0..MILLION / 2 {
            let parents = &tokens[..n % 5];
            drop((Source::linked(parents), Token::any(parents)));
        }
    });
    leaves_nothing(|| {
        let mut linked: Vec<Source> = (0..MILLION / 4).map(|_| Source::linked(&tokens)).collect();
        Random::new().shuffle(&mut linked);
        drop(linked);
    });
}

#[test]
fn cancelled_children_of_a_live_parent() {
    let parent = Source::new();
    leaves_nothing(|| {
        let children: Vec<Source> = (0..MILLION / 2).map(|_| parent.child()).collect();
        assert!(children.iter().all(|child| child.cancel_with("done")));
    });
    leaves_nothing(|| {
        for _ in 0..MILLION / 2 {
            assert!(parent.child().cancel());
        }
    });
}
