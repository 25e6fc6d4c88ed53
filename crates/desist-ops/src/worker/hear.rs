//! Requests to stop, as they are heard: P1, P4.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Live, Worker};
use crate::OperationId;
use crate::measure;
use crate::protocol::{Heard, HeardOne, Intent, Intents};
use crate::store::{Store, Within};

/// Between two tries; the next renewal finds whatever this has not.
const AGAIN: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;

/// For as long as it is polled.
pub(super) async fn hear<S: Store>(worker: &Worker<S>) {
    loop {
        let hints = worker.operations.shared().hints.next().await;
        let ids: Vec<_> = match hints {
            Some(ids) => {
                ids.into_iter().filter(|id| !worker.register.with(*id).is_empty()).collect()
            }
            None => worker.register.all().iter().map(|live| live.id).collect(),
        };
        if !ids.is_empty() {
            look(worker, ids).await;
        }
    }
}

/// Reads what was asked of these, and tells them.
pub(super) async fn look<S: Store>(worker: &Worker<S>, ids: Vec<OperationId>) {
    for _ in 0..TRIES {
        let Some(node) = worker.register.node() else { return };
        let looks = Intents { node, ids: ids.clone() };
        match worker.operations.store().transact(Within::Lease, looks).await {
            Ok(intents) => {
                for intent in &intents {
                    if let Some(live) = worker.register.of(intent) {
                        tell(worker, &live, intent);
                    }
                }
                return;
            }
            Err(error) => {
                measure::trouble("hear", &error);
                sleep(AGAIN).await;
            }
        }
    }
}

/// What was asked is told to the run, and it is kept that it was.
pub(super) fn tell<S: Store>(worker: &Worker<S>, live: &Arc<Live>, intent: &Intent) {
    if !live.hears(intent) {
        return;
    }
    measure::heard(live);
    worker.register.has_heard(live);
}

/// Keeps which have heard, for as long as it is polled. Nobody waits for that, and their ends say
/// it again.
pub(super) async fn note<S: Store>(worker: &Worker<S>) {
    loop {
        let mut heard = Vec::new();
        for live in worker.register.until_heard().await {
            if let Some(((_, since), seen)) = live.heard().zip(live.seen()) {
                let (id, generation) = (live.id, live.generation);
                heard.push(HeardOne { id, generation, heard: since, seen });
            }
        }
        if let Err(error) =
            worker.operations.store().transact(Within::Control, Heard { heard }).await
        {
            measure::trouble("heard", &error);
        }
    }
}
