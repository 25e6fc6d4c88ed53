//! The system clock's threads: who keeps time while callbacks block, who hears
//! of an earlier deadline, and the retirement of a thread with nothing to do.

use std::time::Duration;

use loom::thread;

use super::{IDLE, Model, TICK, saw};
use crate::keeper::watch;
use crate::{Reason, Source};

/// Longer than a thread sleeps by itself in these models.
pub(super) const FAR: Duration = Duration::from_secs(3600);

/// Nobody gets up for longer than this because of the time: only because he
/// was called.
pub(super) fn time_stands_still() {
    IDLE.set(TICK * 3);
}

/// From now on time passes for all that sleep; waits until they have retired.
pub(super) fn let_time_pass() {
    IDLE.set(Duration::MAX);
    watch::wake_all();
    while watch::threads() > 0 {
        thread::yield_now();
    }
}

#[test]
fn loom_the_keeper_hears_of_an_earlier_deadline() {
    let outcomes = &["before it slept", "while it slept"];
    Model::bounded("the keeper hears of an earlier deadline", 1, outcomes).check(|| {
        time_stands_still();
        let far = Source::with_timeout(FAR);
        while !watch::has_keeper() {
            thread::yield_now();
        }
        let sleeps = watch::SLEEPERS.get() > 0;
        let near = Source::with_timeout(TICK);
        near.token().blocking_wait();
        assert_eq!(near.token().reason(), Some(Reason::Deadline));
        assert!(!far.is_cancelled());
        drop(far);
        saw(if sleeps { "while it slept" } else { "before it slept" });
        let_time_pass();
    });
}

/// One callback waits for a later deadline: somebody else must keep time, and
/// somebody else again must fire.
fn block_until_the_next_deadline() {
    let (first, second) = (Source::new(), Source::new());
    let token = second.token();
    let registration = first.token().on_cancel(move |_| {
        token.blocking_wait();
    });
    first.cancel_after(TICK);
    second.cancel_after(TICK);
    second.token().blocking_wait();
    first.token().blocking_wait();
    registration.blocking_unregister();
}

fn threads() -> &'static str {
    match watch::threads() {
        1 => "one thread",
        2 => "two threads",
        _ => "three threads",
    }
}

#[test]
fn loom_a_callback_blocks_until_the_next_deadline() {
    let outcomes = &["two threads", "three threads"];
    Model::bounded("a callback blocks until the next deadline", 1, outcomes).check(|| {
        time_stands_still();
        block_until_the_next_deadline();
        saw(threads());
        let_time_pass();
    });
}

/// The same where a spare thread sleeps: it is called, or nobody keeps time.
#[test]
fn loom_a_callback_blocks_while_a_spare_thread_sleeps() {
    let outcomes = &["two threads", "three threads"];
    Model::bounded("a callback blocks while a spare thread sleeps", 1, outcomes).check(|| {
        time_stands_still();
        Source::with_timeout(TICK).token().blocking_wait();
        while watch::SLEEPERS.get() < 2 {
            thread::yield_now();
        }
        block_until_the_next_deadline();
        saw(threads());
        let_time_pass();
    });
}

#[test]
fn loom_the_first_deadline_while_another_thread_asks() {
    let outcomes = &["asked before", "asked after"];
    Model::bounded("the first deadline while another asks", 2, outcomes).check(|| {
        time_stands_still();
        let source = Source::new();
        let token = source.token();
        let other = thread::spawn(move || token.deadline().is_some());
        source.cancel_after(FAR);
        saw(if other.join().unwrap() { "asked after" } else { "asked before" });
        drop(source);
        let_time_pass();
    });
}

#[test]
fn loom_the_keeper_retires_while_a_deadline_is_armed() {
    let outcomes = &["retired before", "not yet"];
    Model::bounded("the keeper retires while a deadline is armed", 1, outcomes).check(|| {
        IDLE.set(Duration::MAX);
        let first = Source::with_timeout(TICK);
        first.token().blocking_wait();
        saw(if watch::has_keeper() { "not yet" } else { "retired before" });
        let second = Source::with_timeout(TICK);
        second.token().blocking_wait();
        let_time_pass();
    });
}
