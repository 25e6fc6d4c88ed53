//! A group in a task of another group, and shields in shields: whoever waits for
//! the outer one waits for what is left inside.

use std::future::pending;
use std::time::Duration;

use desist::{FutureExt, Source, Token};
use desist_tokio::{OnFailure, Outcome, TaskGroup, shield_for, sleep, timeout, with_current};
use tokio::sync::oneshot;

use super::on_both;
use crate::common::{self, Count, Dropped, Gate, PATIENCE};

const SOON: Duration = Duration::from_millis(20);

/// Some work that takes a while, and then is seen.
async fn rollback(done: Count) {
    let _ = sleep(SOON * 5, &Token::never()).await;
    done.add();
}

on_both! {
    async fn a_shield_in_a_group_of_a_task_is_waited_for() {
        let (done, begun) = (Count::new(), oneshot::channel());
        let outer = TaskGroup::new();
        let (seen, (begin, has_begun)) = (done.clone(), begun);
        outer.spawn("outer", |_| async move {
            let inner = TaskGroup::new();
            inner.spawn("inner", |_| async move {
                let cleanup = shield_for(PATIENCE, rollback(seen));
                begin.send(()).unwrap();
                let _ = cleanup.await;
                pending::<()>().await;
            });
            inner.join().await;
        });
        has_begun.await.unwrap();
        let report = outer.stop(Duration::ZERO).await;
        assert_eq!(done.get(), 1, "{report}");
        assert!(outer.is_empty());
    }

    async fn blocking_work_that_is_left_in_a_group_of_a_task_is_named() {
        let gate = Gate::default();
        let outer = TaskGroup::new();
        let (begin, has_begun) = oneshot::channel();
        let closed = gate.clone();
        outer.spawn("outer", |stop| async move {
            let inner = TaskGroup::new();
            inner.spawn_blocking("deaf", move |_| {
                begin.send(()).unwrap();
                closed.block();
            });
            stop.token().await;
        });
        has_begun.await.unwrap();
        let report = outer.stop(SOON).await;
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert_eq!((straggler.name(), straggler.is_blocking()), ("group of deaf", true));
        assert!(straggler.place().file().ends_with("nested.rs"));
        assert_eq!(straggler.ended_after(), None);
        let left = report.outcomes().iter().find(|ended| ended.name() == "group of deaf");
        assert!(matches!(left.unwrap().outcome(), Outcome::StillRunning), "{report}");
        assert!(!report.is_clean() && outer.len() == 1);
        gate.open();
        assert!(outer.join().await.is_empty(), "its end is no outcome of the outer one");
        assert!(outer.is_empty());
    }

    async fn many_that_are_left_are_named_in_short() {
        let gate = Gate::default();
        let outer = TaskGroup::new();
        let closed = gate.clone();
        let begun = Count::new();
        let (counted, (all, all_begun)) = (begun.clone(), oneshot::channel());
        outer.spawn("outer", |stop| async move {
            let inner = TaskGroup::new();
            let all = std::sync::Arc::new(std::sync::Mutex::new(Some(all)));
            for _ in 0..7 {
                let (closed, counted, all) = (closed.clone(), counted.clone(), all.clone());
                inner.spawn_blocking("deaf", move |_| {
                    if counted.next() == 6 {
                        all.lock().unwrap().take().unwrap().send(()).unwrap();
                    }
                    closed.block();
                });
            }
            stop.token().await;
        });
        all_begun.await.unwrap();
        let report = outer.stop(SOON).await;
        let name = "group of deaf, deaf, deaf, deaf, deaf and 2 more";
        assert_eq!(report.stragglers()[0].name(), name);
        gate.open();
        outer.join().await;
    }

    async fn an_overdue_shield_of_a_group_that_is_gone_is_told_to_the_outer_one() {
        let outer = TaskGroup::new().on_failure(OnFailure::Continue);
        outer.spawn("outer", |_| async move {
            let inner = TaskGroup::new();
            inner.spawn("inner", |_| async {
                shield_for(SOON, pending::<()>()).detach();
                shield_for(PATIENCE, async {
                    let _ = sleep(SOON, &Token::never()).await;
                    panic!("no more ink");
                })
                .detach();
            });
            inner.next().await;
        });
        let said: Vec<_> = outer.join().await.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said.contains(&"task `shield` was not done when its bound was over".into()), "{said:?}");
        assert!(said.contains(&"task `shield` panicked: no more ink".into()), "{said:?}");
    }

    /// A future that was dropped, with a group in it.
    async fn destructors_of_a_group_in_a_task_run_before_the_outer_one_is_empty() {
        let outer = TaskGroup::new();
        let drops = Count::new();
        let held = Dropped(drops.clone());
        outer.spawn("outer", |_| async move {
            let late = timeout(SOON, &Token::never(), |_| async {
                let inner = TaskGroup::new();
                inner.spawn("inner", |_| async move {
                    let _held = held;
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
            assert!(late.await.is_err());
        });
        outer.join().await;
        assert_eq!(drops.get(), 1);
    }

    async fn a_group_that_was_left_empty_leaves_nothing() {
        let outer = TaskGroup::new();
        outer.spawn("outer", |_| async {
            let inner = TaskGroup::new();
            inner.spawn("inner", |_| async {});
            inner.join().await;
        });
        let ended = outer.join().await;
        assert_eq!((ended.len(), outer.len()), (1, 0));
    }

    /// Three deep, and the one in the middle is gone first.
    async fn what_is_left_deep_inside_comes_to_the_outermost() {
        let done = Count::new();
        let outer = TaskGroup::new();
        let (begin, has_begun) = oneshot::channel();
        let seen = done.clone();
        outer.spawn("outer", |_| async move {
            let middle = TaskGroup::new();
            middle.spawn("middle", |_| async move {
                let inner = TaskGroup::new();
                inner.spawn("inner", |_| async move {
                    shield_for(PATIENCE, rollback(seen)).detach();
                    begin.send(()).unwrap();
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
            pending::<()>().await;
        });
        has_begun.await.unwrap();
        let report = outer.stop(Duration::ZERO).await;
        assert_eq!(done.get(), 1, "{report}");
    }

    async fn a_shield_that_is_raised_by_a_shield_is_waited_for() {
        let done = Count::new();
        let group = TaskGroup::new();
        let (begin, has_begun) = oneshot::channel();
        let seen = done.clone();
        group.spawn("task", |_| async move {
            shield_for(SOON * 2, async move {
                begin.send(()).unwrap();
                let _ = sleep(SOON, &Token::never()).await;
                // Longer than what the wait for the outer one has.
                shield_for(PATIENCE, async move {
                    let _ = sleep(Duration::from_millis(1500), &Token::never()).await;
                    seen.add();
                })
                .detach();
            })
            .detach();
        });
        has_begun.await.unwrap();
        let report = group.stop(Duration::ZERO).await;
        assert!(report.is_clean() && done.get() == 1, "{report}");
    }

    /// The group is that of the task, whatever token is around.
    async fn a_shield_in_a_scope_is_waited_for() {
        for alone in [false, true] {
            let done = Count::new();
            let group = TaskGroup::new();
            let (begin, has_begun) = oneshot::channel();
            let seen = done.clone();
            group.spawn("task", move |_| {
                let work = async move {
                    shield_for(PATIENCE, rollback(seen)).detach();
                    begin.send(()).unwrap();
                };
                let scope = with_current(Source::new().token(), work);
                if alone { scope.replacing() } else { scope }
            });
            has_begun.await.unwrap();
            let report = group.stop(SOON).await;
            assert_eq!(done.get(), 1, "{report}");
        }
    }

    /// Tasks that spawn each other in turn join the same few tokens again and again.
    async fn a_long_line_of_tasks_through_two_groups_and_a_scope_costs_the_same_at_its_end() {
        fn hop(groups: [desist_tokio::Spawner; 2], token: Token, left: u32) {
            let [here, there] = groups;
            let next = [there, here.clone()];
            here.spawn("hop", move |_| {
                let scope = token.clone();
                with_current(scope, async move {
                    if left > 0 {
                        hop(next, token, left - 1);
                    }
                })
            });
        }
        let (one, other) = (TaskGroup::new().forget_finished(), TaskGroup::new().forget_finished());
        let source = Source::new();
        // If each made a chain of it, this would be an hour's work.
        hop([one.spawner(), other.spawner()], source.token(), 50_000);
        while !(one.is_empty() && other.is_empty()) {
            one.join().await;
            other.join().await;
        }
    }

    async fn whoever_waits_for_his_own_group_is_told_so() {
        let group = std::sync::Arc::new(TaskGroup::new().on_failure(OnFailure::Continue));
        for name in ["joins", "waits", "stops", "joins in a shield"] {
            let own = std::sync::Arc::clone(&group);
            group.spawn(name, move |_| async move {
                match name {
                    "joins" => drop(own.join().await),
                    "waits" => drop(own.wait().await),
                    "stops" => drop(own.stop(PATIENCE).await),
                    _ => shield_for(PATIENCE, async move { drop(own.join().await) }).await.unwrap(),
                }
            });
        }
        let never = Source::new();
        let ended = group.join().or_cancelled(&never.token()).await.unwrap();
        for ended in &ended {
            let begun = !matches!(ended.outcome(), Outcome::CancelledBeforeStart(_));
            let said = ended.to_string();
            assert!(!begun || said.contains("and so for itself"), "{said}");
        }
        assert!(ended.iter().any(|ended| matches!(ended.outcome(), Outcome::Panicked(_))));
    }

    async fn what_fails_in_a_group_that_is_gone_is_told_to_the_outer_one() {
        let outer = TaskGroup::new().on_failure(OnFailure::Continue);
        let begun = oneshot::channel();
        let (begin, has_begun) = begun;
        outer.spawn("outer", |stop| async move {
            let inner = TaskGroup::new().on_failure(OnFailure::Continue);
            inner.spawn("failed before", |_| async { Err("no ink") });
            inner.spawn_blocking("fails after", |stop| {
                stop.token().blocking_wait();
                Err("the disk is full")
            });
            inner.spawn_blocking("panics after", |stop| -> () {
                stop.token().blocking_wait();
                panic!("no paper");
            });
            while inner.len() > 2 {
                tokio::task::yield_now().await;
            }
            begin.send(()).unwrap();
            stop.token().await;
        });
        has_begun.await.unwrap();
        let report = outer.stop(PATIENCE).await;
        assert!(!report.is_clean());
        let mut said: Vec<_> = report.outcomes().iter().map(ToString::to_string).collect();
        said.sort();
        // One that had no thread yet when the group went has not begun.
        said.retain(|said| !said.contains("never begun"));
        let all = [
            "task `failed before` failed: no ink",
            "task `fails after` failed: the disk is full",
            "task `outer` finished",
            "task `panics after` panicked: no paper",
        ];
        assert!(said.iter().all(|said| all.contains(&said.as_str())), "{said:?}");
        assert!(said.contains(&all[0].into()), "{said:?}");
    }

    /// The rest of the group goes on, and the stop does not wait for more than it must.
    async fn an_end_in_a_group_that_is_gone_is_heard_at_once() {
        let gate = Gate::default();
        let (done, closed) = (Count::new(), gate.clone());
        let outer = TaskGroup::new();
        let (begin, has_begun) = oneshot::channel();
        let seen = done.clone();
        outer.spawn("outer", |stop| async move {
            let inner = TaskGroup::new();
            let (begin_deaf, deaf) = oneshot::channel();
            inner.spawn_blocking("deaf", move |_| {
                begin_deaf.send(()).unwrap();
                closed.block();
            });
            inner.spawn("shielded", |_| async move {
                // An hour's bound, and far less to do.
                shield_for(PATIENCE * 100, rollback(seen)).detach();
                deaf.await.unwrap();
                begin.send(()).unwrap();
                pending::<()>().await;
            });
            stop.token().await;
        });
        has_begun.await.unwrap();
        let report = outer.stop(SOON).await;
        assert_eq!(done.get(), 1);
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert_eq!(straggler.name(), "group of deaf", "as it is by now");
        gate.open();
        outer.join().await;
    }

    /// It is carried out of the group in whose task it was made, and dropped elsewhere.
    async fn a_group_whose_outer_one_is_gone_belongs_to_the_next() {
        for keeps_a_spawner in [false, true] {
            let gate = Gate::default();
            let closed = gate.clone();
            let outer = TaskGroup::new();
            let (begin, has_begun) = oneshot::channel();
            outer.spawn("outer", move |stop| async move {
                let middle = TaskGroup::new().returning::<TaskGroup>();
                middle.spawn("middle", |_| async { TaskGroup::new() });
                let inner = middle.next().await.unwrap().into_outcome().finished().unwrap();
                let spawner = keeps_a_spawner.then(|| middle.spawner());
                let (deaf, is_deaf) = oneshot::channel();
                inner.spawn_blocking("deaf", move |_| {
                    deaf.send(()).unwrap();
                    closed.block();
                });
                is_deaf.await.unwrap();
                drop(middle);
                begin.send(()).unwrap();
                stop.token().await;
                drop(inner);
                drop(spawner);
            });
            has_begun.await.unwrap();
            let report = outer.stop(SOON).await;
            let [straggler] = report.stragglers() else { panic!("{report}") };
            assert_eq!(straggler.name(), "group of deaf");
            gate.open();
            outer.join().await;
        }
    }

    async fn a_bound_longer_than_there_is_time_is_as_long_as_there_is() {
        let group = TaskGroup::new();
        group.spawn("task", |_| async { shield_for(Duration::MAX, async {}).await.unwrap() });
        group.wait().await.unwrap();
    }

    /// What is gone is not carried along, so a long line costs no more at its end.
    async fn a_long_line_of_tasks_each_with_a_token_of_its_own_costs_the_same_at_its_end() {
        fn hop(spawner: desist_tokio::Spawner, left: u32) {
            let next = spawner.clone();
            spawner.spawn("hop", move |_| async move {
                let own = Source::new();
                with_current(own.token(), async move {
                    if left > 0 {
                        hop(next, left - 1);
                    }
                })
                .await;
            });
        }
        let group = TaskGroup::new().forget_finished();
        hop(group.spawner(), 20_000);
        group.join().await;
    }

    /// Whichever is first: the last end, or the drop.
    async fn a_group_that_is_dropped_while_its_last_task_ends_is_waited_for_and_let_go() {
        for round in 0..2_000_u32 {
            let outer = TaskGroup::new();
            outer.spawn("outer", move |_| async move {
                let inner = TaskGroup::new();
                inner.spawn_blocking("quick", |_| {});
                (0..round % 50).for_each(|_| std::hint::spin_loop());
                tokio::task::yield_now().await;
                drop(inner);
            });
            outer.join().await;
            assert!(outer.is_empty());
        }
    }
}

/// Somebody who raises shields without an end does not keep a stop for ever: eight of
/// them are waited for, with a second each to go. Time is paused: where it is not, a shield
/// that comes late to its first turn is over, and raises none.
#[tokio::test(start_paused = true)]
async fn shields_that_raise_shields_without_an_end_are_given_up() {
    fn endless(rounds: Count) {
        let again = async move {
            let _ = sleep(Duration::from_millis(1), &Token::never()).await;
            rounds.add();
            endless(rounds);
        };
        shield_for(SOON, again).detach();
    }
    let group = TaskGroup::new();
    let rounds = Count::new();
    let counted = rounds.clone();
    group.spawn("task", |_| async move { endless(counted) });
    while rounds.get() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begin = tokio::time::Instant::now();
    let report = group.stop(SOON).await;
    assert!(report.outcomes().iter().any(|ended| ended.name() == "shield"), "{report}");
    let took = begin.elapsed().as_secs();
    assert!((8..10).contains(&took), "it took {took} s");
}
