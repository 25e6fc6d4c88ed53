//! Pushes, and what is done without them.

use desist_ops::{Operations, Postgres, Push, Store};

use crate::bench::*;
use crate::world::{OnPostgres, World, on_both};

on_both!(by_push_all_comes_at_once,);

async fn until_it_listens<S: Store>(there: &Operations<S>) {
    soon(async {
        while there.push().0 != Push::Works {
            tokio::time::sleep(millis(10)).await;
        }
    })
    .await;
}

async fn by_push_all_comes_at_once<W: World>(world: &W) {
    // Nothing looks by itself.
    let open = async || builder(world, [stays("long")]).await.look_every(HOUR).lease(HOUR);
    let here = open().await.open().await.unwrap();
    let there = open().await.open().await.unwrap();
    let run = runs(&there);
    until_it_listens(&there).await;
    let id = running(&here, "long").await;
    here.cancel(id, by("ada")).await.unwrap();
    assert_eq!(ended(&here, id).await.state, CANCELLED);
    // Others are told of starts twenty milliseconds apart.
    tokio::time::sleep(millis(30)).await;
    let id = begun(&here, "long").await;
    soon(here.until_running(id)).await.unwrap();
    here.cancel_tree(id, by("ada")).await.unwrap();
    assert_eq!(ended(&here, id).await.state, CANCELLED);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_the_second_of_two_starts_is_told_of_as_well() {
    let Some(world) = OnPostgres::begin().await else { return };
    // One only starts, and the other does not look by itself.
    let open = async || {
        builder(&world, [stays("long").concurrency(100)]).await.look_every(HOUR).lease(HOUR)
    };
    let (here, there) = (open().await.open().await.unwrap(), open().await.open().await.unwrap());
    let run = runs(&there);
    until_it_listens(&there).await;
    for _ in 0..3 {
        // As it is known to run the next one comes: too soon to be told of at once.
        running(&here, "long").await;
        running(&here, "long").await;
        let (first, second) = tokio::join!(begun(&here, "long"), begun(&here, "long"));
        for id in [first, second] {
            soon(here.until_running(id)).await.unwrap();
        }
    }
    run.end().await;
}

async fn without_push(world: &OnPostgres) -> Operations<Postgres> {
    let store = Postgres::builder(world.config()).without_push().build().unwrap();
    of_store(store, [stays("long")]).look_every(millis(200)).lease(HOUR).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_without_push_all_comes_at_the_next_look() {
    let Some(world) = OnPostgres::begin().await else { return };
    let (here, there) = (without_push(&world).await, without_push(&world).await);
    let run = runs(&there);
    let id = running(&here, "long").await;
    here.cancel(id, by("ada")).await.unwrap();
    let done = ended(&here, id).await;
    assert_eq!((done.state, done.error), (CANCELLED, None));
    assert!(done.heard_at.is_some());
    assert_eq!(there.push().0, Push::Off);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_listener_that_is_killed_comes_back() {
    let Some(world) = OnPostgres::begin().await else { return };
    let mut config = world.config();
    config.application_name("listener");
    let store = Postgres::builder(world.config()).listen_at(config).build().unwrap();
    let there = of_store(store, [stays("long")]).look_every(HOUR).lease(HOUR);
    let there = there.open().await.unwrap();
    let here = process(&world, [stays("long")]).await;
    let run = runs(&there);
    let first = running(&here, "long").await;
    // Others are told of starts twenty milliseconds apart.
    tokio::time::sleep(millis(30)).await;
    let ids = [first, running(&here, "long").await];
    for id in ids {
        let kills = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE application_name = 'listener'";
        soon(async { while world.number(kills).await == 0 {} }).await;
        // Whether it is heard now or as it has come back: it is.
        here.cancel(id, by("ada")).await.unwrap();
        assert_eq!(ended(&here, id).await.state, CANCELLED);
    }
    run.end().await;
}
