//! Everything or nothing, whatever ends it.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc;

use desist::{Reason, Source, Token};
use desist_sql::Wait;
use desist_sql::sqlite::Pool;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::common::{Folder, Halt, count};

async fn with_table(folder: &Folder) -> Pool {
    let pool = folder.pool().await;
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    pool
}

/// A gate that a closure waits at.
fn gate() -> (impl FnOnce() + Send + 'static, oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (begun, begins) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let waits = move || {
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
    };
    (waits, begins, go_on)
}

#[tokio::test]
async fn it_is_committed_when_its_closure_says_so() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let inserted = pool.transaction(&Token::never(), |tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        let mut inner = tx.savepoint()?;
        inner.execute("INSERT INTO t VALUES (2)", [])?;
        let innermost = inner.savepoint()?;
        innermost.execute("INSERT INTO t VALUES (3)", [])?;
        innermost.commit()?;
        inner.rollback()?;
        inner.execute("INSERT INTO t VALUES (4)", [])?;
        inner.commit()
    });
    inserted.await.unwrap();
    let other = Connection::open(folder.file()).unwrap();
    let sum = other.query_row("SELECT sum(x) FROM t", [], |row| row.get::<_, i64>(0));
    assert_eq!(sum.unwrap(), 5);
}

#[tokio::test]
async fn it_is_rolled_back_when_its_closure_fails_or_panics() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let failed = pool.transaction(&Token::never(), |tx| {
        tx.execute("INSERT INTO t VALUES (1)", []).unwrap();
        Err::<(), _>("I do not want it")
    });
    assert_eq!(failed.await.unwrap_err().into_failure().unwrap(), "I do not want it");

    let panics = pool.transaction(&Token::never(), |tx| -> Result<(), ()> {
        tx.execute("INSERT INTO t VALUES (1)", []).unwrap();
        panic!("in the middle")
    });
    // It comes out where it is awaited, here in a task.
    let panic = tokio::spawn(panics).await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "in the middle");
    assert_eq!(count(&pool, "t").await, 0);
    assert_eq!(pool.transaction(&Token::never(), |_| Ok::<_, ()>(1)).await.unwrap(), 1);
}

/// Where the stop comes between the last statement and the commit.
#[tokio::test]
async fn after_a_stop_nothing_commits() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    for by_itself in [false, true] {
        let source = Source::new();
        let (waits, begins, go_on) = gate();
        let running = if by_itself {
            tokio::spawn(pool.write(&source.token(), |conn| {
                let tx = conn.transaction()?;
                tx.execute("INSERT INTO t VALUES (1)", [])?;
                waits();
                tx.commit()
            }))
        } else {
            tokio::spawn(pool.transaction(&source.token(), |tx| {
                tx.execute("INSERT INTO t VALUES (1)", [])?;
                waits();
                Ok::<_, rusqlite::Error>(())
            }))
        };
        begins.await.unwrap();
        source.cancel_with(Reason::Disconnected);
        go_on.send(()).unwrap();
        let error = running.await.unwrap().unwrap_err();
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
        assert_eq!(count(&pool, "t").await, 0);
    }
}

/// A closure that swallows its errors is stopped all the same, and its caller told.
#[tokio::test]
async fn what_goes_on_after_the_stop_writes_nothing() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let source = Source::new();
    let (waits, begins, go_on) = gate();
    let (tell, told) = oneshot::channel();
    let running = tokio::spawn(pool.write(&source.token(), |conn| {
        waits();
        let tries = (0..100).filter(|_| conn.execute("INSERT INTO t VALUES (1)", []).is_ok());
        tell.send(tries.count()).unwrap();
        Ok::<_, rusqlite::Error>(())
    }));
    begins.await.unwrap();
    source.cancel();
    go_on.send(()).unwrap();
    assert!(running.await.unwrap().unwrap_err().cancelled().is_some());
    assert_eq!(told.await.unwrap(), 0);
    assert_eq!(count(&pool, "t").await, 0);
}

/// SQLite rolls a transaction back by itself when the disk is full: what its closure writes
/// after that would be committed one by one.
#[tokio::test]
async fn what_follows_a_rollback_of_sqlites_own_does_not_slip_out() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let full = pool.transaction(&Token::never(), |tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        tx.pragma_update(None, "max_page_count", 3)?;
        let error = tx.execute("INSERT INTO t VALUES (zeroblob(1000000))", []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        tx.pragma_update(None, "max_page_count", 1_000_000)?;
        // A closure that does not care.
        drop(tx.execute_batch("ROLLBACK"));
        drop(tx.execute("INSERT INTO t VALUES (2)", []));
        Ok::<_, rusqlite::Error>(())
    });
    let error = full.await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    assert_eq!(count(&pool, "t").await, 0);
}

