//! Whoever asks for what somebody else holds.

use std::time::Duration;

use desist_ops::{BoxError, CancelAnswer, Context, Kind, Postgres};
use tokio::task::JoinSet;

use crate::bench::*;
use crate::world::{OnPostgres, World, on_both};

on_both!(what_has_no_time_at_all_has_failed, what_nobody_ran_when_its_process_stops_goes_back);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_for_what_is_held_keeps_nobody_else_waiting() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("long")]).await;
    let run = runs(&all);
    let (held, other) = (running(&all, "long").await, running(&all, "long").await);
    let mut holds = world.client().await;
    let tx = holds.transaction().await.unwrap();
    let first = Postgres::cancel_in(&tx, held, &by("ada")).await.unwrap();
    assert_eq!(first, CancelAnswer::Requested);

    let mut asking = JoinSet::new();
    for _ in 0..12 {
        let all = all.clone();
        asking.spawn(async move { all.cancel(held, by("bob")).await });
    }
    // They are all on their way: each has a bound of five seconds, and this one is not behind them.
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        assert!(
            all.cancel(other, by("eve")).await.unwrap().is_requested()
                || is_over(&all, other).await
        );
        assert!(all.get(held).await.unwrap().is_some());
    }
    let took = begin.elapsed();
    assert!(asking.try_join_next().is_none(), "what is held is not answered before");
    assert!(took < Duration::from_secs(4), "{took:?}");
    tx.commit().await.unwrap();
    for answer in asking.join_all().await {
        match answer.unwrap() {
            CancelAnswer::AlreadyRequested(first) => assert_eq!(first.by(), Some("ada")),
            answer => assert!(matches!(answer, CancelAnswer::AlreadyFinished(_)), "{answer}"),
        }
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cancels_a_tree_that_is_held_keeps_nobody_else_waiting() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("long").concurrency(0)]).await;
    let (root, other) = (begun(&all, "long").await, begun(&all, "long").await);
    let mut holds = world.client().await;
    let tx = holds.transaction().await.unwrap();
    let late = all.start("long", &()).parent(root).start_in(&tx).await.unwrap().id();

    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let all = all.clone();
        asking.spawn(async move { all.cancel_tree(root, by("bob")).await });
    }
    // They wait for who starts below it.
    soon(async {
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while world.number(waits).await == 0 {
            tokio::time::sleep(millis(5)).await;
        }
    })
    .await;
    assert_eq!(all.cancel(other, by("eve")).await.unwrap(), CancelAnswer::CancelledBeforeStart);
    assert!(asking.try_join_next().is_none(), "what is held is not answered before");
    tx.commit().await.unwrap();
    for answer in asking.join_all().await {
        assert!(answer.unwrap().iter().any(|(id, _)| id == root));
    }
    assert_eq!(now(&all, late).await.state, CANCELLED);
}

async fn is_over(all: &desist_ops::Operations<Postgres>, id: desist_ops::OperationId) -> bool {
    now(all, id).await.state.is_finished()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_usual_there_a_commit_may_say_how_far_it_is() {
    let Some(world) = OnPostgres::begin().await else { return };
    world.sql("CREATE TABLE effect (text text)").await;
    let mut config = world.config();
    let isolation = "-cdefault_transaction_isolation=repeatable\\ read";
    config.options(format!("-csearch_path={} {isolation}", world.schema));
    let commits = Kind::new("commits", |ctx: Context<Postgres>, _: ()| async move {
        let (id, all) = (ctx.id(), ctx.operations().clone());
        let says = ctx.clone();
        ctx.commit(|tx| async move {
            tx.execute("INSERT INTO effect VALUES ('once')", &[]).await?;
            says.progress(1, 2, "in the middle");
            // Its row is changed in the middle of the transaction, by the process itself.
            until(&all, id, |it| it.progress.is_some()).await;
            Ok(())
        })
        .await
        .map_err(BoxError::from)
    });
    let store = Postgres::builder(config).build().unwrap();
    let all = of_store(store, [commits]).open().await.unwrap();
    let run = runs(&all);
    let done = ended(&all, begun(&all, "commits").await).await;
    assert_eq!((done.state, done.error), (SUCCEEDED, None));
    assert_eq!(world.sql("SELECT text FROM effect").await, [["once"]]);
    run.end().await;
}

async fn what_has_no_time_at_all_has_failed<W: World>(world: &W) {
    let count = Count::default();
    let all = process(world, [counts("none", &count).timeout(Duration::ZERO)]).await;
    let run = runs(&all);
    let done = ended(&all, begun(&all, "none").await).await;
    assert_eq!((done.state, done.attempt, count.get()), (FAILED, 1, 0));
    assert!(done.error.unwrap().starts_with("it took longer than 0ns"));
    run.end().await;
}

async fn what_nobody_ran_when_its_process_stops_goes_back<W: World>(world: &W) {
    // It looks for what it was given without its knowing only when it stops.
    let all = builder(world, [stays("lost").concurrency(0)]).await;
    let all = all.look_every(Duration::from_secs(3600)).open().await.unwrap();
    let run = runs(&all);
    let id = begun(&all, "lost").await;
    soon(async {
        while world.number("SELECT count(*) FROM desist_ops_node").await == 0 {
            tokio::time::sleep(millis(5)).await;
        }
    })
    .await;
    // As by a claim whose answer was lost.
    world
        .sql(
            "UPDATE desist_ops SET state = 'running', attempt = 1, generation = 1, \
             node = (SELECT node FROM desist_ops_node)",
        )
        .await;
    run.end().await;
    let back = now(&all, id).await;
    assert_eq!((back.state, back.attempt), (desist_ops::State::Waiting, 0));
    assert_eq!(world.number("SELECT count(*) FROM desist_ops_node").await, 0, "it has left");
}
