//! Drain, ask, wait, abort, report: and it ends, whatever the tasks do.

use std::future::pending;
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_tokio::{Grace, Outcome, TaskGroup, current, shield_for, sleep};
use tokio::sync::oneshot;

use super::on_both;
use crate::common::{self, Count, Dropped, Gate, PATIENCE};

const SOON: Duration = Duration::from_millis(20);

on_both! {
    async fn those_that_heed_their_token_make_a_clean_report() {
        let group = TaskGroup::new();
        for _ in 0..10 {
            group.spawn("heeds", |stop| async move { sleep(PATIENCE * 2, &stop).await });
        }
        let report = group.stop(PATIENCE).await;
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.asked().reason(), Reason::Shutdown);
        assert!(report.asked().origin().file().ends_with("stopping.rs"), "the caller's place");
        assert_eq!(report.outcomes().len(), 10);
        assert!(report.outcomes().iter().all(|ended| ended.after().is_some()));
    }

    async fn a_straggler_is_aborted_and_named_with_its_place() {
        let drops = Count::new();
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        let held = Dropped(drops.clone());
        let line = line!() + 1;
        group.spawn("deaf", move |_stop| async move {
            let _held = held;
            begun.send(()).unwrap();
            pending::<()>().await;
        });
        has_begun.await.unwrap();
        let report = group.stop(SOON).await;
        assert_eq!(drops.get(), 1, "it was dropped when the report was made");
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert_eq!(straggler.name(), "deaf");
        assert_eq!(straggler.place().line(), line);
        assert!(straggler.place().file().ends_with("stopping.rs"));
        assert!(straggler.ended_after().unwrap() >= SOON);
        assert!(matches!(report.outcomes()[0].outcome(), Outcome::Aborted));
        assert!(!report.is_clean());
        let said = report.to_string();
        assert!(said.contains("`deaf`") && said.contains("aborted only"), "{said}");
        assert!(group.is_empty());
    }

    async fn draining_comes_first_and_has_its_own_time() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("drains", |stop| async move {
            begun.send(()).unwrap();
            stop.draining().await;
            let asked_at_once = stop.is_cancelled();
            assert!(!asked_at_once, "there is time to drain");
        });
        has_begun.await.unwrap();
        let report = group.stop(Grace::new(PATIENCE).drain_for(PATIENCE)).await;
        assert!(report.is_clean(), "{report}");
    }

    async fn without_a_time_to_drain_both_are_asked_at_once() {
        for _ in 0..1_000 {
            let group = TaskGroup::new();
            let stop = group.signal().clone();
            let (ready, is_ready) = oneshot::channel();
            // Who looks all the time sees no moment in between.
            let looks = std::thread::spawn(move || {
                ready.send(()).unwrap();
                while !stop.draining().is_cancelled() {
                    std::hint::spin_loop();
                }
                stop.is_cancelled()
            });
            is_ready.await.unwrap();
            let _ = group.stop(PATIENCE).await;
            assert!(looks.join().unwrap());
        }
    }

    async fn what_was_not_begun_at_the_abort_is_no_straggler() {
        let group = TaskGroup::new();
        let gate = Gate::default();
        for _ in 0..20 {
            let closed = gate.clone();
            group.spawn("waits for a worker", move |_| async move { closed.block() });
        }
        // Here nobody was polled, or two are.
        let mut stopping = std::pin::pin!(group.stop(Duration::ZERO));
        let polled = common::poll_once(stopping.as_mut());
        gate.open();
        let report = match polled {
            std::task::Poll::Ready(report) => report,
            std::task::Poll::Pending => stopping.await,
        };
        let begun = report.outcomes().iter().filter(|ended| !matches!(ended.outcome(), Outcome::CancelledBeforeStart(_)));
        let begun = begun.count();
        assert!(begun < 20 && report.stragglers().len() <= begun, "{report}");
    }

    async fn blocking_work_that_ignores_its_token_is_reported_and_not_waited_for() {
        let gate = Gate::default();
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        let closed = gate.clone();
        group.spawn_blocking("deaf", move |_stop| {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        let report = group.stop(SOON).await;
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert!(straggler.is_blocking() && straggler.ended_after().is_none());
        assert!(straggler.waited() >= SOON);
        assert!(matches!(report.outcomes()[0].outcome(), Outcome::StillRunning));
        assert!(report.to_string().contains("still runs"), "{report}");
        // Its end is not lost.
        gate.open();
        let ended = group.next().await.unwrap();
        assert!(matches!(ended.outcome(), Outcome::Finished(())) && ended.after().is_some());
    }

    async fn blocking_work_has_the_token() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn_blocking("heeds", move |stop| {
            assert_eq!(current(), *stop.token());
            begun.send(()).unwrap();
            stop.blocking_sleep(PATIENCE * 2)
        });
        has_begun.await.unwrap();
        let report = group.stop(PATIENCE).await;
        assert!(report.is_clean(), "{report}");
        assert!(matches!(report.outcomes()[0].outcome(), Outcome::Cancelled(_)));
    }

    async fn a_panic_of_blocking_work_is_an_outcome() {
        let group = TaskGroup::new();
        group.spawn_blocking("panics", |_| { panic!("no paper") });
        let ended = group.next().await.unwrap();
        assert!(matches!(ended.outcome(), Outcome::Panicked(panic) if panic.message() == "no paper"));
    }

    async fn the_cause_of_who_asked_first_stays() {
        let group = TaskGroup::new();
        group.cancel_with(Reason::LeaseLost);
        assert_eq!(group.stop(SOON).await.asked().reason(), Reason::LeaseLost);
    }

    async fn a_failure_while_stopping_is_in_the_report() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("fails", |stop| async move {
            begun.send(()).unwrap();
            stop.token().await;
            Err("could not flush")
        });
        has_begun.await.unwrap();
        let report = group.stop(PATIENCE).await;
        assert!(report.stragglers().is_empty() && !report.is_clean());
        assert!(report.to_string().contains("task `fails` failed: could not flush"), "{report}");
    }

    async fn a_shield_of_an_aborted_task_is_waited_for() {
        let (drops, group) = (Count::new(), TaskGroup::new());
        let (begun, has_begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let cleaned = drops.clone();
        group.spawn("shielded", |_stop| async move {
            let cleanup = shield_for(PATIENCE, async move {
                begun.send(()).unwrap();
                gone.await.unwrap();
                cleaned.add();
            });
            pending::<()>().await;
            drop(cleanup);
        });
        has_begun.await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(SOON * 5).await;
            go.send(()).unwrap();
        });
        let report = group.stop(SOON).await;
        assert_eq!(drops.get(), 1, "the cleanup is over");
        assert_eq!(report.stragglers().len(), 1, "{report}");
        assert_eq!(report.outcomes().len(), 1, "a shield that went well has no outcome");
    }

    async fn a_shield_that_never_ends_is_an_outcome_when_its_bound_is_over() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("shielded", |_stop| async move {
            let cleanup = shield_for(SOON * 3, pending::<()>());
            begun.send(()).unwrap();
            pending::<()>().await;
            drop(cleanup);
        });
        has_begun.await.unwrap();
        let report = group.stop(SOON).await;
        let shield = report.outcomes().iter().find(|ended| ended.name() == "shield").unwrap();
        assert!(matches!(shield.outcome(), Outcome::Overdue), "{report}");
    }

    async fn a_shield_that_is_overdue_makes_no_clean_report() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("shielded", |_stop| async move {
            shield_for(SOON, pending::<()>()).detach();
            begun.send(()).unwrap();
        });
        has_begun.await.unwrap();
        let report = group.stop(PATIENCE).await;
        assert!(report.stragglers().is_empty() && !report.is_clean(), "{report}");
        assert!(report.to_string().contains("`shield`"), "{report}");
    }

    async fn how_a_straggler_ended_is_known_whoever_takes_its_outcome() {
        let group = TaskGroup::new().forget_finished();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("slow", |_stop| async move {
            begun.send(()).unwrap();
            sleep(SOON * 3, &Token::never()).await.unwrap();
        });
        has_begun.await.unwrap();
        let (report, _taken) = tokio::join!(group.stop(SOON), group.next());
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert!(straggler.ended_after().is_some_and(|after| after >= SOON), "{report}");
        assert_eq!(group.len(), 0);
    }

    async fn a_drain_ends_where_the_group_is_cancelled_meanwhile() {
        let request = Source::new();
        let group = TaskGroup::under(request.token());
        let (begun, has_begun) = oneshot::channel();
        group.spawn("deaf", |_| async move { begun.send(()).unwrap(); pending::<()>().await });
        has_begun.await.unwrap();
        let mut stopping = std::pin::pin!(group.stop(Grace::new(SOON).drain_for(PATIENCE * 100)));
        assert!(common::poll_once(stopping.as_mut()).is_pending());
        request.cancel_with(Reason::Disconnected);
        let report = stopping.await;
        assert_eq!(report.asked().reason(), Reason::Disconnected);
        assert_eq!(report.stragglers().len(), 1);
    }

    /// A group is stopped by the time of whoever stops it.
    async fn a_group_whose_runtime_is_gone_with_its_paused_time_is_stopped_all_the_same() {
        let group = std::thread::spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async { TaskGroup::new() })
        });
        let group = group.join().unwrap();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("deaf", |_| async move { begun.send(()).unwrap(); pending::<()>().await });
        has_begun.await.unwrap();
        assert_eq!(group.stop(SOON).await.stragglers().len(), 1);
    }

    async fn the_time_since_the_request_is_by_the_clock_of_the_request() {
        let clock = desist::testing::ManualClock::new();
        clock.advance(PATIENCE * 100);
        let request = Source::with_clock(clock.clock());
        let group = TaskGroup::under(request.token());
        group.spawn("waits", |stop| async move {
            stop.token().await;
            stop.draining().check()
        });
        tokio::task::yield_now().await;
        request.cancel();
        let ended = group.next().await.unwrap();
        assert_eq!(ended.after(), Some(Duration::ZERO), "that clock stands still");
    }

    async fn a_grace_of_zero_aborts_at_once_and_ends() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("deaf", |_stop| async move { begun.send(()).unwrap(); pending::<()>().await });
        group.spawn("heeds", |stop| async move { stop.token().await; });
        has_begun.await.unwrap();
        let report = group.stop(Duration::ZERO).await;
        assert!(report.stragglers().iter().any(|straggler| straggler.name() == "deaf"));
        let heeds = report.outcomes().iter().find(|ended| ended.name() == "heeds").unwrap();
        assert!(matches!(heeds.outcome(), Outcome::Finished(()) | Outcome::CancelledBeforeStart(_)), "{heeds}");
        assert!(group.is_empty());
    }

    async fn an_endless_grace_waits_for_the_tasks() {
        let group = TaskGroup::new();
        group.spawn("heeds", |stop| async move { stop.token().await; });
        assert!(group.stop(Duration::MAX).await.is_clean());
    }

    async fn a_group_of_nobody_stops_at_once() {
        let report = TaskGroup::new().stop(PATIENCE * 100).await;
        assert!(report.is_clean() && report.outcomes().is_empty());
    }

    async fn a_stop_that_is_given_up_can_be_taken_up_again() {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("deaf", |_stop| async move { begun.send(()).unwrap(); pending::<()>().await });
        has_begun.await.unwrap();
        {
            let mut stopping = std::pin::pin!(group.stop(PATIENCE));
            assert!(common::poll_once(stopping.as_mut()).is_pending());
        }
        assert!(group.signal().is_cancelled() && group.len() == 1);
        assert_eq!(group.stop(SOON).await.stragglers().len(), 1);
    }
}

