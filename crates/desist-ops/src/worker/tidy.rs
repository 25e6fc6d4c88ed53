//! What is done now and then: progress is written, the dead are looked for, what is old is
//! removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::hear::AT_ONCE;
use super::{Live, Worker};
use crate::measure;
use crate::protocol::{KeepProgress, Prune, Step, TakeOver};
use crate::store::{Store, Within};

/// Progress is written so often at most.
const PROGRESS: Duration = Duration::from_secs(1);
/// After a lease is over, or what is over is held by somebody.
const SOON: Duration = Duration::from_millis(100);
/// What is old is removed so often.
const PRUNE: Duration = Duration::from_secs(60);

/// For as long as it is polled.
pub(super) async fn tidy<S: Store>(worker: &Worker<S>) {
    tokio::join!(keep_progress(worker), take_over(worker), prune(worker));
}

fn every(time: Duration) -> tokio::time::Interval {
    let mut every = interval(time);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

async fn keep_progress<S: Store>(worker: &Worker<S>) {
    let mut every = every(PROGRESS);
    let mut running = measure::Running::default();
    let mut last_call = None;
    loop {
        every.tick().await;
        running.are(&worker.register.all());
        measure::push(&worker.operations.shared().hints, &mut last_call);
        let all = worker.register.all();
        // What could not be written of those that do not stop is written again.
        all.iter().filter(|live| live.is_to_be_noted()).for_each(|live| {
            worker.register.has_heard(live);
        });
        let steps: Vec<_> =
            all.into_iter().filter_map(|live| Some((live.unwritten()?, live))).collect();
        for some in steps.chunks(AT_ONCE) {
            keep_some(worker, some).await;
        }
    }
}

async fn keep_some<S: Store>(worker: &Worker<S>, some: &[(Step, Arc<Live>)]) {
    let steps = some.iter().map(|(step, live)| (live.id, live.generation, step.clone())).collect();
    let of = some.iter().map(|(_, live)| live);
    match worker.operations.store().transact(Within::Control, KeepProgress { steps }).await {
        Ok(left) => {
            of.clone().filter(|live| left.contains(&live.id)).for_each(|live| live.write_again());
            worker.operations.local().tell(|hints| {
                of.clone().for_each(|live| hints.changed(live.id));
            });
        }
        Err(error) => {
            measure::trouble("progress", &error);
            of.for_each(|live| live.write_again());
        }
    }
}

async fn take_over<S: Store>(worker: &Worker<S>) {
    let shared = worker.operations.shared();
    loop {
        let mut wait = shared.settings.lease / 5;
        match shared.store.transact(Within::Control, TakeOver).await {
            Ok(taken) => {
                measure::taken_over(&taken);
                let changed: Vec<_> = taken.again.iter().chain(&taken.ended).copied().collect();
                worker.operations.local().tell(|hints| {
                    changed.iter().for_each(|id| hints.changed(*id));
                });
                if !taken.again.is_empty() {
                    shared.hints.work();
                }
                if taken.more {
                    continue;
                }
                // As soon as somebody could be dead. Whoever lives has renewed by then.
                wait = taken.next.map_or(wait, |next| wait.min(next + SOON));
            }
            Err(error) => measure::trouble("take over", &error),
        }
        sleep(wait).await;
    }
}

async fn prune<S: Store>(worker: &Worker<S>) {
    let shared = worker.operations.shared();
    let Some(after) = shared.settings.keep else { return std::future::pending().await };
    let mut every = every(PRUNE);
    loop {
        every.tick().await;
        let begin = Instant::now();
        // Others have work, too.
        while begin.elapsed() < PRUNE / 4 {
            match shared.store.transact(Within::Control, Prune { after }).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    measure::trouble("remove what is old", &error);
                    break;
                }
            }
        }
    }
}
