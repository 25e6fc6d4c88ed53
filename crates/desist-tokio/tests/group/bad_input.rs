//! Misuse: a clear error, or what the documentation says; never a hang.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use desist_tokio::{Grace, OnFailure, Outcome, TaskGroup};

use crate::common::{self, Count, Dropped, PATIENCE};

fn panic_of(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("it panics");
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        payload.downcast_ref::<&str>().map(|text| (*text).to_owned()).unwrap_or_default()
    })
}

#[test]
fn spawning_outside_a_runtime_says_what_to_do() {
    let group = TaskGroup::new();
    let said = panic_of(|| _ = group.spawn("lost", |_| async {}));
    assert!(said.contains("outside a tokio runtime") && said.contains("Runtime::enter"), "{said}");
    let said = panic_of(|| _ = group.spawn_blocking("lost", |_| {}));
    assert!(said.contains("outside a tokio runtime"), "{said}");
    assert!(group.is_empty(), "nothing is left of it");
}

#[test]
fn a_shield_and_a_clock_outside_a_runtime_say_what_to_do() {
    let said = panic_of(|| desist_tokio::shield(async {}).detach());
    assert!(said.contains("outside a tokio runtime"), "{said}");
    let said = panic_of(|| drop(desist_tokio::clock()));
    assert!(said.contains("outside a tokio runtime"), "{said}");
}

#[test]
fn a_limit_of_zero_says_that_nothing_would_begin() {
    let said = panic_of(|| drop(TaskGroup::new().max_concurrent(0)));
    assert!(said.contains("at least 1"), "{said}");
}

#[test]
fn settings_come_before_the_first_task() {
    let runtime = common::current_thread();
    let _inside = runtime.enter();
    let group = TaskGroup::new();
    group.spawn("first", |_| pending::<()>());
    let said = panic_of(|| drop(group.max_concurrent(2)));
    assert!(said.contains("before its first task"), "{said}");
    let group = TaskGroup::new();
    let spawner = group.spawner();
    let said = panic_of(|| drop(group.max_concurrent(2)));
    assert!(said.contains("its first spawner"), "{said}");
    drop(spawner);
    drop(TaskGroup::new().max_concurrent(usize::MAX));
}

/// Made on one runtime, used from another: its tasks run where they are spawned.
#[test]
fn a_group_moved_between_runtimes_has_tasks_on_both() {
    let (first, second) = (common::multi_thread(), common::multi_thread());
    let group = first.block_on(async {
        let group = TaskGroup::new().returning::<tokio::runtime::Id>();
        group.spawn("first", |_| async { tokio::runtime::Handle::current().id() });
        group
    });
    let (first_id, second_id) = (first.handle().id(), second.handle().id());
    second.block_on(async {
        group.spawn("second", |_| async { tokio::runtime::Handle::current().id() });
    });
    // Outside of both it is the one where the group was made.
    group.spawn("third", |_| async { tokio::runtime::Handle::current().id() });
    let ended = second.block_on(group.join());
    for ended in ended {
        let on = if ended.name() == "second" { second_id } else { first_id };
        assert_eq!(ended.into_outcome().finished(), Some(on));
    }
}

/// The end of a runtime is the end of its tasks, and is said.
#[test]
fn tasks_of_a_runtime_that_is_shut_down_are_not_lost() {
    let (first, second) = (common::current_thread(), common::current_thread());
    let drops = Count::new();
    let group = TaskGroup::new().on_failure(OnFailure::Continue);
    let held = Dropped(drops.clone());
    first.block_on(async {
        group.spawn("orphan", move |_| async move {
            let _held = held;
            pending::<()>().await;
        });
        tokio::task::yield_now().await;
    });
    drop(first);
    assert_eq!(drops.get(), 1);
    let ended = second.block_on(group.join());
    assert!(matches!(ended[0].outcome(), Outcome::RuntimeGone), "{ended:?}");
    // Spawned into a runtime that is gone it is over at once.
    let gone = common::current_thread();
    let handle = gone.handle().clone();
    drop(gone);
    let _inside = handle.enter();
    group.spawn("late", |_| async {});
    group.spawn_blocking("late", |_| {});
    drop(_inside);
    let ended = second.block_on(group.join());
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|ended| matches!(ended.outcome(), Outcome::RuntimeGone)), "{ended:?}");
}

#[test]
fn a_join_outside_any_runtime_works() {
    let runtime = common::multi_thread();
    let group = runtime.block_on(async {
        let group = TaskGroup::new();
        group.spawn("one", |_| async {});
        group
    });
    let mut join = std::pin::pin!(group.join());
    let begin = Instant::now();
    loop {
        if let std::task::Poll::Ready(ended) = common::poll_once(join.as_mut()) {
            assert_eq!(ended.len(), 1);
            break;
        }
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// A runtime without tokio's timer: the grace is the core's.
#[test]
fn a_group_stops_in_a_runtime_without_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let group = TaskGroup::new();
        group.spawn("deaf", |_| pending::<()>());
        tokio::task::yield_now().await;
        let grace = Grace::new(Duration::from_millis(10)).drain_for(Duration::from_millis(10));
        assert_eq!(group.stop(grace).await.stragglers().len(), 1);
    });
}

#[test]
fn dropping_a_group_outside_its_runtime_while_a_panic_unwinds_does_not_abort() {
    let runtime = common::multi_thread();
    let group = runtime.block_on(async {
        let group = TaskGroup::new();
        group.spawn("deaf", |_| pending::<()>());
        group
    });
    let token = group.signal().token().clone();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _group = group;
        panic!("on the way");
    }));
    assert!(unwound.is_err() && token.is_cancelled());
}
