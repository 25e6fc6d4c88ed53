//! A server whose transactions keep seeing what they saw at first.

use desist_ops::{Filter, Operations, Postgres, State};

use crate::bench::*;
use crate::keys::ten;
use crate::world::{OnPostgres, World};

async fn repeatable(world: &OnPostgres) -> Operations<Postgres> {
    let mut config = world.config();
    let isolation = "-cdefault_transaction_isolation=repeatable\\ read";
    config.options(format!("-csearch_path={} {isolation}", world.schema));
    let store = Postgres::builder(config).build().unwrap();
    of_store(store, [stays("waits").concurrency(0)]).open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_usual_there_one_with_a_key_is_started_once() {
    let Some(world) = OnPostgres::begin().await else { return };
    let (one, other) = (repeatable(&world).await, repeatable(&world).await);
    for key in ["a", "b", "c", "d", "e"] {
        let all = ten(&one, &other, key).await;
        let new = all.iter().filter(|started| !started.is_joined()).count();
        assert_eq!(new, 1, "{all:?}");
    }
    assert_eq!(one.count(&Filter::new()).await.unwrap(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_usual_there_no_child_slips_through() {
    let Some(world) = OnPostgres::begin().await else { return };
    let (one, other) = (repeatable(&world).await, repeatable(&world).await);
    for _ in 0..20 {
        let root = begun(&one, "waits").await;
        let starts = async || other.start("waits", &()).parent(root).await.unwrap();
        let cancels = one.cancel_tree(root, by("ada"));
        let (answers, ..) = tokio::join!(cancels, starts(), starts(), starts());
        assert_eq!(answers.unwrap().finished(), 0);
    }
    assert_eq!(one.count(&Filter::new()).await.unwrap(), 80);
    assert_eq!(one.count(&Filter::new().state(State::Waiting)).await.unwrap(), 0);
}