/// The worker is blocked; the report comes from elsewhere.
#[test]
fn a_task_that_blocks_its_worker_is_reported_and_not_waited_for() {
    let runtime = common::multi_thread();
    let gate = Gate::default();
    let closed = gate.clone();
    // Not as a task: what the blocked task wakes waits behind it.
    runtime.block_on(async move {
        let group = TaskGroup::new();
        let (begun, has_begun) = oneshot::channel();
        group.spawn("blocks", move |_stop| async move {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        let report = group.stop(SOON).await;
        let [straggler] = report.stragglers() else { panic!("{report}") };
        assert!(!straggler.is_blocking() && straggler.ended_after().is_none());
        assert!(straggler.to_string().contains("belongs into spawn_blocking"), "{straggler}");
        gate.open();
    });
}

fn one_blocking_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// The pool has one thread, and that one is taken: what waits for it is not begun.
#[test]
fn blocking_work_that_waits_for_a_thread_is_never_begun_in_a_cancelled_group() {
    common::on(one_blocking_thread(), async {
        let gate = Gate::default();
        let closed = gate.clone();
        let (begun, has_begun) = oneshot::channel();
        let taken = tokio::task::spawn_blocking(move || {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        let group = TaskGroup::new();
        group.spawn_blocking("queued", |_stop| unreachable!("it is never begun"));
        let report = group.stop(SOON).await;
        assert!(report.is_clean(), "{report}");
        assert!(matches!(report.outcomes()[0].outcome(), Outcome::CancelledBeforeStart(_)));
        gate.open();
        taken.await.unwrap();
        // The thread comes to it now, and finds that it must not.
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        assert!(group.next().await.is_none());
    });
}

/// However the group is cancelled, and without a `stop`.
#[test]
fn a_join_does_not_wait_for_blocking_work_that_has_no_thread_in_a_cancelled_group() {
    common::on(one_blocking_thread(), async {
        let gate = Gate::default();
        let closed = gate.clone();
        let taken = tokio::task::spawn_blocking(move || closed.block());
        let request = Source::new();
        let (plain, limited) = (
            TaskGroup::under(request.token()),
            TaskGroup::under(request.token()).max_concurrent(1),
        );
        for group in [&plain, &limited] {
            for _ in 0..3 {
                group.spawn_blocking("queued", |_stop| unreachable!("it is never begun"));
            }
        }
        request.cancel_with(Reason::Disconnected);
        for group in [&plain, &limited] {
            let ended = group.join().await;
            assert_eq!(ended.len(), 3);
            for ended in ended {
                let Outcome::CancelledBeforeStart(cancelled) = ended.outcome() else {
                    panic!("{ended}")
                };
                assert_eq!(cancelled.reason(), Reason::Disconnected);
            }
        }
        gate.open();
        taken.await.unwrap();
    });
}

/// An hour of grace, in no time.
#[tokio::test(start_paused = true)]
async fn a_grace_follows_the_paused_time() {
    let group = TaskGroup::new();
    group.spawn("slow", |stop| async move {
        stop.token().await;
        tokio::time::sleep(Duration::from_secs(3000)).await;
    });
    group.spawn("deaf", |_stop| pending::<()>());
    tokio::task::yield_now().await;
    let report = group.stop(Duration::from_secs(3600)).await;
    let slow = report.outcomes().iter().find(|ended| ended.name() == "slow").unwrap();
    assert!(matches!(slow.outcome(), Outcome::Finished(())));
    assert!(slow.after() >= Some(Duration::from_secs(3000)), "{:?}", slow.after());
    let [deaf] = report.stragglers() else { panic!("{report}") };
    let after = deaf.ended_after().unwrap();
    assert!(after >= Duration::from_secs(3600) && after < Duration::from_secs(3601), "{after:?}");
}

#[tokio::test]
async fn time_that_was_paused_after_the_group_was_made_counts_for_its_grace() {
    let group = TaskGroup::new();
    tokio::time::pause();
    group.spawn("deaf", |_| pending::<()>());
    tokio::task::yield_now().await;
    let begin = tokio::time::Instant::now();
    let report = group.stop(PATIENCE * 100).await;
    assert_eq!(report.stragglers().len(), 1);
    assert!(begin.elapsed() >= PATIENCE * 100);
}
