//! Operations are taken as long as there is room: P4.

use std::sync::Arc;
use std::time::Duration;

use desist::Reason;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Live, Worker, hear, run};
use crate::measure;
use crate::protocol::{Claim, Claimed, GiveBackOrphans, Run, Want};
use crate::store::{Store, Within};

/// So many of a kind at a time: one that takes all there is leaves others nothing.
const AT_ONCE: usize = 50;
/// After it could not be asked.
const AGAIN: Duration = Duration::from_millis(250);
/// What is due and was not given is being taken by somebody else.
const SOON: Duration = Duration::from_millis(250);
/// What is given back has this long to be written.
const SETTLE: Duration = Duration::from_secs(5);
/// And what was never begun.
const AUDIT: Duration = Duration::from_secs(2);

/// Until it was asked to stop, and what it ran has ended, or is not waited for any longer.
pub(super) async fn work<S: Store>(worker: &Arc<Worker<S>>, runs: &mut JoinSet<()>) {
    let stop = worker.stop.stop();
    let hints = Arc::clone(&worker.operations.shared().hints);
    let mut nodes = worker.register.nodes();
    let mut audited = Some(Instant::now());
    let look_every = worker.operations.shared().settings.look_every;
    while !stop.draining().is_cancelled() {
        while runs.try_join_next().is_some() {}
        let mut wait = look_every;
        let node = nodes.borrow_and_update().clone();
        if let Some(node) = node {
            match claim(worker, &node, &mut audited, runs).await {
                Ok(claimed) => {
                    if claimed.lost {
                        // The lease is told of that by itself.
                        wait = AGAIN;
                    } else if claimed.more {
                        continue;
                    } else if let Some(next) = claimed.next {
                        wait = wait.min(next.max(SOON));
                    }
                }
                Err(error) => {
                    measure::trouble("claim", &error);
                    // Its answer may have been lost, with what it took.
                    audited = None;
                    wait = AGAIN;
                }
            }
        }
        // One that ends makes room, also between two looks.
        tokio::select! {
            () = hints.until_work() => {}
            _ = nodes.changed() => {}
            Some(_) = runs.join_next() => {}
            () = sleep(wait) => {}
            _ = stop.draining().cancelled() => {}
        }
    }
    end(worker, runs).await;
    // A claim whose answer was lost has taken what nobody runs.
    if let Some(node) = worker.register.node() {
        let _ = tokio::time::timeout(AUDIT, audit(worker, &node)).await;
    }
}

/// What is said to run here and does not goes back. No claim is on its way now; those that end
/// meanwhile are counted as running.
async fn audit<S: Store>(worker: &Worker<S>, node: &str) -> Result<(), crate::Error> {
    let runs = worker.register.all().iter().map(|live| (live.id, live.generation)).collect();
    let orphans = GiveBackOrphans { node: node.to_owned(), runs };
    worker.operations.store().transact(Within::Control, orphans).await.map(drop)
}

async fn claim<S: Store>(
    worker: &Arc<Worker<S>>,
    node: &str,
    audited: &mut Option<Instant>,
    runs: &mut JoinSet<()>,
) -> Result<Claimed, crate::Error> {
    let shared = worker.operations.shared();
    if audited.is_none_or(|at| at.elapsed() >= shared.settings.look_every) {
        audit(worker, node).await?;
        *audited = Some(Instant::now());
    }
    let counts = worker.register.counts();
    let mut wants = Vec::new();
    for (name, kind) in &shared.kinds {
        let most = kind.settings.concurrency;
        let room = most.saturating_sub(counts.get(name).copied().unwrap_or(0)).min(AT_ONCE);
        if room > 0 {
            wants.push(Want { kind: name.clone(), most: room });
        }
    }
    if wants.is_empty() {
        return Ok(Claimed::default());
    }
    let label = shared.settings.label.clone();
    let claim = Claim { node: node.to_owned(), label, wants };
    let mut claimed = shared.store.transact(Within::Control, claim).await?;
    begin(worker, node, &mut claimed.runs, runs).await;
    Ok(claimed)
}

async fn begin<S: Store>(
    worker: &Arc<Worker<S>>,
    node: &str,
    claimed: &mut [Run],
    runs: &mut JoinSet<()>,
) {
    let shared = worker.operations.shared();
    let stop = worker.stop.stop();
    let mut lives = Vec::new();
    for run in &*claimed {
        let Some(kind) = shared.kinds.get(&run.kind) else { continue };
        let live = Live::new(run, kind.settings.grace, &stop);
        worker.register.add(&live);
        lives.push(live);
    }
    if lives.is_empty() {
        return;
    }
    // P4: after they are registered, and before they run. Nothing begins that is not read.
    let ids: Vec<_> = lives.iter().map(|live| live.id).collect();
    while worker.register.node().as_deref() == Some(node) {
        match hear::look(worker, ids.clone()).await {
            Ok(()) => break,
            Err(error) => measure::trouble("hear", &error),
        }
        sleep(hear::AGAIN).await;
    }
    // P9: whoever has lost its lease meanwhile has lost them.
    if worker.register.node().as_deref() != Some(node) {
        lives.iter().for_each(|live| live.lose(Reason::LeaseLost));
    }
    for (run, live) in claimed.iter_mut().zip(lives) {
        let input = std::mem::take(&mut run.input);
        runs.spawn(run::run(Arc::clone(worker), live, input));
    }
}

/// What runs comes to its end, or goes back.
async fn end<S: Store>(worker: &Arc<Worker<S>>, runs: &mut JoinSet<()>) {
    let (stop, settings) = (worker.stop.stop(), &worker.operations.shared().settings);
    let drained = Instant::now() + settings.drain_for;
    loop {
        tokio::select! {
            ended = runs.join_next() => if ended.is_none() { return },
            () = tokio::time::sleep_until(drained) => break,
            _ = stop.token().cancelled() => break,
        }
    }
    // Drained for longer than it may take.
    super::quietly(|| worker.stop.cancel_with(Reason::Shutdown));
    let grace = worker.register.all().iter().map(|live| live.grace).max().unwrap_or_default();
    let end = Instant::now() + grace + SETTLE;
    while let Ok(Some(_)) = timeout_at(end, runs.join_next()).await {}
}
