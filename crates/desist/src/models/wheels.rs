//! The system's clock with two wheels: one keeper for both.

use std::time::Duration;

use loom::thread;

use super::keeper::{FAR, let_time_pass, time_stands_still};
use super::{Model, TICK, WHEELS, saw};
use crate::keeper::watch;
use crate::node::spread::sit;
use crate::{Reason, Source};

#[test]
fn loom_wheels_the_keeper_hears_of_an_earlier_deadline_of_another() {
    let outcomes = &["before it slept", "while it slept"];
    Model::bounded("wheels: the keeper hears of an earlier deadline", 1, outcomes).check(|| {
        WHEELS.set(2);
        time_stands_still();
        sit(1);
        let far = Source::with_timeout(FAR);
        while !watch::has_keeper() {
            thread::yield_now();
        }
        let sleeps = watch::SLEEPERS.get() > 0;
        sit(0);
        let near = Source::with_timeout(TICK);
        near.token().blocking_wait();
        assert_eq!(near.token().reason(), Some(Reason::Deadline));
        assert!(!far.is_cancelled());
        drop(far);
        saw(if sleeps { "while it slept" } else { "before it slept" });
        let_time_pass();
    });
}

#[test]
fn loom_wheels_two_deadlines_on_two() {
    let outcomes = &["one first", "both at once"];
    Model::bounded("wheels: two deadlines on two", 1, outcomes).check(|| {
        WHEELS.set(2);
        time_stands_still();
        let one = Source::with_timeout(TICK);
        sit(1);
        let other = Source::with_timeout(TICK);
        one.token().blocking_wait();
        saw(if other.is_cancelled() { "both at once" } else { "one first" });
        other.token().blocking_wait();
        assert_eq!(other.token().reason(), Some(Reason::Deadline));
        let_time_pass();
    });
}

/// Whoever takes a deadline back sits elsewhere than who armed it.
#[test]
fn loom_wheels_a_deadline_is_put_off_by_another_thread() {
    let outcomes = &["fired", "put off"];
    Model::bounded("wheels: a deadline is put off by another thread", 1, outcomes).check(|| {
        WHEELS.set(2);
        time_stands_still();
        let source = Source::new();
        source.cancel_after(TICK);
        let other = thread::spawn({
            let source = source.clone();
            move || {
                sit(1);
                source.cancel_after(Duration::from_secs(7200));
                source.is_cancelled()
            }
        });
        let fired = other.join().unwrap();
        assert_eq!(source.is_cancelled(), fired, "what was put off does not fire");
        saw(if fired { "fired" } else { "put off" });
        source.disarm();
        drop(source);
        let_time_pass();
    });
}
