//! Requests to stop, as they are heard: P1, P4.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Live, Worker};
use crate::measure;
use crate::protocol::{Heard, HeardOne, Intent, Intents};
use crate::store::{Store, Within};
use crate::{Error, OperationId};

/// Between two tries; the next renewal finds whatever this has not.
pub(super) const AGAIN: Duration = Duration::from_millis(100);
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
        if ids.is_empty() {
            continue;
        }
        for _ in 0..TRIES {
            match look(worker, ids.clone()).await {
                Ok(()) => break,
                Err(error) => measure::trouble("hear", &error),
            }
            sleep(AGAIN).await;
        }
    }
}

/// Reads what was asked of these, and tells them.
pub(super) async fn look<S: Store>(worker: &Worker<S>, ids: Vec<OperationId>) -> Result<(), Error> {
    let Some(node) = worker.register.node() else { return Ok(()) };
    for intent in &worker.operations.store().transact(Within::Lease, Intents { node, ids }).await? {
        if let Some(live) = worker.register.of(intent) {
            tell(worker, &live, intent);
        }
    }
    Ok(())
}

/// Tells those that commit, where that keeps their request from being written. For as long as it is
/// polled.
pub(super) async fn at_once<S: Store>(worker: &Worker<S>) {
    loop {
        for (id, request) in worker.operations.shared().hints.until_at_once().await {
            for live in worker.register.with(id).iter().filter(|live| live.is_committing()) {
                let (generation, age) = (live.generation, Duration::ZERO);
                let request = Some(request.clone());
                tell(worker, live, &Intent { id, generation, request, age });
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

/// So many rows are held at a time.
pub(super) const AT_ONCE: usize = 25;

/// Keeps which have heard, for as long as it is polled. Nobody waits for that, and their ends say
/// it again; of those that do not end it is tried again.
pub(super) async fn note<S: Store>(worker: &Worker<S>) {
    loop {
        let lives = worker.register.until_heard().await;
        for some in lives.chunks(AT_ONCE) {
            let one = |live: &Arc<Live>| HeardOne {
                id: live.id,
                generation: live.generation,
                heard: live.heard().map(|(_, since)| since),
                seen: live.heard().and_then(|_| live.seen()),
                late: live.late(),
            };
            let heard = Heard { heard: some.iter().map(one).collect() };
            match worker.operations.store().transact(Within::Control, heard).await {
                Ok(late) => {
                    let is = |live: &&Arc<Live>| late.contains(&(live.id, live.generation));
                    some.iter().filter(is).for_each(|live| live.is_noted());
                }
                Err(error) => measure::trouble("heard", &error),
            }
        }
    }
}
