//! Who is in a group now, as whoever looks at it sees it.

use std::future::pending;

use desist_tokio::{RunningTask, TaskGroup, shield_for};
use tokio::sync::oneshot;

use super::on_both;
use crate::common::{self, Gate, PATIENCE};

fn names(running: &[RunningTask]) -> Vec<&str> {
    running.iter().map(RunningTask::name).collect()
}

on_both! {
    async fn those_that_have_not_ended_are_told_the_oldest_first() {
        let group = TaskGroup::new();
        let spawner = group.spawner();
        assert!(group.running().is_empty() && spawner.running().is_empty() && spawner.is_empty());
        let (ends, end) = oneshot::channel();
        let first = group.spawn("first", |stop| async move { stop.token().await; });
        let second = group.spawn("second", |_| async move { end.await.unwrap(); });
        let line = line!() + 1;
        let third = spawner.spawn(String::from("third"), |stop| async move { stop.token().await; });
        assert_eq!(names(&group.running()), ["first", "second", "third"]);
        ends.send(()).unwrap();
        assert_eq!(group.next().await.unwrap().id(), second);
        // It has the slot of the one that has ended.
        let fourth = group.spawn("fourth", |stop| async move { stop.token().await; });
        for running in [group.running(), spawner.running()] {
            assert_eq!(names(&running), ["first", "third", "fourth"]);
            let ids: Vec<_> = running.iter().map(RunningTask::id).collect();
            assert_eq!(ids, [first, third, fourth]);
            assert_eq!((running[1].place().file(), running[1].place().line()), (file!(), line));
            let said = format!("task `third` (spawned at {})", running[1].place());
            assert_eq!(running[1].to_string(), said);
            assert!(!running[1].is_blocking());
        }
        assert_eq!((group.len(), spawner.len(), spawner.is_empty()), (3, 3, false));
        group.cancel();
        group.join().await;
        assert!(group.running().is_empty() && spawner.running().is_empty());
        assert_eq!((spawner.len(), spawner.is_empty()), (0, true));
    }

    async fn blocking_work_is_told_as_such_with_a_thread_and_without() {
        let group = TaskGroup::new().max_concurrent(1);
        let (gate, (begun, has_begun)) = (Gate::default(), oneshot::channel());
        let closed = gate.clone();
        group.spawn_blocking("has its thread", move |_| {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        group.spawn_blocking("waits for one", |_| ());
        group.spawn("waits for its turn", |_| async {});
        let running = group.running();
        let told: Vec<_> = running.iter().map(|task| (task.name(), task.is_blocking())).collect();
        let expected =
            [("has its thread", true), ("waits for one", true), ("waits for its turn", false)];
        assert_eq!(told, expected);
        gate.open();
        group.join().await;
    }

    async fn a_spawner_tells_who_is_left_of_a_group_that_is_gone() {
        let group = TaskGroup::new();
        let spawner = group.spawner();
        let (gate, (begun, has_begun)) = (Gate::default(), oneshot::channel());
        let closed = gate.clone();
        group.spawn("can be ended", |_| pending::<()>());
        group.spawn_blocking("cannot", move |_| {
            begun.send(()).unwrap();
            closed.block();
        });
        has_begun.await.unwrap();
        drop(group);
        common::until("what can be ended is", || spawner.len() == 1).await;
        assert_eq!(names(&spawner.running()), ["cannot"]);
        gate.open();
        common::until("it ends", || spawner.is_empty()).await;
        assert!(spawner.running().is_empty());
    }

    async fn a_shield_and_a_group_that_are_left_are_told_with_the_tasks() {
        let group = TaskGroup::new();
        let (gate, (begun, has_begun)) = (Gate::default(), oneshot::channel());
        let (ends, end) = oneshot::channel::<()>();
        let closed = gate.clone();
        group.spawn("outer", |_| async move {
            let inner = TaskGroup::new();
            let cleanup = shield_for(PATIENCE, async move { _ = end.await; });
            inner.spawn_blocking("deaf", move |_| {
                begun.send(()).unwrap();
                closed.block();
            });
            has_begun.await.unwrap();
            drop((inner, cleanup));
        });
        group.next().await.unwrap();
        let running = group.running();
        assert_eq!(running.len(), group.len());
        assert_eq!(names(&running), ["shield", "group of deaf"]);
        assert!(!running[0].is_blocking() && running[1].is_blocking());
        gate.open();
        ends.send(()).unwrap();
        common::until("both are over", || group.is_empty()).await;
        assert!(group.running().is_empty());
    }
}
