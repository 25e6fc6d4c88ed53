//! Every task has exactly one outcome, and it is the right one.

use std::future::pending;

use desist::{Cancelled, Reason, Source};
use desist_tokio::{Ended, OnFailure, Outcome, TaskGroup, sleep};
use tokio::sync::{Barrier, oneshot};

use super::on_both;
use crate::common::{self, Count, Dropped, Gate, PATIENCE};

pub(super) fn named<'a, T>(ended: &'a [Ended<T>], name: &str) -> &'a Outcome<T> {
    let mut with = ended.iter().filter(|ended| ended.name() == name);
    let found = with.next().unwrap_or_else(|| panic!("no outcome of {name}"));
    assert!(with.next().is_none(), "two outcomes of {name}");
    found.outcome()
}

on_both! {
    async fn every_kind_of_end_is_told_apart() {
        let group = TaskGroup::new().on_failure(OnFailure::Continue);
        let (begun, has_begun) = oneshot::channel();
        group.spawn("finishes", |_| async {});
        group.spawn("fails", |_| async { Err("no ink") });
        group.spawn("panics", |_| async { panic!("no paper") });
        group.spawn("stops", |stop| async move {
            begun.send(()).unwrap();
            sleep(PATIENCE * 2, &stop).await
        });
        has_begun.await.unwrap();
        for _ in 0..3 {
            group.next().await.unwrap();
        }
        group.cancel_with(Reason::Overload);
        group.spawn("late", |_| async { unreachable!("it is never polled") });
        let ended = group.join().await;
        let Outcome::Cancelled(cancelled) = named(&ended, "stops") else { panic!("{ended:?}") };
        assert_eq!(cancelled.reason(), Reason::Overload);
        let Outcome::CancelledBeforeStart(cancelled) = named(&ended, "late") else { panic!("{ended:?}") };
        assert_eq!(cancelled.reason(), Reason::Overload);
        assert_eq!(ended.len(), 2);
    }

    async fn what_a_task_waited_for_is_its_stop_and_a_deadline_of_its_own_is_a_failure() {
        let group = TaskGroup::new().on_failure(OnFailure::Continue);
        let (begun, has_begun) = oneshot::channel();
        group.spawn("idle", |stop| async move {
            begun.send(()).unwrap();
            stop.token().await
        });
        has_begun.await.unwrap();
        group.spawn("late", |stop| async move {
            let own = stop.token().child_with_timeout(std::time::Duration::ZERO);
            own.token().clone().await
        });
        let late = group.next().await.unwrap();
        assert!(late.name() == "late" && late.outcome().is_failure(), "{late:?}");
        group.cancel();
        let idle = group.next().await.unwrap();
        assert!(matches!(idle.outcome(), Outcome::Cancelled(_)), "{idle:?}");
    }

    async fn the_three_ends_without_a_cancel() {
        let group = TaskGroup::new().returning::<u8>().on_failure(OnFailure::Continue);
        group.spawn("finishes", |_| async { 7 });
        group.spawn("fails", |_| async { Err::<u8, _>("no ink") });
        group.spawn("panics", |_| async { if true { panic!("no paper") } else { 0 } });
        let ended = group.join().await;
        assert!(matches!(named(&ended, "finishes"), Outcome::Finished(7)));
        assert!(matches!(named(&ended, "fails"), Outcome::Failed(error) if error.to_string() == "no ink"));
        assert!(matches!(named(&ended, "panics"), Outcome::Panicked(panic) if panic.message() == "no paper"));
        assert!(ended.iter().all(|ended| ended.after().is_none()), "nobody was asked");
    }

    async fn a_task_that_was_asked_and_finishes_has_finished() {
        let group = TaskGroup::new().returning::<&str>();
        group.spawn("thorough", |stop| async move {
            let cancelled = stop.token().await;
            assert_eq!(cancelled.reason(), Reason::Requested);
            "all written"
        });
        group.spawn("begun too", |stop| async move { stop.cancelled().await; "yes" });
        common::until("both have begun", || group.len() == 2).await;
        tokio::task::yield_now().await;
        group.cancel();
        for ended in group.join().await {
            assert!(ended.after().is_some(), "it was asked");
            assert!(matches!(ended.outcome(), Outcome::Finished(_) | Outcome::CancelledBeforeStart(_)));
        }
    }

    async fn a_deadline_of_its_own_is_a_failure_and_no_stop() {
        let group = TaskGroup::new();
        group.spawn("slow", |_stop| async {
            let own = Source::with_timeout(std::time::Duration::ZERO);
            own.token().check()
        });
        let ended = group.join().await;
        assert!(matches!(named(&ended, "slow"), Outcome::Failed(error) if error.is::<Cancelled>()));
    }

    async fn the_first_failure_cancels_the_siblings_and_says_who() {
        let group = TaskGroup::new();
        group.spawn("waits", |stop| async move { sleep(PATIENCE * 2, &stop).await });
        group.spawn("fails", |_| async { Err("no ink") });
        let ended = group.join().await;
        let (Outcome::Cancelled(cancelled) | Outcome::CancelledBeforeStart(cancelled)) =
            named(&ended, "waits") else { panic!("{ended:?}") };
        assert_eq!(cancelled.reason(), Reason::SiblingFailed);
        let detail = cancelled.detail().unwrap();
        assert_eq!(detail.to_string(), "task `fails` failed");
        assert_eq!(detail.source().unwrap().to_string(), "no ink");
    }

    async fn the_siblings_are_told_every_level_of_what_failed() {
        #[derive(Debug)]
        struct Level(u32);
        impl std::fmt::Display for Level {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "level {}", self.0)
            }
        }
        impl std::error::Error for Level {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self.0 {
                    0 => Some(&Level(1)),
                    1 => Some(&Level(2)),
                    // Without an end.
                    9 => Some(&Level(9)),
                    _ => None,
                }
            }
        }
        for (first, levels) in [(0, 3), (2, 1), (9, 33)] {
            let group = TaskGroup::new();
            group.spawn("fails", move |_| async move { Err(Level(first)) });
            group.join().await;
            let cause = group.signal().cancellation().unwrap();
            let mut told = cause.detail().unwrap().source();
            let mut said = 0;
            while let Some(level) = told {
                let number = if first == 0 { said } else { first };
                assert_eq!(level.to_string(), format!("level {number}"));
                said += 1;
                told = level.source();
            }
            assert_eq!(said, levels);
        }
    }

    async fn a_panic_cancels_the_siblings_too() {
        let group = TaskGroup::new();
        group.spawn("waits", |stop| async move { sleep(PATIENCE * 2, &stop).await });
        group.spawn("panics", |_| async { panic!("no paper") });
        group.join().await;
        assert_eq!(group.signal().reason(), Some(Reason::SiblingFailed));
    }

    async fn what_was_asked_to_stop_does_not_fail_the_others() {
        let group = TaskGroup::new();
        group.spawn("stops", |stop| async move { stop.draining().await; stop.draining().check() });
        group.spawn("goes on", |stop| async move {
            stop.draining().await;
            tokio::task::yield_now().await;
            Ok::<_, Cancelled>(())
        });
        tokio::task::yield_now().await;
        group.drain();
        let ended = group.join().await;
        assert!(matches!(named(&ended, "stops"), Outcome::Cancelled(_)));
        assert!(!group.signal().is_cancelled(), "draining is no failure");
    }

    async fn what_a_task_gives_to_a_group_that_is_gone_is_dropped() {
        let group = TaskGroup::new().returning::<Dropped>();
        let (gate, drops, (begun, has_begun)) = (Gate::default(), Count::new(), oneshot::channel());
        let (closed, value) = (gate.clone(), Dropped(drops.clone()));
        group.spawn_blocking("late", move |_| {
            begun.send(()).unwrap();
            closed.block();
            value
        });
        has_begun.await.unwrap();
        // It keeps what the group shared with its tasks.
        let spawner = group.spawner();
        drop(group);
        gate.open();
        common::until("it is dropped", || drops.get() == 1).await;
        drop(spawner);
    }

    async fn what_was_captured_goes_before_a_task_that_is_not_begun_is_over() {
        struct Looks(std::sync::Arc<TaskGroup>, Count);
        impl Drop for Looks {
            fn drop(&mut self) {
                assert_eq!(self.0.len(), 1, "the task is over before its captures are gone");
                self.1.add();
            }
        }
        let (group, looked) = (std::sync::Arc::new(TaskGroup::new()), Count::new());
        group.cancel();
        let (first, second) = (Looks(group.clone(), looked.clone()), Looks(group.clone(), looked.clone()));
        group.spawn("late", move |_| async move { drop(first) });
        group.spawn_blocking("late", move |_| drop(second));
        assert_eq!(looked.get(), 2);
    }

    async fn a_panic_resumes_where_nobody_asks_for_outcomes() {
        let group = TaskGroup::new();
        group.spawn("panics", |_| async { std::panic::panic_any(7_u32) });
        let waiting = tokio::spawn(async move { group.wait().await });
        let payload = waiting.await.unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref::<u32>(), Some(&7));
    }

    async fn the_first_failure_is_what_wait_gives() {
        let group = TaskGroup::new().on_failure(OnFailure::Continue);
        group.spawn("first", |_| async { Err("one") });
        common::until("the first has ended", || group.is_empty()).await;
        group.spawn("second", |_| async { Err("two") });
        let failed = group.wait().await.unwrap_err();
        assert_eq!(failed.name(), "first");
        assert_eq!(failed.into_error().to_string(), "one");
    }

    async fn outcomes_are_not_lost_with_a_join_that_is_dropped() {
        let group = TaskGroup::new();
        let (go, gone) = oneshot::channel::<()>();
        group.spawn("quick", |_| async {});
        group.spawn("slow", |_| async { gone.await.unwrap() });
        {
            let mut join = std::pin::pin!(group.join());
            common::until("the quick one has ended", || group.len() == 1).await;
            assert!(common::poll_once(join.as_mut()).is_pending());
            let mut wait = std::pin::pin!(group.wait());
            assert!(common::poll_once(wait.as_mut()).is_pending());
        }
        go.send(()).unwrap();
        assert_eq!(group.join().await.len(), 2);
    }

    async fn tasks_that_tasks_spawn_are_waited_for() {
        let group = TaskGroup::new();
        let spawner = group.spawner();
        group.spawn("outer", |_| async move {
            let inner = spawner.clone();
            spawner.spawn("middle", |_| async move { inner.spawn("inner", |_| async {}); });
        });
        let mut names: Vec<_> =
            group.join().await.iter().map(|ended| ended.name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["inner", "middle", "outer"]);
    }

    async fn a_group_is_empty_only_when_the_destructors_have_run() {
        let drops = Count::new();
        let group = TaskGroup::new();
        for _ in 0..100 {
            let held = Dropped(drops.clone());
            group.spawn("holds", move |_| async move { let _held = held; tokio::task::yield_now().await; });
        }
        group.join().await;
        assert_eq!(drops.get(), 100);
    }

    async fn what_outlives_its_last_poll_goes_before_the_group_is_empty() {
        struct Slow(Count);
        impl Drop for Slow {
            fn drop(&mut self) {
                std::thread::sleep(std::time::Duration::from_millis(5));
                self.0.add();
            }
        }
        let drops = Count::new();
        let group = TaskGroup::new();
        for round in 0..4 {
            let (held, in_blocking, unbegun) = (Slow(drops.clone()), Slow(drops.clone()), Slow(drops.clone()));
            // A field of the future: it lives until the future is dropped.
            group.spawn("holds", move |_| std::future::poll_fn(move |_| { let _held = &held; std::task::Poll::Ready(()) }));
            group.spawn_blocking("holds", move |_| { let _held = &in_blocking; });
            group.join().await;
            assert_eq!(drops.get(), 3 * round + 2);
            let late = TaskGroup::under(desist::Token::cancelled_with(Reason::Requested));
            late.spawn("holds", move |_| async move { drop(unbegun) });
            late.join().await;
            assert_eq!(drops.get(), 3 * round + 3);
        }
    }

    async fn a_task_that_spawns_its_successor_joins_the_ambient_token_once() {
        fn next(spawner: desist_tokio::Spawner, left: usize) {
            let again = spawner.clone();
            spawner.spawn("generation", move |_| async move {
                if left > 0 {
                    next(again, left - 1);
                }
            });
        }
        let request = Source::new();
        let group = TaskGroup::new();
        let spawner = group.spawner();
        desist_tokio::with_current(request.token(), async { next(spawner, 50_000) }).await;
        assert_eq!(group.join().await.len(), 50_001, "not a chain of as many tokens");
    }

    async fn a_task_that_ends_with_its_runtime_is_a_failure_to_who_waits() {
        let group = TaskGroup::new();
        let spawner = group.spawner();
        std::thread::spawn(move || {
            let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
            other.block_on(async move { spawner.spawn("orphan", |_| pending::<()>()) });
        }).join().unwrap();
        let failed = group.wait().await.unwrap_err();
        assert!(failed.into_error().to_string().contains("runtime"));
    }

    async fn dropping_a_group_cancels_and_aborts_its_tasks() {
        let (drops, asked) = (Count::new(), Count::new());
        let group = TaskGroup::new();
        let all = std::sync::Arc::new(Barrier::new(11));
        for _ in 0..10 {
            let (held, all) = (Dropped(drops.clone()), std::sync::Arc::clone(&all));
            group.spawn("deaf", move |_stop| async move {
                let _held = held;
                all.wait().await;
                pending::<()>().await;
            });
        }
        all.wait().await;
        let token = group.signal().token().clone();
        let heard = asked.clone();
        token.on_cancel(move |cancelled| {
            assert_eq!(cancelled.reason(), Reason::Dropped);
            heard.add();
        }).detach();
        drop(group);
        assert_eq!(asked.get(), 1);
        common::until("all are dropped", || drops.get() == 10).await;
    }

    async fn a_task_not_begun_when_the_group_is_cancelled_is_never_polled() {
        let mut on_both_sides = [0, 0];
        for round in 0..300 {
            let (called, polled) = (Count::new(), Count::new());
            let group = TaskGroup::new();
            for _ in 0..20 {
                let (called, polled) = (called.clone(), polled.clone());
                group.spawn("racing", move |_stop| {
                    called.add();
                    async move { polled.add() }
                });
            }
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
            group.cancel();
            let ended = group.join().await;
            let finished = ended.iter().filter(|e| matches!(e.outcome(), Outcome::Finished(()))).count();
            let never = ended.iter().filter(|e| matches!(e.outcome(), Outcome::CancelledBeforeStart(_))).count();
            assert_eq!(finished + never, 20);
            assert_eq!((called.get(), polled.get()), (finished, finished), "only what has begun");
            on_both_sides[0] += finished;
            on_both_sides[1] += never;
        }
        assert!(on_both_sides.iter().all(|side| *side > 0), "{on_both_sides:?}");
    }
}

