//! Rows T: tasks that are spawned and waited for, per task. Each sample is a
//! thousand of them in one set.

use std::future::ready;

use desist_tokio::TaskGroup;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::measure::{Batch, Entries, Row};
use crate::sample::{Sample, timed};

const TASKS: usize = 1_000;

pub(super) const ROWS: &[Row] = &[
    Row::new("t1", "spawn and join a task, one thread, ns each", "≤ 1.1 × JoinSet", |entries| {
        sets(entries, one_thread);
    }),
    Row::new("t2", "spawn and join a task, two workers, ns each", "≤ 1.1 × JoinSet", |entries| {
        sets(entries, two_workers);
    }),
];

fn one_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime on this thread")
}

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().expect("a runtime of two workers")
}

fn sets(entries: &mut Entries<'_>, runtime: fn() -> Runtime) {
    entries.add("desist TaskGroup", || {
        of_all(runtime(), async || {
            let group = TaskGroup::new();
            for _ in 0..TASKS {
                group.spawn("task", |_stop| ready(()));
            }
            assert_eq!(group.join().await.len(), TASKS);
        })
    });
    entries.add("tokio JoinSet", || {
        of_all(runtime(), async || {
            let mut set = JoinSet::new();
            for _ in 0..TASKS {
                set.spawn(ready(()));
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
        of_all(runtime(), async || {
            let tracker = TaskTracker::new();
            for _ in 0..TASKS {
                tracker.spawn(ready(()));
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
