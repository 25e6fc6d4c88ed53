//! What can be chosen for a group.

use std::future::pending;
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_tokio::{
    Grace, OnFailure, Outcome, StopSource, TaskGroup, current, sleep, with_current,
};
use tokio::sync::{Semaphore, oneshot};

use super::on_both;
use crate::common::{self, Count, Dropped, Gate, PATIENCE};

#[test]
fn a_grace_says_what_it_was_made_of() {
    const PLAIN: Grace = Grace::new(Duration::from_secs(5));
    const TIMES: (Duration, Duration) = (PLAIN.draining(), PLAIN.stopping());
    assert_eq!(TIMES, (Duration::ZERO, Duration::from_secs(5)));
    let grace = PLAIN.drain_for(Duration::from_secs(2)).drain_for(Duration::from_secs(3));
    assert_eq!((grace.draining(), grace.stopping()), (Duration::from_secs(3), TIMES.1));
    assert_eq!(Grace::from(Duration::MAX).stopping(), Duration::MAX);
}

on_both! {
    async fn no_more_run_at_once_than_allowed() {
        let group = TaskGroup::new().max_concurrent(3);
        let (running, most) = (Count::new(), std::sync::Arc::new(std::sync::Mutex::new(0)));
        let ended = Count::new();
        for number in 0..60 {
            let (running, ended, most) = (running.clone(), ended.clone(), std::sync::Arc::clone(&most));
            let note = move || {
                running.add();
                let now = running.get() - ended.get();
                let mut most = most.lock().unwrap();
                *most = (*most).max(now);
                ended.clone()
            };
            if number % 3 == 0 {
                group.spawn_blocking("blocking", move |_| { let ended = note(); std::thread::yield_now(); ended.add(); });
            } else {
                group.spawn("async", move |_| async move { let ended = note(); tokio::task::yield_now().await; ended.add(); });
            }
        }
        assert_eq!(group.join().await.len(), 60);
        assert!((1..=3).contains(&*most.lock().unwrap()), "{most:?}");
    }

    async fn those_that_wait_for_their_turn_obey_the_token() {
        let group = TaskGroup::new().max_concurrent(1);
        let (begun, has_begun) = oneshot::channel();
        group.spawn("first", |stop| async move { begun.send(()).unwrap(); stop.token().await; });
        has_begun.await.unwrap();
        for _ in 0..5 {
            group.spawn("waits", |_stop| async { unreachable!("never begun") });
            group.spawn_blocking("waits", |_stop| unreachable!("never begun"));
        }
        tokio::task::yield_now().await;
        group.cancel();
        let ended = group.join().await;
        let never = ended.iter().filter(|e| matches!(e.outcome(), Outcome::CancelledBeforeStart(_)));
        assert_eq!(never.count(), 10);
    }

    /// What they have captured goes, although nobody gives his turn back.
    async fn those_that_wait_behind_one_that_is_deaf_are_over_when_the_group_is_cancelled() {
        let group = TaskGroup::new().max_concurrent(1);
        let gate = Gate::default();
        let (begun, has_begun) = oneshot::channel();
        let closed = gate.clone();
        group.spawn_blocking("deaf", move |_| {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        let drops = Count::new();
        let (first, second) = (Dropped(drops.clone()), Dropped(drops.clone()));
        group.spawn("waits", move |_| async move { drop(first) });
        group.spawn_blocking("waits, too", move |_| drop(second));
        tokio::task::yield_now().await;
        group.cancel();
        for _ in 0..2 {
            let ended = group.next().await.unwrap();
            assert!(matches!(ended.outcome(), Outcome::CancelledBeforeStart(_)), "{ended}");
        }
        common::until("what they captured is gone", || drops.get() == 2).await;
        assert_eq!(group.len(), 1);
        gate.open();
        group.join().await;
    }

    async fn a_task_that_panics_gives_its_turn_back() {
        let group = TaskGroup::new().max_concurrent(1).on_failure(OnFailure::Continue);
        for _ in 0..10 {
            group.spawn("panics", |_| async { panic!("no paper") });
            group.spawn_blocking("panics", |_| panic!("no paper"));
        }
        assert_eq!(group.join().await.len(), 20);
    }

    async fn with_continue_the_others_go_on() {
        let group = TaskGroup::new().on_failure(OnFailure::Continue);
        group.spawn("fails", |_| async { Err("no ink") });
        common::until("it has failed", || group.is_empty()).await;
        group.spawn("goes on", |stop| async move { stop.check() });
        let ended = group.join().await;
        assert!(matches!(ended[1].outcome(), Outcome::Finished(())));
    }

    async fn finished_tasks_are_forgotten_and_others_are_not() {
        let group = TaskGroup::new().forget_finished().on_failure(OnFailure::Continue);
        for _ in 0..1000 {
            group.spawn("connection", |_| async {});
        }
        group.spawn("fails", |_| async { Err("reset by peer") });
        let ended = group.join().await;
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].name(), "fails");
    }

    async fn a_group_under_a_stop_drains_and_stops_with_it() {
        let server = StopSource::new();
        let group = TaskGroup::under(server.stop());
        server.drain();
        assert!(group.signal().draining().is_cancelled() && !group.signal().is_cancelled());
        server.cancel_with(Reason::Disconnected);
        assert_eq!(group.signal().reason(), Some(Reason::Disconnected));
        assert!(!TaskGroup::new().signal().is_cancelled());
    }

    async fn a_group_under_a_cancelled_token_begins_nothing() {
        let group = TaskGroup::under(Token::cancelled_with(Reason::Deadline));
        group.spawn("late", |_| async { unreachable!() });
        let ended = group.join().await;
        let Outcome::CancelledBeforeStart(cancelled) = ended[0].outcome() else { panic!() };
        assert_eq!(cancelled.reason(), Reason::Deadline);
    }

    async fn a_deadline_of_the_parent_ends_the_tasks() {
        let past = Source::with_timeout(Duration::from_millis(5));
        let group = TaskGroup::under(past.token());
        group.spawn("slow", |stop| async move {
            assert!(stop.deadline().is_some(), "it sees the deadline");
            sleep(PATIENCE * 2, &stop).await
        });
        let ended = group.join().await;
        assert_eq!(group.signal().reason(), Some(Reason::Deadline));
        assert!(!ended[0].outcome().is_failure());
    }

    async fn the_ambient_token_survives_the_spawn() {
        let request = Source::new();
        let group = TaskGroup::under(Token::never());
        let (begun, has_begun) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let spawning = async {
            group.spawn("inner", |_stop| async move {
                begun.send(()).unwrap();
                tell.send(current().await.reason()).unwrap();
            });
        };
        with_current(request.token(), spawning).await;
        has_begun.await.unwrap();
        request.cancel_with(Reason::Superseded);
        assert_eq!(told.await.unwrap(), Reason::Superseded);
        assert!(!group.signal().is_cancelled(), "the group itself is not asked");
        group.join().await;
    }

    async fn the_groups_token_is_current_in_its_tasks() {
        let group = TaskGroup::new().returning::<bool>();
        group.spawn("outer", |stop| async move { current() == *stop.token() });
        let spawner = group.spawner();
        group.spawn("spawns", move |stop| async move {
            let same = stop.token().clone();
            spawner.spawn("inner", move |_| async move { current() == same });
            true
        });
        let ended = group.join().await;
        assert!(ended.into_iter().all(|ended| ended.into_outcome().finished() == Some(true)));
        assert!(!current().can_be_cancelled(), "not around the test");
    }

    async fn a_group_made_inside_a_task_is_below_its_token() {
        let outer = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        outer.spawn("outer", |_stop| async move {
            let inner = TaskGroup::new();
            inner.spawn("inner", |stop| async move { begun.send(()).unwrap(); stop.token().await; });
            inner.join().await;
        });
        has_begun.await.unwrap();
        assert!(outer.stop(PATIENCE).await.is_clean());
    }
}

/// A permit is not lost with a task that is aborted.
#[tokio::test(start_paused = true)]
async fn permits_of_the_user_come_back_when_tasks_are_aborted() {
    let permits = std::sync::Arc::new(Semaphore::new(4));
    let group = TaskGroup::new();
    for _ in 0..8 {
        let permits = std::sync::Arc::clone(&permits);
        group.spawn("deaf", move |_stop| async move {
            let _permit = permits.acquire_owned().await.unwrap();
            pending::<()>().await;
        });
    }
    tokio::task::yield_now().await;
    assert_eq!(group.stop(Duration::from_secs(1)).await.stragglers().len(), 8);
    assert_eq!(permits.available_permits(), 4);
}
