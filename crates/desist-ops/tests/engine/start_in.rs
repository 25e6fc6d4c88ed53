//! Starting within a transaction of one's own.

use desist::Token;
use desist_ops::{BoxError, Duplicates, Filter, OperationId, State};
use tokio_postgres::IsolationLevel;

use crate::bench::*;
use crate::world::{OnPostgres, OnSqlite, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_one_that_cannot_be_started_supersedes_nobody() {
    let world = OnSqlite::begin().await.unwrap();
    let all = process(&world, [stays("one").duplicates(Duplicates::Superseded)]).await;
    let id = all.start("one", &()).key("k").await.unwrap().id();
    let within = all.clone();
    let starts = all.store().pool().transaction(&Token::never(), move |tx| {
        let nobody = OperationId::random();
        let started = within.start("one", &()).key("k").parent(nobody).start_in(tx);
        // Whoever goes on after that commits what was done.
        Ok::<_, BoxError>(started.unwrap_err())
    });
    assert!(starts.await.unwrap().is_not_found());

    let old = now(&all, id).await;
    assert_eq!((old.state, old.cancel), (State::Waiting, None));
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_one_that_cannot_be_started_supersedes_nobody() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("one").duplicates(Duplicates::Superseded)]).await;
    let id = all.start("one", &()).key("k").await.unwrap().id();
    let mut client = world.client().await;
    let tx = client.transaction().await.unwrap();
    let starts = all.start("one", &()).key("k").parent(OperationId::random()).start_in(&tx);
    assert!(starts.await.unwrap_err().is_not_found());
    // Whoever goes on after that commits what was done.
    tx.commit().await.unwrap();

    let old = now(&all, id).await;
    assert_eq!((old.state, old.cancel), (State::Waiting, None));
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_key_needs_a_transaction_that_sees_what_is_new() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("one")]).await;
    let above = begun(&all, "one").await;
    let mut client = world.client().await;
    for (isolation, name) in [
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ] {
        let tx = client.build_transaction().isolation_level(isolation).start().await.unwrap();
        for start in [all.start("one", &()).key("k"), all.start("one", &()).parent(above)] {
            let error = start.start_in(&tx).await.unwrap_err();
            assert!(error.is_bad_input(), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(name), "{said}");
            assert!(said.contains("begin it with ISOLATION LEVEL READ COMMITTED"), "{said}");
        }
        // Who needs neither needs nothing new.
        let _started = all.start("one", &()).start_in(&tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(all.count(&Filter::new()).await.unwrap(), 3);
    let committed = client.transaction().await.unwrap();
    let started = all.start("one", &()).key("k").parent(above).start_in(&committed).await.unwrap();
    committed.commit().await.unwrap();
    assert_eq!(now(&all, started.id()).await.parent, Some(above));
}
