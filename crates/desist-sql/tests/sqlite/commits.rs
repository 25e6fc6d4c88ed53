//! What became of a commit, and what its caller is told of it.

use std::cell::RefCell;
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_sql::Wait;
use desist_sql::sqlite::Pool;
use rusqlite::{Connection, DropBehavior, Transaction};

use super::common::{Dice, Folder, count};

const RETURNING: &str = "INSERT INTO t (x) VALUES (1) RETURNING id";

async fn with_table(pool: &Pool) {
    let made = "CREATE TABLE t (id INTEGER PRIMARY KEY, x)";
    pool.write(&Token::never(), move |conn| conn.execute_batch(made)).await.unwrap();
}

fn why(error: &desist_sql::Error<rusqlite::Error>) -> String {
    assert_eq!(error.to_string(), "the transaction was not committed", "{error:?}");
    std::error::Error::source(error).unwrap().to_string()
}

/// It commits when the statement is reset, and rusqlite does not say what came of that.
#[tokio::test]
async fn a_row_whose_statement_did_not_commit_is_not_told() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    with_table(&pool).await;
    for reason in [None, Some(Reason::Superseded)] {
        let source = Source::new();
        let token = source.token();
        let answer = pool.write(&token, move |conn| {
            conn.query_row(RETURNING, [], |row| {
                reason.map(|reason| source.cancel_with(reason));
                row.get::<_, i64>(0)
            })
        });
        match (answer.await, reason) {
            (Ok(1), None) => {
                let deleted = pool.write(&Token::never(), |conn| conn.execute("DELETE FROM t", []));
                assert_eq!(deleted.await.unwrap(), 1);
            }
            (Err(error), Some(reason)) => assert_eq!(error.cancelled().unwrap().reason(), reason),
            other => panic!("{other:?}"),
        }
        assert_eq!(count(&pool, "t").await, 0);
    }
}

#[tokio::test]
async fn a_transaction_that_commits_when_it_is_dropped_is_not_told_if_it_did_not() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    with_table(&pool).await;
    let source = Source::new();
    let token = source.token();
    let answer = pool.write(&token, move |conn| {
        let mut tx = conn.transaction()?;
        tx.set_drop_behavior(DropBehavior::Commit);
        let inserted = tx.execute("INSERT INTO t (x) VALUES (1)", [])?;
        source.cancel();
        Ok::<_, rusqlite::Error>(inserted)
    });
    assert!(answer.await.unwrap_err().cancelled().is_some());
    assert_eq!(count(&pool, "t").await, 0);
}

