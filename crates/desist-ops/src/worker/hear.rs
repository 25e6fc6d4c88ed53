//! Requests to stop, as they are heard: P1, P4.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Live, Worker};
use crate::OperationId;
use crate::measure;
use crate::protocol::{Heard, Intent, Intents};
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
        match worker.operations.store().transact(Within::Control, looks).await {
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
    let (store, live) = (worker.operations.store().clone(), Arc::clone(live));
    // Nobody waits for that, and its end says it again.
    tokio::spawn(async move {
        let (Some((_, heard)), Some(seen)) = (live.heard(), live.seen()) else { return };
        let keeps = Heard { id: live.id, generation: live.generation, heard, seen };
        if let Err(error) = store.transact(Within::Control, keeps).await {
            measure::trouble("heard", &error);
        }
    });
}
