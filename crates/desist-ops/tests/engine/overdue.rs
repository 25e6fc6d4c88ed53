//! What was told to stop and does not, by whomever it was told.

use desist_ops::{CancelRequest, Operation, Operations, Store};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(what_is_past_its_time_and_goes_on_is_overdue_and_what_drains_is_not,);

/// As soon as there are so many.
async fn overdue<S: Store>(all: &Operations<S>, count: usize) -> Vec<Operation> {
    let looks = async {
        loop {
            let overdue = all.overdue().await.unwrap();
            if overdue.len() >= count {
                return overdue;
            }
            tokio::time::sleep(millis(10)).await;
        }
    };
    soon(looks).await
}

async fn what_is_past_its_time_and_goes_on_is_overdue_and_what_drains_is_not<W: World>(world: &W) {
    let gate = Gate::default();
    let kinds = [
        waits("drains", &gate).grace(millis(1)),
        waits("late", &gate).timeout(millis(50)).grace(millis(50)),
    ];
    let all = process(world, kinds).await;
    let run = runs(&all);
    let drains = begun(&all, "drains").await;
    gate.came().await;
    all.cancel(drains, CancelRequest::drain()).await.unwrap();
    until(&all, drains, |it| it.heard_at.is_some()).await;
    let late = begun(&all, "late").await;
    // By now the other one drains for longer than its grace: it may, for as long as it likes.
    let found = overdue(&all, 1).await;
    assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), [late]);
    assert!(found[0].is_overdue() && found[0].stopping_for().unwrap() > millis(50));
    assert_eq!(found[0].cancel, None, "nobody has asked it");
    assert!(story(&all, late).await.contains(&"overdue".to_owned()));
    assert!(!now(&all, drains).await.is_overdue());

    // Until it is told to stop.
    assert!(all.cancel(drains, by("ada")).await.unwrap().is_requested());
    assert!(overdue(&all, 2).await.iter().any(|it| it.id == drains && it.is_overdue()));
    gate.open(2);
    for id in [drains, late] {
        assert!(!ended(&all, id).await.is_overdue());
    }
    assert!(all.overdue().await.unwrap().is_empty());
    run.end().await;
}