#[tokio::test]
async fn a_full_disk_is_the_drivers_error_and_leaves_all_as_it_was() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let full = pool.transaction(&Token::never(), |tx| {
        tx.pragma_update(None, "max_page_count", 3)?;
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        tx.execute("INSERT INTO t VALUES (zeroblob(1000000))", [])
    });
    let error = full.await.unwrap_err();
    let code = error.failure().unwrap().sqlite_error_code();
    assert_eq!(code, Some(ErrorCode::DiskFull));
    assert_eq!(count(&pool, "t").await, 0);
}

#[tokio::test]
async fn its_closure_cannot_commit_by_itself() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let commits = pool.transaction(&Token::never(), |tx| {
        tx.execute("INSERT INTO t VALUES (1)", [])?;
        tx.execute_batch("COMMIT")
    });
    let error = commits.await.unwrap_err();
    let code = error.failure().unwrap().sqlite_error_code();
    assert_eq!(code, Some(ErrorCode::ConstraintViolation));
    assert_eq!(count(&pool, "t").await, 0);
}

#[tokio::test]
async fn a_transaction_that_is_left_open_is_rolled_back_and_said() {
    let folder = Folder::new();
    let pool = with_table(&folder).await;
    let left =
        pool.write(&Token::never(), |conn| conn.execute_batch("BEGIN; INSERT INTO t VALUES (1)"));
    let error = left.await.unwrap_err();
    assert_eq!(error.to_string(), "the transaction was not committed");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("left a transaction or a statement open"), "{source}");
    assert_eq!(count(&pool, "t").await, 0);
    // Of one that only reads nothing is lost.
    let reads = pool.run(&Token::never(), |conn| conn.execute_batch("BEGIN; SELECT * FROM t"));
    reads.await.unwrap();
    pool.write(&Token::never(), |conn| conn.execute("INSERT INTO t VALUES (1)", [])).await.unwrap();
    assert_eq!(count(&pool, "t").await, 1, "its view of the data is gone as well");
}

/// A caller that does not wait hears `Cancelled` only of what will not be there.
#[tokio::test]
async fn a_commit_that_is_on_its_way_is_waited_for() {
    let folder = Folder::new();
    let pool = folder.builder().wait(Wait::AtOnce).open().await.unwrap();
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    let source = Source::new();
    let (waits, begins, go_on) = gate();
    let waits = AssertUnwindSafe(std::sync::Mutex::new(Some(waits)));
    let running = tokio::spawn(pool.transaction(&source.token(), move |tx| {
        // Called within the commit, after the hook has let it pass.
        let wal = waits;
        KEPT.with_borrow_mut(|kept| *kept = wal.0.lock().unwrap().take().map(|w| Box::new(w) as _));
        tx.wal_hook(Some(|_, _| {
            if let Some(waits) = KEPT.with_borrow_mut(Option::take) {
                waits();
            }
            Ok(())
        }));
        tx.execute("INSERT INTO t VALUES (1)", [])
    }));
    begins.await.unwrap();
    source.cancel();
    go_on.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), 1, "it was committed, so it is no stop");
    assert_eq!(count(&pool, "t").await, 1);
}

thread_local! {
    static KEPT: std::cell::RefCell<Option<Box<dyn FnOnce()>>> = const { std::cell::RefCell::new(None) };
}

#[tokio::test]
async fn it_begins_with_the_lock_to_write() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let running = tokio::spawn(pool.transaction(&Token::never(), |tx| {
        tx.query_row("SELECT halt(1)", [], |row| row.get::<_, i64>(0))
    }));
    reins.halted().await;
    let other = Connection::open(folder.file()).unwrap();
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    let error = other.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    reins.release();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_that_cannot_begin_says_what_to_do() {
    let folder = Folder::new();
    let pool = folder.builder().busy_timeout(std::time::Duration::ZERO).open().await.unwrap();
    let begin = || pool.transaction(&Token::never(), |_| Ok::<_, ()>(()));
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = begin().await.unwrap_err().to_string();
    assert!(said.contains("wait longer with `busy_timeout`"), "{said}");
    other.execute_batch("COMMIT").unwrap();
    // To wait is of no use to this one, nor to that.
    let set = |conn: &mut Connection| conn.pragma_update(None, "query_only", true);
    pool.write(&Token::never(), set).await.unwrap();
    let said = begin().await.unwrap_err().to_string();
    assert!(said.contains("its connection may not write"), "{said}");
    let deny = |_: AuthContext<'_>| Authorization::Deny;
    pool.write(&Token::never(), move |conn| conn.authorizer(Some(deny))).await.unwrap();
    let said = begin().await.unwrap_err().to_string();
    assert_eq!(said, "the transaction could not begin");
}
