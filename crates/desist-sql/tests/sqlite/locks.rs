//! How long a statement waits for somebody else's lock.

use std::time::{Duration, Instant};

use desist::{Reason, Source, Token};
use rusqlite::Connection;

use super::common::{Folder, count, once};

#[tokio::test]
async fn a_wait_for_a_lock_ends_with_the_stop() {
    let folder = Folder::new();
    let pool = folder.builder().busy_timeout(Duration::from_secs(3600)).open().await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE").unwrap();
    let work = |tx: &mut rusqlite::Transaction<'_>| tx.execute("INSERT INTO t VALUES (1)", []);
    for reason in [Reason::Requested, Reason::Deadline, Reason::Dropped] {
        let source = Source::new();
        let mut running = Box::pin(pool.transaction(&source.token(), work));
        assert!(once(&mut running).await.is_none());
        while pool.in_use() == 0 {
            tokio::task::yield_now().await;
        }
        // Nothing says that it waits now; if it does not yet, the test is another.
        tokio::time::sleep(Duration::from_millis(20)).await;
        match reason {
            Reason::Requested => drop(source.cancel()),
            Reason::Deadline => source.cancel_after(Duration::from_millis(1)),
            _ => {
                drop(running);
                continue;
            }
        }
        // With the lock still held: it did not wait for that.
        assert_eq!(running.await.unwrap_err().cancelled().unwrap().reason(), reason);
    }
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(pool.transaction(&Token::never(), work).await.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 1);
}

#[tokio::test]
async fn a_lock_that_is_not_free_in_time_is_an_error_and_no_stop() {
    let folder = Folder::new();
    let pool = folder.builder().busy_timeout(Duration::from_millis(30)).open().await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let waits = pool.write(&Token::never(), |conn| conn.execute("INSERT INTO t VALUES (1)", []));
    let error = waits.await.unwrap_err();
    let code = error.failure().unwrap().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::DatabaseBusy));
    assert!(began.elapsed() >= Duration::from_millis(30), "it has waited as long as it should");
    let error = pool.transaction(&Token::never(), |_| Ok::<_, ()>(())).await.unwrap_err();
    assert!(error.to_string().starts_with("the transaction could not begin"), "{error}");
}

#[tokio::test]
async fn each_statement_waits_for_a_lock_as_long() {
    let folder = Folder::new();
    let timeout = Duration::from_millis(40);
    let pool = folder.builder().busy_timeout(timeout).open().await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE").unwrap();
    let waited = pool.write(&Token::never(), |conn| {
        let wait = |_| {
            let began = Instant::now();
            conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
            began.elapsed()
        };
        Ok::<_, rusqlite::Error>([1, 2, 3].map(wait))
    });
    assert!(waited.await.unwrap().iter().all(|waited| *waited >= timeout));
}
