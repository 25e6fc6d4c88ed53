//! The tables, and two releases on them.

use desist_ops::{Filter, Operations, Postgres, State};
use desist_sql::sqlite::rusqlite::Connection;

use crate::bench::*;
use crate::world::{OnPostgres, OnSqlite, World, on_both};

on_both!(
    many_processes_may_open_at_once,
    opening_again_changes_nothing,
    a_newer_release_that_is_compatible_is_worked_with,
    a_newer_release_that_is_not_compatible_is_refused_with_what_to_do,
    tables_of_others_are_left_alone,
);

async fn many_processes_may_open_at_once<W: World>(world: &W) {
    let mut stores = Vec::new();
    for _ in 0..6 {
        stores.push(world.store().await);
    }
    let opens = stores.into_iter().map(|store| tokio::spawn(of_store(store, [stays("a")]).open()));
    let mut all = Vec::new();
    for open in opens.collect::<Vec<_>>() {
        all.push(soon(open).await.unwrap().unwrap());
    }
    assert_eq!(world.sql("SELECT version FROM desist_ops_schema").await, [["1"]]);
    begun(&all[0], "a").await;
    assert_eq!(all[5].count(&Filter::new()).await.unwrap(), 1);
}

async fn opening_again_changes_nothing<W: World>(world: &W) {
    let all = process(world, [stays("a")]).await;
    let id = begun(&all, "a").await;
    let made = "SELECT version, works_with, made_at FROM desist_ops_schema";
    let before = world.sql(made).await;
    let again = process(world, [stays("a")]).await;
    assert_eq!(world.sql(made).await, before);
    assert_eq!(now(&again, id).await.state, State::Waiting);
}

async fn a_newer_release_that_is_compatible_is_worked_with<W: World>(world: &W) {
    let gate = Gate::default();
    let old = process(world, [waits("slow", &gate)]).await;
    let run = runs(&old);
    let id = running(&old, "slow").await;
    gate.came().await;
    world.sql("ALTER TABLE desist_ops ADD COLUMN fresh bigint NOT NULL DEFAULT 7").await;
    world.sql("ALTER TABLE desist_ops_node ADD COLUMN fresh text").await;
    world.sql("INSERT INTO desist_ops_schema VALUES (99, 1, 1)").await;
    // Who runs goes on, and who begins can.
    let next = process(world, [waits("slow", &gate)]).await;
    let after = begun(&next, "slow").await;
    gate.open(2);
    for id in [id, after] {
        assert_eq!(ended(&next, id).await.state, SUCCEEDED);
    }
    assert_eq!(world.number("SELECT sum(fresh) FROM desist_ops").await, 14);
    run.end().await;
    let run = runs(&next);
    gate.open(1);
    assert_eq!(ended(&old, begun(&next, "slow").await).await.state, SUCCEEDED);
    run.end().await;
}

async fn a_newer_release_that_is_not_compatible_is_refused_with_what_to_do<W: World>(world: &W) {
    process(world, [stays("a")]).await;
    world.sql("INSERT INTO desist_ops_schema VALUES (98, 2, 1)").await;
    world.sql("INSERT INTO desist_ops_schema VALUES (99, 99, 1)").await;
    let error = builder(world, [stays("a")]).await.open().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("version 99") && said.contains("deploy a newer desist-ops"), "{said}");
    assert!(!error.is_database(), "{error:?}");
}

async fn tables_of_others_are_left_alone<W: World>(world: &W) {
    world.sql("CREATE TABLE orders (id bigint, desist_ops text)").await;
    world.sql("INSERT INTO orders VALUES (1, 'mine')").await;
    let all = process(world, [counts("a", &Count::default())]).await;
    let run = runs(&all);
    ended(&all, begun(&all, "a").await).await;
    run.end().await;
    assert_eq!(world.sql("SELECT * FROM orders").await, [["1", "mine"]]);
}

/// A user who may do this in the schema.
async fn user(world: &OnPostgres, may: &str) -> Postgres {
    let name = format!("user_{}", world.schema);
    let schema = &world.schema;
    world.sql(&format!("CREATE ROLE {name} LOGIN")).await;
    world.sql(&format!("GRANT {may} ON SCHEMA {schema} TO {name}")).await;
    let mut config = world.config();
    config.user(name.as_str());
    Postgres::builder(config).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_who_may_not_create_is_told_what_to_grant() {
    let Some(world) = OnPostgres::begin().await else { return };
    let store = user(&world, "USAGE").await;
    let error = Operations::builder(store).kind(stays("a")).open().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("grant it") && said.contains("CREATE on the schema"), "{said}");
    assert!(error.is_database());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_who_has_the_tables_needs_not_create_them() {
    let Some(world) = OnPostgres::begin().await else { return };
    process(&world, [stays("a")]).await;
    let store = user(&world, "USAGE").await;
    let all = of_store(store, [counts("a", &Count::default())]);
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {0} TO user_{0}",
        world.schema
    );
    world.sql(&grant).await;
    let all = all.open().await.unwrap();
    let run = runs(&all);
    assert_eq!(ended(&all, begun(&all, "a").await).await.state, SUCCEEDED);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_in_memory_all_of_it_works() {
    let store = desist_ops::Sqlite::open(":memory:").await.unwrap();
    let all = of_store(store, [counts("a", &Count::default())]).open().await.unwrap();
    let run = runs(&all);
    assert_eq!(ended(&all, begun(&all, "a").await).await.state, SUCCEEDED);
    assert_eq!(run.end().await.succeeded(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_folder_that_is_not_there_is_named_as_the_cause() {
    let world = OnSqlite::begin().await.unwrap();
    let path = world.path().join("nowhere").join("operations.db");
    let error = desist_ops::Sqlite::open(path).await.unwrap_err();
    let mut causes =
        std::iter::successors(Some(&error as &dyn std::error::Error), |of| of.source());
    assert!(causes.any(|cause| cause.to_string().contains("folder")), "{error:?}");
    assert!(Connection::open(world.path()).is_ok());
}
