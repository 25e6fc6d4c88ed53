//! The threads of the system's clock: when all of them are blocked, and what makes the one that
//! keeps time get up. Alone in their process and one after the other, because other tests would
//! wait for these threads, and these for theirs.

mod common;

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use desist::{Reason, Source};

use common::{Count, Gate, no_deadlock};

const SOON: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs `body` when no other test of this file runs.
fn alone(body: impl FnOnce() + Send + 'static) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    no_deadlock(body);
}

fn wait_until(instant: Instant) {
    while Instant::now() < instant {
        thread::yield_now();
    }
}

/// Blocks 64 callbacks, and sees all that is due fired when they return.
fn block_all() {
    const LIMIT: usize = 64;
    let (begun, leave, ended) = (Count::new(), Gate::new(), Count::new());
    let sources: Vec<Source> = (0..LIMIT + 26)
        .map(|_| {
            let source = Source::with_timeout(SOON);
            let (begun, leave, ended) = (begun.clone(), leave.clone(), ended.clone());
            source
                .token()
                .on_cancel(move |_| {
                    begun.add();
                    leave.wait();
                    ended.add();
                })
                .detach();
            source
        })
        .collect();
    while begun.get() < LIMIT {
        thread::yield_now();
    }
    // All are due by now; another deadline comes to its time and waits as well.
    let late = Source::with_timeout(SOON);
    let due = late.token().deadline().expect("armed");
    wait_until(due + SOON);
    assert!(!late.is_cancelled(), "nobody is left to fire it");
    assert_eq!((begun.get(), ended.get()), (LIMIT, 0));
    leave.open();
    for source in sources.iter().chain([&late]) {
        assert_eq!(source.token().blocking_wait().reason(), Reason::Deadline);
    }
    while ended.get() < sources.len() {
        thread::yield_now();
    }
}

#[test]
fn sixty_four_callbacks_may_block_and_what_comes_then_waits() {
    alone(block_all);
}

#[test]
fn threads_that_were_blocked_go_and_others_take_their_place() {
    // Each round needs as many threads as there may ever be.
    alone(|| (0..3).for_each(|_| block_all()));
}

#[test]
fn a_deadline_that_was_taken_back_hides_none_that_comes_later() {
    alone(|| {
        let _far = Source::with_timeout(HOUR);
        let near = Source::with_timeout(SOON);
        let due = near.token().deadline().expect("armed");
        near.disarm();
        // Somebody gets up for it, finds nothing, and goes back to sleep for an hour.
        wait_until(due + SOON);
        let next = Source::with_timeout(SOON);
        assert_eq!(next.token().blocking_wait().reason(), Reason::Deadline);
    });
}
