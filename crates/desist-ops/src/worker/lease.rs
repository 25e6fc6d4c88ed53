//! The lease: P7 to P9.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use desist::Reason;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Worker;
use crate::measure;
use crate::protocol::{Intent, Join, Leave, Renew};
use crate::store::{Store, Within};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);
/// How long somebody who leaves tries to say so.
const LEAVE: Duration = Duration::from_secs(2);

/// For as long as it is polled.
pub(super) async fn keep<S: Store>(worker: &Worker<S>) {
    loop {
        let (node, mut limit) = join(worker).await;
        worker.register.set_node(Some(node.clone()));
        renew(worker, &node, &mut limit).await;
        // P8, P9: it is nobody any more.
        worker.register.set_node(None);
        measure::lease_lost();
        for live in worker.register.all() {
            live.lose(Reason::LeaseLost);
        }
    }
}

fn lease<S: Store>(worker: &Worker<S>) -> Duration {
    worker.operations.shared().settings.lease
}

/// P8: from before it was asked for, less a margin.
fn own_limit(asked: Instant, lease: Duration) -> Instant {
    asked + lease - lease / 5
}

async fn join<S: Store>(worker: &Worker<S>) -> (String, Instant) {
    let (shared, lease) = (worker.operations.shared(), lease(worker));
    // Of letters that need no quotes.
    let node = String::from_utf8_lossy(&crate::id::letters::<16>()).into_owned();
    loop {
        let asked = Instant::now();
        let join = Join { node: node.clone(), label: shared.settings.label.clone(), lease };
        match shared.store.transact(Within::Lease, join).await {
            Ok(()) => return (node, own_limit(asked, lease)),
            Err(error) => {
                measure::trouble("join", &error);
                sleep(AGAIN).await;
            }
        }
    }
}

/// Until its lease is over.
async fn renew<S: Store>(worker: &Worker<S>, node: &str, limit: &mut Instant) {
    let (shared, lease) = (worker.operations.shared(), lease(worker));
    let every = (lease / 3).min(shared.settings.look_every);
    loop {
        // A process that was stopped for long comes here late, and must not go on.
        tokio::select! {
            biased;
            () = sleep_until(*limit) => return,
            () = sleep(every) => {}
        }
        loop {
            let asked = Instant::now();
            let before = worker.register.all();
            let renews = Renew { node: node.to_owned(), lease };
            match timeout_at(*limit, shared.store.transact(Within::Lease, renews)).await {
                Err(_) | Ok(Ok(None)) => return,
                Ok(Ok(Some(intents))) => {
                    if Instant::now() >= *limit {
                        return;
                    }
                    *limit = own_limit(asked, lease);
                    apply(worker, &before, &intents);
                    break;
                }
                Ok(Err(error)) => {
                    measure::trouble("renew", &error);
                    if timeout_at(*limit, sleep(AGAIN)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// What the database says of all that ran before it was asked.
fn apply<S: Store>(worker: &Worker<S>, before: &[Arc<super::Live>], intents: &[Intent]) {
    for intent in intents {
        if let Some(live) = worker.register.of(intent) {
            super::hear::tell(worker, &live, intent);
        }
    }
    let there: HashSet<_> = intents.iter().map(|intent| (intent.id, intent.generation)).collect();
    for live in before {
        // One that has written its end is not there any more, and is not lost; also if it does
        // not know that yet. A commit of one that is lost is refused.
        let is_there = there.contains(&(live.id, live.generation));
        if !is_there && !live.is_ending() && !live.may_have_committed() {
            live.lose(Reason::LeaseLost);
        }
    }
}

/// Listens to calls, under whatever name it has.
pub(super) async fn listen<S: Store>(worker: &Worker<S>) {
    let shared = worker.operations.shared();
    let mut nodes = worker.register.nodes();
    loop {
        let node = nodes.borrow_and_update().clone();
        let Some(node) = node else {
            if nodes.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            () = shared.store.listen(node, Arc::clone(&shared.hints)) => {}
            changed = nodes.changed() => if changed.is_err() { return },
        }
    }
}

/// Says that it has ended.
pub(super) async fn leave<S: Store>(worker: &Worker<S>) {
    let Some(node) = worker.register.node() else { return };
    let leaves = worker.operations.store().transact(Within::Lease, Leave { node });
    // Otherwise its lease says so.
    let _ = tokio::time::timeout(LEAVE, leaves).await;
}