/// On one thread nothing can have begun between the spawn and the cancel.
#[test]
fn nothing_of_a_task_is_run_that_was_spawned_just_before_the_cancel() {
    common::on(common::current_thread(), async {
        let called = Count::new();
        let group = TaskGroup::new();
        let counted = called.clone();
        group.spawn("never", move |_| {
            counted.add();
            async {}
        });
        group.cancel();
        let ended = group.join().await;
        assert!(matches!(ended[0].outcome(), Outcome::CancelledBeforeStart(_)));
        assert_eq!(called.get(), 0);
    });
}

#[test]
fn a_hundred_thousand_tasks_in_one_group() {
    for runtime in [common::current_thread(), common::multi_thread()] {
        common::on(runtime, async {
            let group = TaskGroup::new().returning::<usize>();
            for number in 0..100_000 {
                group.spawn("one of many", move |_| async move { number });
            }
            let ended = group.join().await;
            let sum: usize =
                ended.into_iter().filter_map(|end| end.into_outcome().finished()).sum();
            assert_eq!(sum, 100_000 * 99_999 / 2);

            // And as many that wait, and are asked.
            let group = TaskGroup::new();
            for _ in 0..100_000 {
                group.spawn("one of many", |stop| async move {
                    stop.token().await;
                });
            }
            tokio::task::yield_now().await;
            let report = group.stop(PATIENCE).await;
            assert_eq!(report.outcomes().len(), 100_000);
            assert!(report.is_clean(), "{report}");
        });
    }
}
