//! Watching one, and waiting for it.

use std::time::Duration;

use desist_ops::{BoxError, Context, Kind, OperationId, State, Store};

use crate::bench::*;
use crate::world::{World, on_both};

on_both!(
    a_watch_gives_what_is_then_what_changes_and_then_nothing,
    a_watch_goes_on_where_another_one_was,
    a_watch_of_what_is_over_is_over,
    many_watch_the_same_one,
    a_wait_that_is_over_gives_it_as_it_is,
    nobody_waits_for_what_is_not_there,
    events_go_on_where_one_has_read_to,
);

/// Says three things, one each time that it is let go on.
fn says<S: Store>(gate: &Gate) -> Kind<S> {
    let gate = gate.clone();
    Kind::new("says", move |ctx: Context<S>, _: ()| {
        let gate = gate.clone();
        async move {
            for n in 1..=2 {
                gate.pass().await;
                ctx.progress(n, 2, format!("part {n}"));
            }
            gate.pass().await;
            Ok::<_, BoxError>(())
        }
    })
}

async fn a_watch_gives_what_is_then_what_changes_and_then_nothing<W: World>(world: &W) {
    let gate = Gate::default();
    let (here, there) = (process(world, [says(&gate)]).await, process(world, [says(&gate)]).await);
    let id = begun(&here, "says").await;
    let mut watch = here.watch(id, 0);
    let first = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!(first.state, State::Waiting);
    // Nothing is new.
    assert!(tokio::time::timeout(millis(100), watch.next()).await.is_err());
    let run = runs(&there);
    let second = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!(second.state, State::Running);
    assert!(second.version > first.version);
    gate.open(1);
    let third = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!(third.progress.unwrap().message, "part 1");
    assert!(third.version > second.version);
    gate.open(2);
    let mut last = None;
    while let Some(next) = soon(watch.next()).await.unwrap() {
        last = Some(next);
    }
    let last = last.unwrap();
    assert_eq!((last.state, last.progress.unwrap().message.as_str()), (SUCCEEDED, "part 2"));
    assert!(soon(watch.next()).await.unwrap().is_none());
    run.end().await;
}

async fn a_watch_goes_on_where_another_one_was<W: World>(world: &W) {
    let gate = Gate::default();
    let all = process(world, [waits("slow", &gate)]).await;
    let run = runs(&all);
    let id = running(&all, "slow").await;
    gate.came().await;
    let seen = now(&all, id).await;
    let mut watch = all.watch(id, seen.version);
    assert!(tokio::time::timeout(millis(100), watch.next()).await.is_err(), "it was seen");
    gate.open(1);
    let next = soon(watch.next()).await.unwrap().unwrap();
    assert_eq!((next.state, next.version), (SUCCEEDED, seen.version + 1));

    // And one that has missed it all.
    let next = soon(all.watch(id, 1).next()).await.unwrap().unwrap();
    assert_eq!(next.state, SUCCEEDED);
    run.end().await;
}

async fn a_watch_of_what_is_over_is_over<W: World>(world: &W) {
    let all = process(world, [stays("long")]).await;
    let id = begun(&all, "long").await;
    all.cancel(id, by("ada")).await.unwrap();
    let version = now(&all, id).await.version;

    // Who has seen the end is told that there is no more.
    assert!(soon(all.watch(id, version).next()).await.unwrap().is_none());
    assert!(soon(all.watch(id, i64::MAX).next()).await.unwrap().is_none());
    let mut watch = all.watch(id, version - 1);
    assert_eq!(soon(watch.next()).await.unwrap().unwrap().state, CANCELLED);
    assert!(soon(watch.next()).await.unwrap().is_none());
}

async fn many_watch_the_same_one<W: World>(world: &W) {
    let gate = Gate::default();
    let (here, there) = (
        process(world, [waits("slow", &gate)]).await,
        process(world, [waits("slow", &gate)]).await,
    );
    let run = runs(&there);
    let id = running(&here, "slow").await;
    gate.came().await;
    let waiters: Vec<_> = (0..10)
        .map(|n| {
            let operations = if n % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move { ended(&operations, id).await })
        })
        .collect();
    // One that is dropped takes nothing from the others.
    drop(here.watch(id, 0));
    gate.open(1);
    for waiter in waiters {
        assert_eq!(soon(waiter).await.unwrap().state, SUCCEEDED);
    }
    run.end().await;
}

async fn a_wait_that_is_over_gives_it_as_it_is<W: World>(world: &W) {
    let all = process(world, [stays("long")]).await;
    let id = begun(&all, "long").await;
    for time in [Duration::ZERO, millis(50)] {
        let it = soon(all.wait(id, time)).await.unwrap();
        assert_eq!((it.id, it.state), (id, State::Waiting));
    }
    let run = runs(&all);
    soon(all.until_running(id)).await.unwrap();
    assert_eq!(soon(all.wait(id, Duration::ZERO)).await.unwrap().state, State::Running);
    let waits = all.clone();
    let waiter = tokio::spawn(async move { waits.wait(id, Duration::MAX).await });
    all.cancel(id, by("ada")).await.unwrap();
    assert_eq!(soon(waiter).await.unwrap().unwrap().state, CANCELLED);
    // One that has ended runs no more, and is not waited for.
    assert_eq!(soon(all.until_running(id)).await.unwrap().state, CANCELLED);
    run.end().await;
}

async fn nobody_waits_for_what_is_not_there<W: World>(world: &W) {
    let all = process(world, [stays("long")]).await;
    let nobody = OperationId::random();
    let says = |error: desist_ops::Error| {
        assert!(error.is_not_found(), "{error:?}");
        assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    };
    says(soon(all.wait(nobody, HOUR)).await.unwrap_err());
    says(soon(all.until_running(nobody)).await.unwrap_err());
    says(soon(all.watch(nobody, 0).next()).await.unwrap_err());
    assert!(all.get(nobody).await.unwrap().is_none());
    assert!(all.events(nobody, 0).await.unwrap().is_empty());
}

async fn events_go_on_where_one_has_read_to<W: World>(world: &W) {
    let all = process(world, [stays("long")]).await;
    let run = runs(&all);
    let id = running(&all, "long").await;
    let first = all.events(id, 0).await.unwrap();
    assert_eq!(first.iter().map(|it| it.what.as_str()).collect::<Vec<_>>(), ["started", "claimed"]);
    assert!(all.events(id, first[1].number).await.unwrap().is_empty());
    all.cancel(id, by("ada")).await.unwrap();
    let done = ended(&all, id).await;

    let then = all.events(id, first[1].number).await.unwrap();
    assert_eq!(then[0].what, "cancel_requested");
    let last = then.last().unwrap();
    assert_eq!((last.what.as_str(), last.number), ("finished", done.version));
    assert!(last.at >= first[0].at);
    for event in first.iter().chain(&then) {
        let detail: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(&event.detail);
        assert!(detail.is_ok(), "{event:?}");
    }
    run.end().await;
}
