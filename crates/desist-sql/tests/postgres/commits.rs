//! Commits of tokio-postgres: there, or not, or nobody knows.
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time, runs};
use crate::transactions::{nobody_is_in_a_transaction, pool_of, rows_of, table};
use desist::{Reason, Source, Token};
use desist_sql::postgres::Tx;

type PgError = tokio_postgres::Error;

/// What the work has left running is stopped as the work would be, and no commit waits for it
/// that nobody can stop.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_running_is_stopped_before_the_commit() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "left_running").await;
    let pool = pool_of(server, 1);
    let leaves = |sleeps: &'static str| {
        move |tx: Tx| async move {
            tx.batch_execute("INSERT INTO left_running VALUES (1)").await?;
            let mut sleeps = pin!(tx.batch_execute(sleeps));
            let pending = poll_fn(|cx| Poll::Ready(sleeps.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
            Ok::<_, PgError>(())
        }
    };
    let source = Source::new();
    let (token, of_work) = (source.token(), pool.clone());
    let long = leaves("SELECT pg_sleep(600) /*left running*/");
    let work = tokio::spawn(async move { of_work.transaction(&token, long).await });
    runs(&admin, "left running").await;
    source.cancel_with(Reason::Superseded);
    let error = in_time(work).await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().expect("it was stopped").reason(), Reason::Superseded);
    assert_eq!(rows_of(&admin, "left_running").await, 0);
    // One that fails leaves nothing to commit, and one that ends is waited for.
    let never = Token::never();
    // Not at once, or it would have failed by the time at which it is left.
    let fails = "SELECT 1 / (count(*) - 1) FROM pg_sleep(0.05)";
    let fails = pool.transaction(&never, leaves(fails));
    assert!(in_time(fails).await.unwrap_err().is_not_committed());
    in_time(pool.transaction(&never, leaves("SELECT pg_sleep(0.05)"))).await.unwrap();
    assert_eq!(rows_of(&admin, "left_running").await, 1);
}

/// Whether it is stopped or dropped, a commit that is on its way comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_on_its_way_is_stopped_by_nobody() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "committing").await;
    let pool = pool_of(server, 1);
    for (before, goes) in ["by a stop", "dropped"].into_iter().enumerate() {
        let source = Source::new();
        let (token, of_work) = (source.token(), pool.clone());
        let work = tokio::spawn(async move {
            let inserts = |tx: Tx| async move {
                tx.batch_execute("INSERT INTO committing VALUES (1, 0.5)").await
            };
            of_work.transaction(&token, inserts).await
        });
        runs(&admin, "COMMIT").await;
        if goes == "dropped" {
            work.abort();
            assert!(work.await.unwrap_err().is_cancelled());
        } else {
            source.cancel();
            in_time(work).await.unwrap().expect("it is committed");
        }
        // Whoever comes next comes after it.
        let never = Token::never();
        let next = pool.run(&never, |conn| async move {
            Ok::<i64, PgError>(conn.query_one("SELECT count(*) FROM committing", &[]).await?.get(0))
        });
        assert_eq!(in_time(next).await.unwrap(), before as i64 + 1, "{goes}");
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_cancelled_before_the_commit_stops_it() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "before").await;
    let pool = pool_of(server, 1);
    let source = Source::new();
    let stops = source.clone();
    let work = pool
        .transaction(&source.token(), |tx| async move {
            tx.batch_execute("INSERT INTO before VALUES (1)").await?;
            stops.cancel_with(Reason::Superseded);
            Ok::<_, PgError>(())
        })
        .await;
    assert_eq!(work.unwrap_err().cancelled().unwrap().reason(), Reason::Superseded);
    assert_eq!(rows_of(&admin, "before").await, 0);
}