async fn whoever_is_told_a_row_finds_it(wait: Wait) {
    let folder = Folder::new();
    let pool = folder.builder().wait(wait).open().await.unwrap();
    with_table(&pool).await;
    let (mut told, mut stopped, mut dice) = (0, 0, Dice(0x2545_F491_4F6C_DD1D));
    // So long does one take here, more or less; then half of them are stopped.
    let mut aim = 20_000_i64;
    for race in 0..3_000_i64 {
        let source = Source::new();
        let insert = "INSERT INTO t (x) VALUES (?1) RETURNING id";
        let running = pool.write(&source.token(), move |conn| {
            conn.query_row(insert, [race], |row| row.get::<_, i64>(0))
        });
        let running = tokio::spawn(running);
        let after = aim.unsigned_abs() / 2 + dice.below(aim.unsigned_abs() + 1);
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_nanos(after) {
            std::hint::spin_loop();
        }
        source.cancel();
        match running.await.unwrap() {
            Ok(id) => {
                let there = pool.run(&Token::never(), move |conn| {
                    conn.query_row(
                        "SELECT count(*) FROM t WHERE id = ?1 AND x = ?2",
                        [id, race],
                        |row| row.get::<_, i64>(0),
                    )
                });
                assert_eq!(there.await.unwrap(), 1, "race {race} was told {id}");
                told += 1;
                aim = (aim - 500).max(0);
            }
            Err(error) => {
                assert!(error.cancelled().is_some(), "{error:?}");
                stopped += 1;
                aim += 500;
            }
        }
    }
    assert!(told >= 300 && stopped >= 300, "{told} told, {stopped} stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_a_row_finds_it_in_three_thousand_races() {
    whoever_is_told_a_row_finds_it(Wait::Confirmed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_told_a_row_finds_it_where_nobody_waits_for_the_stop() {
    whoever_is_told_a_row_finds_it(Wait::AtOnce).await;
}

/// Without a log, who commits waits for who reads; rusqlite does not say that this came to
/// nothing.
#[tokio::test]
async fn a_commit_that_finds_a_lock_is_told() {
    let folder = Folder::new();
    let builder = folder.builder().wal(false).busy_timeout(Duration::from_millis(20));
    let (brief, builder) = (builder.open().await.unwrap(), folder.builder().wal(false));
    let patient = builder.busy_timeout(Duration::from_secs(3600)).open().await.unwrap();
    with_table(&brief).await;
    let reads = Connection::open(folder.file()).unwrap();
    reads.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let insert = |conn: &mut Connection| conn.query_row(RETURNING, [], |row| row.get::<_, i64>(0));

    let error = brief.write(&Token::never(), insert).await.unwrap_err();
    assert!(why(&error).contains("its last commit came to nothing"), "{error:?}");
    let stopped = patient.write(&Source::with_timeout(Duration::from_millis(20)).token(), insert);
    assert_eq!(stopped.await.unwrap_err().cancelled().unwrap().reason(), Reason::Deadline);
    // One that is seen to fail, and tried again, is committed.
    let again = brief.write(&Token::never(), move |conn| {
        conn.execute("INSERT INTO t (x) VALUES (1)", []).expect_err("there is a lock");
        reads.execute_batch("COMMIT")?;
        conn.execute("INSERT INTO t (x) VALUES (1)", [])
    });
    assert_eq!(again.await.unwrap(), 1);
    assert_eq!(count(&brief, "t").await, 1);
}

thread_local! {
    static STOP: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// SQLite asks it after the commit, and gives its error out as that of the statement.
fn fails_after_the_commit(conn: &Connection) {
    conn.wal_hook(Some(|_, _| {
        STOP.with_borrow_mut(Option::take).map(|stop| stop.cancel());
        Err(rusqlite::Error::InvalidQuery)
    }));
}

#[tokio::test]
async fn what_fails_after_the_commit_takes_nothing_back() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    with_table(&pool).await;
    let never = Token::never();
    let inserted = pool.transaction(&never, |tx| {
        fails_after_the_commit(tx);
        tx.execute("INSERT INTO t (x) VALUES (1)", [])
    });
    assert_eq!(inserted.await.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 1);
    let source = Source::new();
    let token = source.token();
    let stopped_then = pool.transaction(&token, |tx| {
        STOP.set(Some(source));
        tx.execute("INSERT INTO t (x) VALUES (2)", [])
    });
    assert_eq!(stopped_then.await.unwrap(), 1);
    assert!(token.is_cancelled());
    assert_eq!(count(&pool, "t").await, 2);
}

/// And what fails before it is not there: a reader has the lock that a commit needs.
#[tokio::test]
async fn a_commit_that_fails_is_rolled_back_and_said() {
    let folder = Folder::new();
    let builder = folder.builder().wal(false).busy_timeout(Duration::ZERO);
    let pool = builder.open().await.unwrap();
    with_table(&pool).await;
    let reads = Connection::open(folder.file()).unwrap();
    reads.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let insert = |tx: &mut Transaction<'_>| tx.execute("INSERT INTO t (x) VALUES (1)", []);
    let error = pool.transaction(&Token::never(), insert).await.unwrap_err();
    assert!(why(&error).contains("locked"), "{error:?}");
    assert_eq!(count(&pool, "t").await, 0);
    reads.execute_batch("COMMIT").unwrap();
    assert_eq!(pool.transaction(&Token::never(), insert).await.unwrap(), 1);
}

/// A transaction in the place of the one that was rolled back is not committed for it.
#[tokio::test]
async fn half_a_transaction_is_not_committed() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    with_table(&pool).await;
    let first = "INSERT INTO t (id, x) VALUES (1, 1)";
    let halves = [
        "ROLLBACK; BEGIN; INSERT INTO t (id, x) VALUES (2, 2)",
        "ROLLBACK; SAVEPOINT s; INSERT INTO t (id, x) VALUES (2, 2)",
        "ROLLBACK; BEGIN; ROLLBACK; BEGIN",
    ];
    for half in halves {
        let answer = pool.transaction(&Token::never(), move |tx| {
            tx.execute(first, [])?;
            tx.execute_batch(half)
        });
        let error = answer.await.unwrap_err();
        assert!(why(&error).starts_with("it was rolled back before its end"), "{half}: {error:?}");
        assert_eq!(count(&pool, "t").await, 0, "{half}");
    }
    // SQLite rolls back, and its closure does not care.
    pool.write(&Token::never(), move |conn| conn.execute(first, [])).await.unwrap();
    let answer = pool.transaction(&Token::never(), |tx| {
        tx.execute("INSERT INTO t (id, x) VALUES (2, 2)", [])?;
        tx.execute("INSERT OR ROLLBACK INTO t (id, x) VALUES (1, 3)", []).unwrap_err();
        tx.execute_batch("SAVEPOINT s; INSERT INTO t (id, x) VALUES (4, 4)")
    });
    let error = answer.await.unwrap_err();
    assert!(why(&error).starts_with("it was rolled back before its end"), "{error:?}");
    assert_eq!(count(&pool, "t").await, 1);
    // What is rolled back to a savepoint is another matter, and so is the next transaction.
    let answer = pool.transaction(&Token::never(), |tx| {
        tx.execute_batch("SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; RELEASE s")?;
        tx.execute("INSERT INTO t (id, x) VALUES (5, 5)", [])
    });
    assert_eq!(answer.await.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 2);
}

/// The hooks are the connection's: the stop is heard there as well.
#[tokio::test]
async fn nothing_commits_after_the_stop_on_another_thread() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    with_table(&pool).await;
    let source = Source::new();
    let token = source.token();
    let answer = pool.write(&token, move |conn| {
        source.cancel();
        let insert = move || conn.query_row(RETURNING, [], |row| row.get::<_, i64>(0));
        std::thread::scope(|scope| scope.spawn(insert).join().unwrap())
    });
    assert!(answer.await.unwrap_err().cancelled().is_some());
    assert_eq!(count(&pool, "t").await, 0);
}
