//! Transactions are there whole or not at all, whatever ends them.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::time::Duration;

use common::sqlx::{add, backend, open, options, pool, rows, server, table, until};
use desist::{Reason, Source, Token};
use desist_sql::sqlx::{Pool, Tx};
use sqlx::{Acquire, ConnectOptions, Connection, Executor};

#[tokio::test(flavor = "multi_thread")]
async fn ok_commits_and_an_error_rolls_back() {
    let Some(server) = server() else { return };
    let pool = pool(server, "ends", 1);
    table(&pool, "ends").await;
    let token = Token::never();
    pool.transaction(&token, async |mut tx| add(&mut tx, "ends", 1).await).await.unwrap();
    let error = pool.transaction(&token, async |mut tx| {
        add(&mut tx, "ends", 2).await?;
        Err::<(), _>(sqlx::Error::RowNotFound)
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error.failure(), Some(sqlx::Error::RowNotFound)), "{error:?}");
    assert_eq!(rows(&pool, "ends").await, [1]);
    // It is rolled back by the time that one hears of it: its locks are free.
    let other = common::sqlx::pg_pool(server, "other", 1);
    for _ in 0..50 {
        let locked = pool.transaction(&token, async |mut tx| {
            tx.execute("LOCK TABLE ends").await?;
            Err::<(), _>(sqlx::Error::RowNotFound)
        });
        assert!(locked.await.is_err());
        other.execute("BEGIN; LOCK TABLE ends NOWAIT; COMMIT").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_mode_that_it_was_begun_with() {
    let Some(server) = server() else { return };
    let pool = pool(server, "modes", 1);
    let source = Source::with_timeout(Duration::from_secs(100));
    let modes = async |mut tx: Tx| {
        let sql = "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
                   current_setting('transaction_read_only'), \
                   current_setting('transaction_deferrable'), \
                   current_setting('statement_timeout') <> '0')";
        sqlx::query_scalar::<_, String>(sql).fetch_one(&mut *tx).await
    };
    for (begin, expected) in [
        ("BEGIN", "read committed off off t"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "serializable off off t"),
        ("START TRANSACTION READ ONLY", "read committed on off t"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE", "serializable on on t"),
    ] {
        let modes = pool.transaction_with(&source.token(), begin, modes).await;
        assert_eq!(modes.unwrap(), expected, "{begin}");
    }
    // What is not understood is not tried again and again, and costs no connection.
    let before = backend(&pool).await;
    for wrong in ["BEGIN NOTHING", "SELECT 1"] {
        let error = pool.transaction_with(&source.token(), wrong, modes).await.unwrap_err();
        assert!(error.is_no_connection(), "{error:?}");
        assert!(error.to_string().contains("could not be begun"), "{error}");
        assert!(error.source().is_some());
        assert_eq!(backend(&pool).await, before, "{wrong}");
    }
}

/// As it waits for its snapshot; by a stop and by a drop.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_as_it_begins_is_stopped_on_the_server() {
    let Some(server) = server() else { return };
    let pool = pool(server, "deferrable", 1);
    let before = backend(&pool).await;
    let mut writer = options(server, "writer").connect().await.unwrap();
    let writes = "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE of_a_writer (n int)";
    writer.execute(writes).await.unwrap();
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE";
    for by_drop in [false, true] {
        let source = Source::new();
        let (token, of_work) = (source.token(), pool.clone());
        let work = tokio::spawn(async move {
            of_work.transaction_with(&token, begin, async |_| Ok::<_, sqlx::Error>(())).await
        });
        let waits = "SELECT count(*) FROM pg_stat_activity \
                     WHERE application_name = 'deferrable' AND wait_event = 'SafeSnapshot'";
        until("it waits", async || server.psql(waits) == "1").await;
        if by_drop {
            work.abort();
            assert!(work.await.unwrap_err().is_cancelled());
        } else {
            source.cancel();
            assert!(work.await.unwrap().unwrap_err().cancelled().is_some());
        }
        // The next one has the same connection, so it was not only hung up on.
        assert_eq!(backend(&pool).await, before);
        assert_eq!(server.psql(waits), "0");
    }
    writer.execute("ROLLBACK").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sqlx_begins_in_it_is_a_savepoint() {
    let Some(server) = server() else { return };
    let pool = pool(server, "savepoints", 1);
    table(&pool, "savepoints").await;
    let done = pool.transaction(&Token::never(), async |mut tx| {
        let mut outer = tx.savepoint().await?;
        outer.execute("INSERT INTO savepoints VALUES (1)").await?;
        let mut inner = outer.begin().await?;
        assert!(inner.execute("INSERT INTO savepoints VALUES (1 / 0)").await.is_err());
        inner.rollback().await?;
        outer.commit().await?;
        // As a function does that takes whatever can begin.
        let mut own = Acquire::begin(&mut *tx).await?;
        own.execute("INSERT INTO savepoints VALUES (2)").await?;
        own.commit().await?;
        drop(tx.savepoint().await?);
        add(&mut tx, "savepoints", 3).await
    });
    done.await.unwrap();
    let none = pool.transaction(&Token::never(), async |mut tx| {
        let mut own = Connection::begin(&mut *tx).await?;
        own.execute("INSERT INTO savepoints VALUES (4)").await?;
        own.commit().await?;
        Err::<(), _>(sqlx::Error::RowNotFound)
    });
    assert!(none.await.is_err());
    assert_eq!(rows(&pool, "savepoints").await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_that_were_forgotten_are_committed_with_it() {
    let Some(server) = server() else { return };
    let pool = pool(server, "forgotten", 1);
    table(&pool, "forgotten").await;
    let done = pool.transaction(&Token::never(), async |mut tx| {
        add(&mut tx, "forgotten", 1).await?;
        std::mem::forget(tx.savepoint().await?);
        std::mem::forget(tx.savepoint().await?);
        add(&mut tx, "forgotten", 2).await
    });
    done.await.unwrap();
    // As somebody else sees it, too.
    assert_eq!(server.psql("SELECT count(*) FROM forgotten"), "2");
    assert_eq!(open(server, "forgotten"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_or_dropped_halfway_it_is_rolled_back_and_leaves_nothing_open() {
    let Some(server) = server() else { return };
    let pool = pool(server, "halfway", 1);
    table(&pool, "halfway").await;
    for (is_dropped, sql) in [
        (false, "SELECT pg_sleep(60)"),
        (true, "SELECT pg_sleep(60)"),
        // Between two statements.
        (false, ""),
        (true, ""),
    ] {
        let source = Source::new();
        let (works, mut at_work) = tokio::sync::mpsc::channel::<()>(1);
        let run = tokio::spawn(pool.transaction(&source.token(), async move |mut tx| {
            add(&mut tx, "halfway", 1).await?;
            let mut nested = tx.savepoint().await?;
            works.send(()).await.unwrap();
            if !sql.is_empty() {
                nested.execute(sql).await?;
            }
            std::future::pending::<sqlx::Result<()>>().await
        }));
        at_work.recv().await.unwrap();
        if is_dropped {
            run.abort();
            assert!(run.await.unwrap_err().is_cancelled());
            until("it is rolled back", async || open(server, "halfway") == "0").await;
        } else {
            source.cancel_with(Reason::Disconnected);
            let error = run.await.unwrap().unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
            assert_eq!(open(server, "halfway"), "0");
        }
        assert_eq!(rows(&pool, "halfway").await, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_open_transaction_gets_back_to_the_pool() {
    let Some(server) = server() else { return };
    let pool = pool(server, "raw", 1);
    let before = backend(&pool).await;
    for sql in ["BEGIN", "BEGIN; SELECT 1 / 0", "BEGIN; SAVEPOINT a"] {
        let left = pool.run(&Token::never(), async |mut conn| {
            let _ = conn.execute(sql).await;
            Ok::<_, sqlx::Error>(())
        });
        left.await.unwrap();
        until("it is rolled back", async || open(server, "raw") == "0").await;
        assert_eq!(backend(&pool).await, before, "{sql}");
    }
    // Left by somebody who goes past us: it is closed, and another one taken.
    pool.get_ref().execute("BEGIN").await.unwrap();
    assert_ne!(backend(&pool).await, before);
    until("it is closed", async || open(server, "raw") == "0").await;
    pool.get_ref().execute("BEGIN; CREATE TABLE raw ()").await.unwrap();
    let tx = pool.transaction(&Token::never(), async |mut tx| tx.execute("SELECT 1").await);
    tx.await.unwrap();
    until("it is closed", async || open(server, "raw") == "0").await;
    assert_eq!(server.psql("SELECT to_regclass('raw') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_deadline_is_the_timeout_of_its_statements() {
    let Some(server) = server() else { return };
    let pool = pool(server, "timeouts", 1);
    let timeout = |token: &Token, first: &'static str| {
        pool.transaction(token, async move |mut tx| {
            let sql = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'";
            let set: i32 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await?;
            tx.execute(first).await?;
            Ok::<_, sqlx::Error>(set)
        })
    };
    assert_eq!(timeout(&Token::never(), "").await.unwrap(), 0);
    let source = Source::with_timeout(Duration::from_secs(100));
    let set = timeout(&source.token(), "").await.unwrap();
    assert!((90_000..=100_000).contains(&set), "{set}");
    // It was the transaction's, not the session's.
    assert_eq!(timeout(&Token::never(), "SET statement_timeout = '5s'").await.unwrap(), 0);
    // A shorter one of the session stays.
    assert_eq!(timeout(&source.token(), "SET statement_timeout = '1000s'").await.unwrap(), 5_000);
    let set = timeout(&source.token(), "").await.unwrap();
    assert!((90_000..=100_000).contains(&set), "{set}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_stopped_at_random_leave_the_sum_as_it_was() {
    let Some(server) = server() else { return };
    let pool = pool(server, "transfers", 8);
    pool.get_ref()
        .execute(
            "CREATE TABLE accounts (id int PRIMARY KEY, sum int NOT NULL);
             INSERT INTO accounts SELECT n, 1000 FROM generate_series(0, 9) n;
             CREATE TABLE ledger (n int PRIMARY KEY)",
        )
        .await
        .unwrap();
    let callers: Vec<_> = (0..1_000i32).map(|n| tokio::spawn(caller(pool.clone(), n))).collect();
    let (mut there, mut not_there, mut dropped) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (n, caller) in (0..).zip(callers) {
        match caller.await.unwrap() {
            Some(true) => drop(there.insert(n)),
            Some(false) => drop(not_there.insert(n)),
            None => dropped += 1,
        }
    }
    let sums = (there.len(), not_there.len(), dropped);
    assert!(sums.0 >= 100 && sums.1 >= 50 && sums.2 >= 50, "{sums:?}");
    // The last of those that nobody waited for.
    assert!(pool.close_within(common::PATIENCE).await);
    assert_eq!(server.psql("SELECT sum(sum) FROM accounts"), "10000");
    let ledger = server.psql("SELECT n FROM ledger");
    let ledger: BTreeSet<i32> = ledger.lines().map(|n| n.parse().unwrap()).collect();
    assert!(there.is_subset(&ledger));
    assert!(not_there.is_disjoint(&ledger));
    until("they are closed", async || open(server, "transfers") == "0").await;
}

/// Whether it says that it has transferred; `None`: it was dropped.
async fn caller(pool: Pool, n: i32) -> Option<bool> {
    let source = Source::new();
    let transfer = pool.transaction(&source.token(), async move |mut tx| {
        let change = "UPDATE accounts SET sum = sum + $2 WHERE id = $1";
        for (account, by) in [(n % 10, -1), (n / 10 % 10, 1)] {
            sqlx::query(change).bind(account).bind(by).execute(&mut *tx).await?;
        }
        sqlx::query("INSERT INTO ledger VALUES ($1)").bind(n).execute(&mut *tx).await
    });
    // From before its turn to long after it, and every fourth not at all.
    let share = f64::from(n * 7919 % 1000) / 1000.0;
    let after = Duration::from_secs_f64(share.powi(3) * 1.5);
    let after = if n % 4 == 3 { Duration::MAX } else { after };
    if n % 4 == 0 {
        return match tokio::time::timeout(after, transfer).await {
            Ok(result) => Some(result.is_ok()),
            Err(_) => None,
        };
    }
    source.cancel_after(after);
    let result = transfer.await;
    if let Err(error) = &result {
        assert!(!error.is_in_doubt(), "{error:?}");
    }
    Some(result.is_ok())
}