/// Nobody knows what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_while_it_commits_is_a_doubt() {
    let Some(server) = Postgres::start() else { return };
    let admin = server.client().await;
    table(&admin, "doubtful").await;
    let pool = pool_of(&server, 1);
    let of_work = pool.clone();
    let work = tokio::spawn(async move {
        let never = Token::never();
        let inserts =
            |tx: Tx| async move { tx.batch_execute("INSERT INTO doubtful VALUES (1, 600)").await };
        of_work.transaction(&never, inserts).await
    });
    runs(&admin, "COMMIT").await;
    server.kill();
    let error = in_time(work).await.unwrap().unwrap_err();
    assert!(error.is_in_doubt(), "{error:?}");
    assert!(error.to_string().contains("look at the data before it is tried again"), "{error}");
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// It is not the pool's any more, and what of it is there nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_its_work_ends_by_itself_is_not_said_to_be_whole() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "by_hand").await;
    let pool = pool_of(server, 1);
    let never = Token::never();
    for (by_hand, then) in [
        ("COMMIT", "SELECT 1"),
        ("COMMIT AND CHAIN", "INSERT INTO by_hand VALUES (2)"),
        ("COMMIT; BEGIN", "INSERT INTO by_hand VALUES (2)"),
        ("ROLLBACK; BEGIN", "INSERT INTO by_hand VALUES (2)"),
        ("ROLLBACK; START TRANSACTION", "INSERT INTO by_hand VALUES (2)"),
        // That one is there.
        ("ROLLBACK", "INSERT INTO by_hand VALUES (5)"),
    ] {
        let work = pool.transaction(&never, |tx| async move {
            tx.batch_execute("INSERT INTO by_hand VALUES (1)").await?;
            tx.batch_execute(by_hand).await?;
            tx.batch_execute(then).await
        });
        let error = in_time(work).await.unwrap_err();
        assert!(error.is_in_doubt(), "{by_hand}: {error:?}");
        nobody_is_in_a_transaction(&admin, "by_hand").await;
    }
    // By a statement that nobody has waited for, or by whoever has the handle.
    let work = pool.transaction(&never, |tx| async move {
        let mut commits = pin!(tx.batch_execute("COMMIT"));
        let pending = poll_fn(|cx| Poll::Ready(commits.as_mut().poll(cx).is_pending())).await;
        assert!(pending);
        Ok::<_, PgError>(())
    });
    assert!(in_time(work).await.unwrap_err().is_in_doubt());
    let kept = Arc::new(Mutex::new(None));
    let keeps = Arc::clone(&kept);
    let work = pool.transaction(&never, |tx| async move {
        *keeps.lock().unwrap() = Some(tx);
        Ok::<_, PgError>(())
    });
    assert!(in_time(work).await.unwrap_err().is_in_doubt());
    let kept = kept.lock().unwrap().take().unwrap();
    assert!(in_time(kept.batch_execute("COMMIT")).await.is_err(), "its process has ended");
    drop(kept);
    let twos = "SELECT count(*) FROM by_hand WHERE n = 2";
    assert_eq!(admin.query_one(twos, &[]).await.unwrap().get::<_, i64>(0), 0);
    // Savepoints by hand are no matter.
    let work = pool.transaction(&never, |tx| async move {
        tx.batch_execute("SAVEPOINT s; INSERT INTO by_hand VALUES (3); ROLLBACK TO s").await?;
        tx.batch_execute("INSERT INTO by_hand VALUES (4); SAVEPOINT t").await
    });
    in_time(work).await.unwrap();
    let last = "SELECT array_agg(n) FROM by_hand WHERE n IN (3, 4)";
    assert_eq!(admin.query_one(last, &[]).await.unwrap().get::<_, Vec<i32>>(0), [4]);
}

/// It is the last word of a process that is ended, and it may have committed by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_its_process_while_it_commits_leaves_a_doubt() {
    let Some(server) = Postgres::shared() else { return };
    let admin = server.client().await;
    table(&admin, "terminated").await;
    let pool = pool_of(server, 1);
    let of_work = pool.clone();
    let work = tokio::spawn(async move {
        let inserts = |tx: Tx| async move {
            tx.batch_execute("INSERT INTO terminated VALUES (1, 600)").await?;
            Ok::<_, PgError>(())
        };
        of_work.transaction(&Token::never(), inserts).await
    });
    let ends = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l \
                JOIN pg_stat_activity a USING (pid) \
                WHERE l.relation = 'terminated'::regclass AND a.query = 'COMMIT'";
    in_time(async {
        while admin.query(ends, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let error = in_time(work).await.unwrap().unwrap_err();
    assert!(error.is_in_doubt(), "{error:?}");
    // And one that it refuses is none.
    let inserts = |tx: Tx| async move {
        tx.batch_execute(
            "CREATE TABLE refused (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO refused VALUES (1), (1)",
        )
        .await
    };
    let error = in_time(pool.transaction(&Token::never(), inserts)).await.unwrap_err();
    assert!(error.is_not_committed(), "{error:?}");
    assert!(in_time(pool.close_within(PATIENCE)).await);
}
