//! Trees, cancelled and not, dropped in any order; and what is attached to them.

use std::any::Any;
use std::thread;
use std::time::Duration;

use desist::{Cause, Reason, Source, Token};

use crate::common::race::{Random, Side, race};
use crate::common::wakers::{counting, on_wake};
use crate::common::{Count, block_on, panic_of, panics, poll_with};
use crate::heap::leaves_nothing;

/// A tree of about a thousand tokens with several parents here and there.
fn tree(random: &mut Random) -> Vec<Source> {
    let mut all = vec![Source::new(), Source::new()];
    for _ in 0..1_000 {
        let length = u32::try_from(all.len()).expect("small");
        let kind = random.below(5);
        let mut pick = || all[random.below(length) as usize].token();
        let next = match kind {
            0 => Source::linked([pick(), pick(), pick()]),
            1 => Token::any([pick(), pick()]).child(),
            _ => pick().child(),
        };
        all.push(next);
    }
    all
}

/// Waits and callbacks on every token, boxed so that they can be dropped in any order.
fn attached(sources: &[Source]) -> Vec<Box<dyn Any + Send>> {
    let (_, waker) = counting();
    let mut all: Vec<Box<dyn Any + Send>> = Vec::new();
    for source in sources {
        let token = source.token();
        token.on_cancel(|_| ()).detach();
        all.push(Box::new(token.on_cancel(|_| ())));
        let mut wait = Box::pin(token.cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        all.push(Box::new(wait));
        all.push(Box::new(source.clone()));
    }
    all
}

#[test]
fn live_trees_dropped_in_any_order() {
    leaves_nothing(|| {
        for seed in 0..30 {
            let mut random = Random::seeded(seed);
            let mut sources = tree(&mut random);
            let mut all = attached(&sources);
            random.shuffle(&mut sources);
            random.shuffle(&mut all);
            drop(sources);
            drop(all);
        }
    });
}

#[test]
fn cancelled_trees_dropped_in_any_order() {
    leaves_nothing(|| {
        for seed in 0..30 {
            let mut random = Random::seeded(seed);
            let mut sources = tree(&mut random);
            let mut all = attached(&sources);
            assert!(sources[0].cancel_with(Cause::new(Reason::Overload).message("full")));
            random.shuffle(&mut sources);
            random.shuffle(&mut all);
            all.truncate(1_000);
            drop(sources);
            drop(all);
        }
    });
}

#[test]
fn half_dropped_trees_cancelled_in_the_middle() {
    leaves_nothing(|| {
        for seed in 0..30 {
            let mut random = Random::seeded(seed);
            let mut sources = tree(&mut random);
            let mut all = attached(&sources);
            random.shuffle(&mut sources);
            random.shuffle(&mut all);
            sources.truncate(300);
            all.truncate(900);
            for source in sources.iter().step_by(7) {
                source.cancel_with("in the middle");
            }
            all.truncate(300);
            sources.truncate(30);
            for source in &sources {
                source.cancel();
            }
        }
    });
}

#[test]
fn trees_cancelled_and_dropped_by_several_threads() {
    leaves_nothing(|| {
        for seed in 0..20 {
            let mut random = Random::seeded(seed);
            let mut sources = tree(&mut random);
            let mut all = attached(&sources);
            random.shuffle(&mut sources);
            random.shuffle(&mut all);
            let (other_sources, other) = (sources.split_off(500), all.split_off(1_500));
            thread::scope(|scope| {
                scope.spawn(move || {
                    other_sources.iter().step_by(50).for_each(|source| drop(source.token()));
                    other_sources[0].cancel();
                    drop((other, other_sources));
                });
                sources[0].cancel();
                drop((all, sources));
            });
        }
    });
}

#[test]
fn causes_and_errors() {
    leaves_nothing(|| {
        let source = Source::new();
        let child = source.child();
        source.cancel_with(Cause::new(Reason::Other).message("x".repeat(1_000)));
        let error = child.token().check().expect_err("cancelled");
        let io = std::io::Error::from(error.clone());
        assert!(desist::find_cancelled(&io).is_some());
        let next = Token::cancelled_with(error);
        assert!(!source.cancel_with("too late, and dropped"));
        assert!(next.cancellation().is_some());
        drop(source.guard());
    });
}

#[test]
fn callbacks_that_panic() {
    leaves_nothing(|| {
        let source = Source::new();
        let child = source.child();
        child.token().on_cancel(|_| panics::planned("counted")).detach();
        source.token().on_cancel(|_| panics::planned("counted too")).detach();
        let mut wait = Box::pin(child.token().cancelled_owned());
        let waker = on_wake(|| panics::planned("a counted waker"));
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        drop(panic_of(|| source.cancel()));
        panics::forget();
    });
}

#[test]
fn callbacks_that_captured_their_own_tree_and_were_called() {
    leaves_nothing(|| {
        let source = Source::new();
        let child = source.child();
        for token in [source.token(), child.token()] {
            let all = (source.clone(), child.clone());
            token.on_cancel(move |_| drop(all)).detach();
        }
        assert!(source.cancel());
    });
}

#[test]
fn blocked_threads_and_awaited_tokens() {
    leaves_nothing(|| {
        let source = Source::new();
        let token = source.child().token();
        thread::scope(|scope| {
            scope.spawn(|| token.blocking_wait());
            scope.spawn(|| block_on(token.cancelled()));
            scope.spawn(|| block_on(token.run(std::future::pending::<()>())).is_err());
            source.cancel();
        });
    });
}

#[test]
fn callbacks_that_are_detached_when_nobody_else_is_left() {
    leaves_nothing(|| {
        let source = Source::new();
        let captured = vec![0_u8; 64];
        let registration = source.token().on_cancel(move |_| drop(captured));
        drop(source);
        registration.detach();
    });
}

#[test]
fn deadlines_that_are_armed_later_than_the_signal_was_made() {
    let hour = Duration::from_secs(3_600);
    leaves_nothing(|| {
        let (kept, cancelled, child) = (Source::new(), Source::new(), Source::new().child());
        for source in [&kept, &cancelled, &child] {
            source.cancel_after(hour);
        }
        cancelled.cancel();
        assert!(kept.token().deadline().is_some());
    });
}

#[cfg(feature = "testing")]
#[test]
fn every_checkpoint_of_a_body() {
    leaves_nothing(|| {
        let found = desist::testing::every_checkpoint(|token: Token| {
            let child = token.child();
            (0..10).all(|_| child.token().check().is_ok())
        });
        assert_eq!(found, 10);
    });
}

#[test]
fn callbacks_registered_in_the_moment_of_the_cancel() {
    leaves_nothing(|| {
        race(
            Source::new,
            Source::cancel,
            |source| {
                // It takes its time to bring so much to the heap, after the first look at the token.
                let (called, captured) = (Count::new(), [7_u64; 8_192]);
                let count = called.clone();
                let registration = source.token().on_cancel(move |_| {
                    assert_eq!(captured[1], 7);
                    count.add();
                });
                let before = called.get();
                registration.unregister();
                before == 1
            },
            |_source, _cancelled, called| Side::left_if(called),
        );
    });
}
