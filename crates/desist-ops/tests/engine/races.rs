//! Starts and cancels at the same time: whoever was first, both sides agree on it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist_ops::{
    BoxError, CancelAnswer, Context, Filter, Kind, OperationId, Operations, State, Store,
};
use desist_tokio::sleep;

use crate::PATIENCE;
use crate::bench::*;
use crate::world::{World, on_both};

on_both!(whoever_is_first_all_agree_on_it);

type Begun = Arc<Mutex<HashSet<OperationId>>>;

/// Notes that it was begun, and is done soon, if it is not stopped.
fn short<S: Store>(begun: &Begun) -> Kind<S> {
    let begun = Arc::clone(begun);
    Kind::new("short", move |ctx: Context<S>, last: u64| {
        begun.lock().unwrap().insert(ctx.id());
        async move {
            sleep(millis(last), ctx.token()).await?;
            Ok::<_, BoxError>(())
        }
    })
}

/// What was answered, and how it ended.
#[derive(Default)]
struct Sides {
    before: Vec<OperationId>,
    asked: Vec<OperationId>,
    finished: Vec<OperationId>,
}

impl Sides {
    fn are_seen(&self) -> bool {
        self.before.len() >= 5 && self.asked.len() >= 5
    }
}

/// Cancels as close as it can to the moment in which a worker takes it: it comes later after it
/// was too early, and earlier after it was too late.
async fn races<S: Store>(operations: Operations<S>, seed: u64) -> Sides {
    const LEAST: usize = 40;
    let (mut sides, mut wait) = (Sides::default(), Duration::from_micros(500));
    let begin = Instant::now();
    for n in 0.. {
        if n >= LEAST && (sides.are_seen() || begin.elapsed() > PATIENCE) {
            break;
        }
        let lasts = [0, 1, 5, 50][(n + seed as usize) % 4];
        let id = operations.start("short", &lasts).await.unwrap().id();
        tokio::time::sleep(wait).await;
        match operations.cancel(id, by("ada")).await.unwrap() {
            CancelAnswer::CancelledBeforeStart => {
                sides.before.push(id);
                wait = wait * 3 / 2 + millis(1);
            }
            CancelAnswer::Requested => {
                sides.asked.push(id);
                wait = wait * 2 / 3;
            }
            CancelAnswer::AlreadyFinished(_) => {
                sides.finished.push(id);
                wait = wait * 2 / 3;
            }
            other => panic!("{other:?}"),
        }
    }
    sides
}

async fn whoever_is_first_all_agree_on_it<W: World>(world: &W) {
    let begun = Begun::default();
    let (one, other) =
        (process(world, [short(&begun)]).await, process(world, [short(&begun)]).await);
    let here = process(world, [short(&begun)]).await;
    let (run_one, run_other) = (runs(&one), runs(&other));
    let racers = (0..4).map(|seed| tokio::spawn(races(here.clone(), seed)));
    let mut all = Sides::default();
    for racer in racers.collect::<Vec<_>>() {
        let sides = racer.await.unwrap();
        all.before.extend(sides.before);
        all.asked.extend(sides.asked);
        all.finished.extend(sides.finished);
    }
    assert!(all.are_seen(), "{} before, {} asked", all.before.len(), all.asked.len());

    for id in all.asked {
        let done = ended(&here, id).await;
        assert!(done.cancel.is_some());
        let in_spite = done.succeeded_in_spite_of_a_cancel();
        assert!(done.state == CANCELLED || in_spite, "{done:?}");
    }
    run_one.end().await;
    run_other.end().await;
    for id in all.before {
        assert!(!begun.lock().unwrap().contains(&id), "{id} has run");
        let done = now(&here, id).await;
        assert_eq!((done.state, done.generation), (CANCELLED, 0), "{done:?}");
    }
    for id in all.finished {
        let done = now(&here, id).await;
        assert_eq!((done.state, done.cancel), (SUCCEEDED, None));
    }
    for state in [State::Waiting, State::Running] {
        assert_eq!(here.count(&Filter::new().state(state)).await.unwrap(), 0);
    }
}
