//! Nothing of one lease is left to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use desist::{Source, Token};
use rusqlite::Connection;

use super::common::{ENDLESS, Folder, Halt, count, forgets};

/// A pool that counts how many connections it has opened.
async fn counting(folder: &Folder) -> (desist_sql::sqlite::Pool, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&opened);
    let builder = folder.builder().setup(move |_| {
        counts.fetch_add(1, SeqCst);
        Ok(())
    });
    let pool = builder.open().await.unwrap();
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    (pool, opened)
}

#[tokio::test]
async fn a_statement_that_was_forgotten_costs_its_connection() {
    let folder = Folder::new();
    let (pool, opened) = counting(&folder).await;
    assert_eq!(opened.load(SeqCst), 2);
    // It reads.
    pool.run(&Token::never(), forgets).await.unwrap();
    assert_eq!(count(&pool, "t").await, 0);
    assert_eq!(opened.load(SeqCst), 3);
    // It writes, and holds the lock.
    let forgotten = pool.write(&Token::never(), |conn| {
        let mut statement = conn.prepare("INSERT INTO t VALUES (1), (2) RETURNING x")?;
        let mut rows = statement.query([])?;
        rows.next()?;
        std::mem::forget(rows);
        std::mem::forget(statement);
        Ok::<_, rusqlite::Error>(())
    });
    forgotten.await.unwrap();
    let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (3)", []);
    assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1);
    assert_eq!(opened.load(SeqCst), 4);
    assert_eq!(count(&pool, "t").await, 1);
}

/// Between its turn and its beginning.
#[tokio::test]
async fn whoever_is_stopped_while_its_connection_is_opened_does_not_begin() {
    let folder = Folder::new();
    // The third one: the writer's, the reader's, and the one in the place of that.
    let (halt, mut reins) = Halt::at(3);
    let opens = move |_: &mut Connection| {
        halt.call();
        Ok(())
    };
    let pool = folder.builder().setup(opens).open().await.unwrap();
    pool.run(&Token::never(), forgets).await.unwrap();
    let (source, has_run) = (Source::new(), Arc::new(AtomicBool::new(false)));
    let runs = Arc::clone(&has_run);
    let stopped = tokio::spawn(pool.run(&source.token(), move |_| {
        runs.store(true, SeqCst);
        Ok::<_, rusqlite::Error>(())
    }));
    reins.halted().await;
    source.cancel();
    // Nothing of it has begun, so there is nothing to wait for.
    assert!(stopped.await.unwrap().unwrap_err().cancelled().is_some());
    reins.release();
    assert_eq!(count(&pool, "sqlite_schema").await, 0);
    assert!(!has_run.load(SeqCst));
}

#[tokio::test]
async fn a_stop_does_not_cost_the_connection() {
    let folder = Folder::new();
    let (pool, opened) = counting(&folder).await;
    for is_write in [false, true] {
        let token = Source::with_timeout(Duration::from_millis(5)).token();
        let work = |conn: &mut Connection| {
            conn.execute_batch("BEGIN")?;
            conn.query_row(ENDLESS, [], |_| Ok(()))
        };
        let running = if is_write { pool.write(&token, work) } else { pool.run(&token, work) };
        assert!(running.await.unwrap_err().cancelled().is_some());
    }
    assert_eq!(count(&pool, "t").await, 0);
    let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (3)", []);
    assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1);
    assert_eq!(opened.load(SeqCst), 2);
}

#[tokio::test]
async fn a_panic_costs_neither_thread_nor_connection() {
    let folder = Folder::new();
    let (pool, opened) = counting(&folder).await;
    let panics = pool.run(&Token::never(), |conn| -> rusqlite::Result<()> {
        conn.execute_batch("BEGIN; SELECT * FROM t")?;
        std::panic::panic_any(7)
    });
    let panic = tokio::spawn(panics).await.unwrap_err().into_panic();
    assert_eq!(*panic.downcast::<i32>().unwrap(), 7);
    assert_eq!(count(&pool, "t").await, 0);
    assert_eq!(opened.load(SeqCst), 2);
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("when dropped");
    }
}

/// What nobody waits for is dropped by the thread.
#[tokio::test]
async fn a_result_that_panics_when_it_is_dropped_costs_nothing() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let mut running = Box::pin(pool.run(&Token::never(), |conn| {
        conn.query_row("SELECT halt(1)", [], |_| Ok(())).ok();
        Ok::<_, rusqlite::Error>(PanicsWhenDropped)
    }));
    tokio::select! {
        biased;
        _ = &mut running => panic!("it halts"),
        () = reins.halted() => {}
    }
    drop(running);
    reins.release();
    assert_eq!(count(&pool, "sqlite_schema").await, 0);
    assert_eq!((pool.in_use(), pool.waiting()), (0, 0));
}

/// Handlers that a closure takes away are there again for the next.
#[tokio::test]
async fn what_a_closure_does_to_the_handlers_ends_with_it() {
    let folder = Folder::new();
    let pool = folder.builder().busy_timeout(Duration::from_secs(3600)).open().await.unwrap();
    pool.write(&Token::never(), |conn| {
        conn.execute_batch("CREATE TABLE t (x)")?;
        conn.progress_handler(0, None::<fn() -> bool>)?;
        conn.commit_hook(Some(|| true))?;
        conn.busy_timeout(Duration::ZERO)?;
        conn.trace_v2(rusqlite::trace::TraceEventCodes::all(), None);
        Ok::<_, rusqlite::Error>(())
    })
    .await
    .unwrap();
    let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (1)", []);
    assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1);
    let token = Source::with_timeout(Duration::from_millis(5)).token();
    let endless = pool.write(&token, |conn| conn.query_row(ENDLESS, [], |_| Ok(())));
    assert!(endless.await.unwrap_err().cancelled().is_some());
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waits = Box::pin(pool.write(&Token::never(), insert));
    tokio::select! {
        biased;
        done = &mut waits => panic!("it waits for the lock: {done:?}"),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(waits.await.unwrap(), 1);
}

/// The thread that stops is not kept by the work that it stops.
#[tokio::test]
async fn a_cancel_does_not_wait_for_the_work() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let source = Source::new();
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    let running = tokio::spawn(pool.run(&source.token(), move |conn| {
        let result = conn.query_row("SELECT halt(1)", [], |_| Ok(()));
        ends.store(true, SeqCst);
        result
    }));
    reins.halted().await;
    source.cancel();
    assert!(!is_over.load(SeqCst), "it returned while the work was still on");
    reins.release();
    running.await.unwrap().unwrap();
    assert!(is_over.load(SeqCst));
}
