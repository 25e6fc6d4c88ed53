//! The end of a transaction: it is committed, or not, or nobody knows; and which is said.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::error::Error as _;
use std::time::Duration;

use common::Server;
use common::sqlx::{add, backend, builder, open, pool, rows, server, table, until};
use desist::{Source, Token};
use desist_sql::sqlx::{Pool, Tx};
use sqlx::{ConnectOptions, Executor};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_cannot_be_in_any_order_one_is_not_committed() {
    let Some(server) = server() else { return };
    let pool = pool(server, "order", 2);
    table(&pool, "orders").await;
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let one = |n| {
        let both = std::sync::Arc::clone(&both);
        tokio::spawn(pool.transaction_with(&Token::never(), begin, async move |mut tx| {
            tx.execute("SELECT count(*) FROM orders").await?;
            both.wait().await;
            add(&mut tx, "orders", n).await?;
            both.wait().await;
            Ok::<_, sqlx::Error>(())
        }))
    };
    let ends = [one(1), one(2)];
    let mut failed = Vec::new();
    for end in ends {
        failed.extend(end.await.unwrap().err());
    }
    let [error] = failed.as_slice() else { panic!("{failed:?}") };
    assert!(error.is_not_committed(), "{error:?}");
    let said = error.source().unwrap().source().unwrap().downcast_ref::<sqlx::Error>().unwrap();
    assert_eq!(said.as_database_error().unwrap().code().as_deref(), Some("40001"));
    assert_eq!(rows(&pool, "orders").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_had_failed_is_not_said_to_be_committed() {
    let Some(server) = server() else { return };
    let pool = pool(server, "failed", 1);
    table(&pool, "failed").await;
    let done = pool.transaction(&Token::never(), async |mut tx| {
        add(&mut tx, "failed", 1).await?;
        assert!(tx.execute("SELECT 1 / 0").await.is_err());
        Ok::<_, sqlx::Error>(())
    });
    let error = done.await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    let why = error.source().unwrap();
    assert!(why.to_string().contains("a statement in it had failed"), "{why}");
    assert!(why.source().unwrap().to_string().contains("aborted"), "{why:?}");
    assert!(error.is_not_committed());
    assert_eq!(rows(&pool, "failed").await, []);
    assert_eq!(open(server, "failed"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_committed_is_rolled_back_by_the_time_that_one_hears_of_it() {
    let Some(server) = server() else { return };
    let pool = pool(server, "told", 1);
    let other = common::sqlx::pg_pool(server, "other", 1);
    let open = "SELECT count(*) FROM pg_stat_activity \
                WHERE application_name = 'told' AND state <> 'idle'";
    for _ in 0..3 {
        let failed = pool.transaction(&Token::never(), async |mut tx| {
            // Each is rolled back by itself, so that it takes a while.
            for _ in 0..200 {
                std::mem::forget(tx.savepoint().await?);
            }
            assert!(tx.execute("SELECT 1 / 0").await.is_err());
            Ok::<_, sqlx::Error>(())
        });
        assert!(failed.await.unwrap_err().is_not_committed());
        let open = sqlx::query_scalar::<_, i64>(open).fetch_one(&other).await;
        assert_eq!(open.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_lost_before_its_commit_is_not_said_to_have_failed_in_a_statement() {
    let Some(server) = server() else { return };
    let pool = pool(server, "lost", 1);
    table(&pool, "lost").await;
    let done = pool.transaction(&Token::never(), async |mut tx| {
        add(&mut tx, "lost", 1).await?;
        server.psql(&format!("SELECT pg_terminate_backend({}, 10000)", tx.pid()));
        Ok::<_, sqlx::Error>(())
    });
    let error = done.await.unwrap_err();
    assert!(error.is_not_committed(), "{error:?}");
    let why = error.source().unwrap();
    assert!(why.to_string().contains("may be tried again"), "{why}");
    assert!(why.source().is_some());
    assert_eq!(rows(&pool, "lost").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_at_its_commit_says_so() {
    let Some(server) = server() else { return };
    let pool = pool(server, "deferred", 1);
    let sql = "CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    pool.get_ref().execute(sql).await.unwrap();
    let done = pool.transaction(&Token::never(), async |mut tx| {
        add(&mut tx, "deferred", 1).await?;
        add(&mut tx, "deferred", 1).await
    });
    let error = done.await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    assert!(!error.is_in_doubt());
    let said = error.source().unwrap().source().unwrap().downcast_ref::<sqlx::Error>().unwrap();
    assert!(said.as_database_error().unwrap().is_unique_violation());
    assert_eq!(rows(&pool, "deferred").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_its_closure_has_ended_is_in_doubt() {
    let Some(server) = server() else { return };
    let pool = pool(server, "own", 1);
    table(&pool, "own").await;
    let mut there = Vec::new();
    for (n, end) in
        (1..).zip(["ROLLBACK", "ROLLBACK AND CHAIN", "COMMIT", "COMMIT AND CHAIN", "COMMIT; BEGIN"])
    {
        let done = pool.transaction(&Token::never(), async |mut tx| {
            add(&mut tx, "own", n).await?;
            tx.execute(end).await
        });
        let error = done.await.unwrap_err();
        assert!(error.is_in_doubt() && !error.is_not_committed(), "{end}: {error:?}");
        let why = error.source().unwrap().to_string();
        assert!(why.contains("ended it by a statement"), "{why}");
        assert_eq!(open(server, "own"), "0");
        there.extend(end.starts_with("COMMIT").then_some(n));
        assert_eq!(rows(&pool, "own").await, there, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_else_may_have_committed_is_in_doubt() {
    let Some(server) = server() else { return };
    let pool = pool(server, "elsewhere", 1);
    table(&pool, "elsewhere").await;
    let (send, mut sent) = tokio::sync::mpsc::channel::<Tx>(1);
    let (say, said) = tokio::sync::oneshot::channel();
    let elsewhere = tokio::spawn(async move {
        let mut tx = sent.recv().await.unwrap();
        say.send(tx.execute("COMMIT").await.is_ok()).unwrap();
        // Kept until its pool is closed.
        let _ = sent.recv().await;
    });
    let done = pool.transaction(&Token::never(), async |mut tx| {
        add(&mut tx, "elsewhere", 1).await?;
        send.send(tx).await.unwrap();
        assert!(said.await.unwrap());
        Ok::<_, sqlx::Error>(())
    });
    let error = done.await.unwrap_err();
    assert!(error.is_in_doubt() && !error.is_not_committed(), "{error:?}");
    drop(send);
    elsewhere.await.unwrap();
    assert_eq!(rows(&pool, "elsewhere").await, [1]);
}

/// A table whose commits wait for that.
async fn slow_commits(pool: &Pool, name: &str, wait: &str) {
    let sql = format!(
        "CREATE TABLE {name} (n int);
         CREATE FUNCTION {name}_waits() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM {wait}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER {name}_waits AFTER INSERT ON {name}
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {name}_waits()"
    );
    pool.get_ref().execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
}

async fn commits(server: &Server, name: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' \
         AND state = 'active' AND query = 'COMMIT'"
    );
    until("it commits", async || server.psql(&sql) == "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_commits_neither_the_token_nor_a_drop_stops_it() {
    let Some(server) = server() else { return };
    let pool = pool(server, "committing", 1);
    slow_commits(&pool, "committing", "pg_advisory_xact_lock(77)").await;
    let mut lock = common::sqlx::options(server, "lock").connect().await.unwrap();
    lock.execute("SELECT pg_advisory_lock(77)").await.unwrap();
    let source = Source::new();
    let run = |n| {
        pool.transaction(&source.token(), async move |mut tx| add(&mut tx, "committing", n).await)
    };
    let stopped = tokio::spawn(run(1));
    commits(server, "committing").await;
    let later = run(2);
    source.cancel();
    assert!(later.await.unwrap_err().cancelled().is_some());
    lock.execute("SELECT pg_advisory_unlock(77)").await.unwrap();
    stopped.await.unwrap().unwrap();
    assert_eq!(rows(&pool, "committing").await, [1]);

    let before = backend(&pool).await;
    lock.execute("SELECT pg_advisory_lock(77)").await.unwrap();
    let dropped = tokio::spawn(
        pool.transaction(&Token::never(), async |mut tx| add(&mut tx, "committing", 2).await),
    );
    commits(server, "committing").await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    lock.execute("SELECT pg_advisory_unlock(77)").await.unwrap();
    // The only connection comes free after the commit, and is the same: its answer was heard.
    assert_eq!(rows(&pool, "committing").await, [1, 2]);
    assert_eq!(backend(&pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_in_a_commit_leaves_it_in_doubt() {
    let Some(server) = server() else { return };
    let pool = pool(server, "doubt", 1);
    slow_commits(&pool, "doubt", "pg_sleep(60)").await;
    let run = tokio::spawn(
        pool.transaction(&Token::never(), async |mut tx| add(&mut tx, "doubt", 1).await),
    );
    commits(server, "doubt").await;
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'doubt' AND query = 'COMMIT'";
    assert_eq!(server.psql(sql), "t");
    let error = run.await.unwrap().unwrap_err();
    assert!(error.is_in_doubt(), "{error:?}");
    assert!(error.to_string().contains("look at the data"));
    assert_eq!(rows(&pool, "doubt").await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_given_up_in_time() {
    let Some(server) = server() else { return };
    let within = Duration::from_millis(200);
    let pool = builder(server, "unanswered", 1).commit_within(within).build();
    slow_commits(&pool, "unanswered", "pg_sleep(60)").await;
    let run = pool.transaction(&Token::never(), async |mut tx| add(&mut tx, "unanswered", 1).await);
    let error = run.await.unwrap_err();
    assert!(error.is_in_doubt(), "{error:?}");
    assert_eq!(error.source().unwrap().to_string(), "the answer did not come in time");
    assert_eq!(open(server, "unanswered"), "0");
    assert_eq!(rows(&pool, "unanswered").await, []);
}
