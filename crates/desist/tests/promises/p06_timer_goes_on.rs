//! Promise 6, the time keeper: whoever runs foreign code is not the one that keeps time.

use std::pin::Pin;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use desist::{Cause, Reason, Source, WhenCancelled};

use crate::common::wakers::{Event, hooked};
use crate::common::{DetailOnDrop, Gate, OnDrop, no_deadlock, poll_with};

const SOON: Duration = Duration::from_millis(20);

/// Blocks in the first deadline until the second, later one has come.
fn blocks_until_a_later_deadline(block: impl FnOnce(&Source, Box<dyn Fn() + Send + Sync>)) {
    let (first, second) = (Source::new(), Source::new());
    let (blocked, over) = (Gate::new(), Gate::new());
    let (inside, other) = (blocked.clone(), second.token());
    block(
        &first,
        Box::new(move || {
            inside.open();
            let cause = other.blocking_wait();
            assert_eq!(cause.reason(), Reason::Deadline);
            over.open();
        }),
    );
    first.cancel_after(SOON);
    blocked.wait();
    second.cancel_after(SOON);
    second.token().blocking_wait();
}

#[test]
fn a_callback_that_blocks_makes_no_later_deadline_late() {
    no_deadlock(|| {
        blocks_until_a_later_deadline(|source, wait| {
            source.token().on_cancel(move |_| wait()).detach();
        });
    });
}

#[test]
fn a_waker_that_blocks_makes_no_later_deadline_late() {
    no_deadlock(|| {
        let mut kept: Option<Pin<Box<WhenCancelled<'static>>>> = None;
        blocks_until_a_later_deadline(|source, wait| {
            let waker = hooked(move |event| {
                if event == Event::Wake {
                    wait();
                }
            });
            let mut future = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(future.as_mut(), &waker).is_pending());
            kept = Some(future);
        });
    });
}

#[test]
fn a_captured_value_that_blocks_in_its_drop_makes_no_later_deadline_late() {
    no_deadlock(|| {
        blocks_until_a_later_deadline(|source, wait| {
            let captured = OnDrop(wait);
            source.token().on_cancel(move |_| drop(captured)).detach();
        });
    });
}

#[test]
fn callbacks_of_one_instant_that_wait_for_each_other_all_run() {
    no_deadlock(|| {
        let count = 12;
        let barrier = Arc::new(Barrier::new(count + 1));
        let at = Instant::now() + SOON;
        let sources: Vec<Source> = (0..count)
            .map(|_| {
                let source = Source::with_deadline(at);
                let all = Arc::clone(&barrier);
                source
                    .token()
                    .on_cancel(move |_| {
                        all.wait();
                    })
                    .detach();
                source
            })
            .collect();
        barrier.wait();
        assert!(sources.iter().all(Source::is_cancelled));
    });
}

#[test]
fn callbacks_of_several_instants_that_wait_for_each_other_all_run() {
    no_deadlock(|| {
        let count = 8;
        let barrier = Arc::new(Barrier::new(count + 1));
        let begin = Instant::now();
        let sources: Vec<Source> = (1..=count)
            .map(|n| {
                let n = u32::try_from(n).expect("small");
                let source = Source::with_deadline(begin + Duration::from_millis(7) * n);
                let all = Arc::clone(&barrier);
                source
                    .token()
                    .on_cancel(move |_| {
                        all.wait();
                    })
                    .detach();
                source
            })
            .collect();
        barrier.wait();
        assert!(sources.iter().all(Source::is_cancelled));
    });
}

#[test]
fn a_deadline_may_be_armed_and_disarmed_in_a_callback_of_a_deadline() {
    no_deadlock(|| {
        let (source, over) = (Source::with_timeout(SOON), Gate::new());
        let (next, disarmed) = (Source::new(), Source::with_timeout(Duration::from_secs(3_600)));
        let (armed, held, done) = (next.clone(), disarmed.clone(), over.clone());
        source
            .token()
            .on_cancel(move |_| {
                armed.cancel_after(SOON);
                held.disarm();
                let cause = armed.token().blocking_wait();
                assert_eq!(cause.reason(), Reason::Deadline);
                done.open();
            })
            .detach();
        over.wait();
        assert!(!disarmed.is_cancelled());
    });
}

#[test]
fn a_detail_that_blocks_in_its_drop_makes_no_deadline_late() {
    no_deadlock(|| {
        // The waker is the last owner of a cause whose detail blocks in its drop.
        let cancelled = Source::new();
        blocks_until_a_later_deadline(|source, wait| {
            let detail = DetailOnDrop(wait);
            assert!(cancelled.cancel_with(Cause::new(Reason::Other).detail(detail)));
            let owner = cancelled;
            source.token().on_cancel(move |_| drop(owner)).detach();
        });
    });
}
