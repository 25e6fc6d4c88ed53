//! Cancelling within a transaction of one's own.

use desist::Token;
use desist_ops::{BoxError, CancelAnswer, OperationId, Outcome, Postgres, Sqlite, State};
use desist_sql::sqlite::rusqlite;

use crate::bench::*;
use crate::world::{OnPostgres, OnSqlite, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_it_is_asked_when_the_transaction_is_committed() {
    let world = OnSqlite::begin().await.unwrap();
    let all = process(&world, [stays("long")]).await;
    let run = runs(&all);
    let (id, waits) = (running(&all, "long").await, later(&all).await);
    world.sql("CREATE TABLE note (text text)").await;
    let asks = |id, fails: bool| {
        all.store().pool().transaction(&Token::never(), move |tx| {
            tx.execute("INSERT INTO note VALUES ('cancelled')", [])?;
            let answer = Sqlite::cancel_in(tx, id, &by("ada"))?;
            if fails { Err::<_, BoxError>("no".into()) } else { Ok(answer) }
        })
    };

    assert!(asks(id, true).await.is_err());
    assert!(asks(waits, true).await.is_err());
    let one = now(&all, id).await;
    assert_eq!((one.state, one.cancel), (State::Running, None));
    assert_eq!(now(&all, waits).await.state, State::Waiting);
    assert_eq!(world.number("SELECT count(*) FROM note").await, 0);

    assert_eq!(asks(id, false).await.unwrap(), CancelAnswer::Requested);
    assert_eq!(asks(waits, false).await.unwrap(), CancelAnswer::CancelledBeforeStart);
    assert_eq!(ended(&all, id).await.cancel.unwrap().by(), Some("ada"));
    assert_eq!(now(&all, waits).await.state, CANCELLED);
    assert_eq!(world.number("SELECT count(*) FROM note").await, 2);
    let finished = CancelAnswer::AlreadyFinished(Outcome::Cancelled);
    assert_eq!(asks(id, false).await.unwrap(), finished);
    assert_eq!(asks(OperationId::random(), false).await.unwrap(), CancelAnswer::NotFound);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_connection_of_ones_own_does_as_well() {
    let world = OnSqlite::begin().await.unwrap();
    let all = process(&world, [stays("long")]).await;
    let run = runs(&all);
    let id = running(&all, "long").await;
    let mut conn = world.connection();
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    assert_eq!(Sqlite::cancel_in(&tx, id, &by("ada")).unwrap(), CancelAnswer::Requested);
    tx.commit().unwrap();
    assert_eq!(ended(&all, id).await.state, CANCELLED);
    run.end().await;
}

async fn later<S: desist_ops::Store>(all: &desist_ops::Operations<S>) -> OperationId {
    all.start("long", &()).delay(HOUR).await.unwrap().id()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_it_is_asked_when_the_transaction_is_committed() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("long")]).await;
    // Only the push can tell it so soon.
    let there = builder(&world, [stays("long")]).await.lease(HOUR).look_every(HOUR);
    let run = runs(&there.open().await.unwrap());
    let (id, waits) = (running(&all, "long").await, later(&all).await);
    world.sql("CREATE TABLE note (text text)").await;
    let asks = |id, fails: bool| {
        let pool = all.store().pool().clone();
        async move {
            let never = Token::never();
            let does = pool.transaction(&never, |tx| async move {
                tx.execute("INSERT INTO note VALUES ('cancelled')", &[]).await?;
                let answer = Postgres::cancel_in(&**tx, id, &by("ada")).await?;
                if fails { Err::<_, BoxError>("no".into()) } else { Ok(answer) }
            });
            does.await
        }
    };

    assert!(asks(id, true).await.is_err());
    assert!(asks(waits, true).await.is_err());
    let one = now(&all, id).await;
    assert_eq!((one.state, one.cancel), (State::Running, None));
    assert_eq!(now(&all, waits).await.state, State::Waiting);
    assert_eq!(world.number("SELECT count(*) FROM note").await, 0);

    assert_eq!(asks(id, false).await.unwrap(), CancelAnswer::Requested);
    assert_eq!(asks(waits, false).await.unwrap(), CancelAnswer::CancelledBeforeStart);
    assert_eq!(ended(&all, id).await.cancel.unwrap().by(), Some("ada"));
    assert_eq!(world.number("SELECT count(*) FROM note").await, 2);
    assert_eq!(asks(OperationId::random(), false).await.unwrap(), CancelAnswer::NotFound);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_transaction_of_the_driver_does_as_well() {
    let Some(world) = OnPostgres::begin().await else { return };
    let all = process(&world, [stays("long")]).await;
    let run = runs(&all);
    let id = running(&all, "long").await;
    let mut client = world.client().await;
    let tx = client.transaction().await.unwrap();
    assert_eq!(Postgres::cancel_in(&tx, id, &by("ada")).await.unwrap(), CancelAnswer::Requested);
    assert_eq!(now(&all, id).await.cancel, None, "it is not committed");
    tx.rollback().await.unwrap();
    assert_eq!(now(&all, id).await.cancel, None);

    let tx = client.transaction().await.unwrap();
    Postgres::cancel_in(&tx, id, &by("bob")).await.unwrap();
    tx.commit().await.unwrap();
    let done = ended(&all, id).await;
    assert_eq!((done.state, done.cancel.unwrap().by()), (CANCELLED, Some("bob")));
    run.end().await;
}
