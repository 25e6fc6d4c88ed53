//! Rows T: tasks that are spawned and waited for, per task. Each sample is a
//! thousand of them in one set.

use std::future::{Future, ready};

use desist_tokio::TaskGroup;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio_util::task::TaskTracker;

use crate::measure::{Batch, Entries, Row};
use crate::sample::{Sample, timed};

const TASKS: usize = 1_000;

pub(super) const ROWS: &[Row] = &[
    Row::new("t1", "spawn and join a task, one thread, ns each", "≤ 1.1 × JoinSet", |entries| {
        sets(entries, one_thread, || ready(()));
    }),
    Row::new("t2", "spawn and join a task, two workers, ns each", "≤ 1.1 × JoinSet", |entries| {
        sets(entries, two_workers, || ready(()));
    }),
    Row::new(
        "t3",
        "the same of one that yields once, one thread",
        "≤ 1.1 × JoinSet",
        |entries| {
            sets(entries, one_thread, yield_now);
        },
    ),
];

fn one_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime on this thread")
}

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().expect("a runtime of two workers")
}

fn sets<F>(entries: &mut Entries<'_>, runtime: fn() -> Runtime, task: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    entries.add("desist TaskGroup", || {
        of_all(runtime(), async move || {
            let group = TaskGroup::new();
            for _ in 0..TASKS {
                group.spawn("task", move |_stop| task());
            }
            assert_eq!(group.join().await.len(), TASKS);
        })
    });
    entries.add("tokio JoinSet", || {
        of_all(runtime(), async move || {
            let mut set = JoinSet::new();
            for _ in 0..TASKS {
                set.spawn(task());
            }
            let mut joined = 0;
            while let Some(ended) = set.join_next().await {
                ended.expect("it does not panic");
                joined += 1;
            }
            assert_eq!(joined, TASKS);
        })
    });
    // It only waits: how a task ended it does not know.
    entries.add("tokio-util TaskTracker", || {
        of_all(runtime(), async move || {
            let tracker = TaskTracker::new();
            for _ in 0..TASKS {
                tracker.spawn(task());
            }
            tracker.close();
            tracker.wait().await;
        })
    });
}

fn of_all(runtime: Runtime, work: impl AsyncFn() + 'static) -> Batch {
    Batch::latency(move || {
        let sample = timed(|| runtime.block_on(work()));
        Sample { ns: sample.ns / TASKS as f64, ..sample }
    })
}
