//! Nothing of one lease is left to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_sql::sqlite::{self, Pool};
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode};

use super::common::{ENDLESS, Folder, Halt, count, forgets};

/// A pool that counts how many connections it has opened.
async fn counting(folder: &Folder) -> (Pool, Arc<AtomicUsize>) {
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
    let error = forgotten.await.expect_err("its rows are rolled back");
    assert_eq!(error.to_string(), "the transaction was not committed");
    let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (3)", []);
    assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1);
    assert_eq!(opened.load(SeqCst), 4);
    assert_eq!(count(&pool, "t").await, 1);
    // It reads, in a transaction that is committed all the same.
    let inserted = pool.transaction(&Token::never(), |tx| {
        let mut statement = tx.prepare("SELECT x FROM t")?;
        let mut rows = statement.query([])?;
        rows.next()?;
        std::mem::forget(rows);
        std::mem::forget(statement);
        tx.execute("INSERT INTO t VALUES (4)", [])
    });
    assert_eq!(inserted.await.unwrap(), 1);
    assert_eq!(count(&pool, "t").await, 2);
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

#[derive(Default)]
struct PanicsWhenWoken(AtomicBool);

impl std::task::Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        panic!("when woken");
    }
}

#[tokio::test]
async fn a_waker_that_panics_costs_neither_thread_nor_connection() {
    let folder = Folder::new();
    let (pool, opened) = counting(&folder).await;
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let mut running = Box::pin(pool.run(&Token::never(), move |_| {
        goes_on.recv().unwrap();
        Ok::<_, rusqlite::Error>(7)
    }));
    let woken = Arc::new(PanicsWhenWoken::default());
    let waker = std::task::Waker::from(Arc::clone(&woken));
    assert!(running.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    go_on.send(()).unwrap();
    while !woken.0.load(SeqCst) {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.await.unwrap(), 7);
    assert_eq!(count(&pool, "t").await, 0);
    assert_eq!(opened.load(SeqCst), 2);
}

/// What is open and cannot be rolled back goes with its connection, and its lock as well.
#[tokio::test]
async fn a_connection_that_cannot_be_rolled_back_is_thrown_away() {
    let folder = Folder::new();
    let (pool, opened) = counting(&folder).await;
    let spoilt = pool.write(&Token::never(), |conn| {
        conn.execute_batch("BEGIN; INSERT INTO t VALUES (1)")?;
        conn.authorizer(Some(|_: AuthContext<'_>| Authorization::Deny))
    });
    assert_eq!(spoilt.await.unwrap_err().to_string(), "the transaction was not committed");
    let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (2)", []);
    assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1);
    assert_eq!(opened.load(SeqCst), 3);
    assert_eq!(count(&pool, "t WHERE x = 1").await, 0);
}

type Reset = fn(&mut Connection) -> rusqlite::Result<()>;

/// Without a reset, what a closure sets on its connection stays.
#[tokio::test]
async fn what_a_closure_sets_is_taken_back_by_a_reset() {
    let sets = |conn: &mut Connection| {
        conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = 77")
    };
    let look = |conn: &mut Connection| {
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        Ok::<_, rusqlite::Error>((pragma("query_only")?, pragma("cache_size")?))
    };
    let (with, without) = (Folder::new(), Folder::new());
    let resets = with
        .builder()
        .reset(|conn| conn.execute_batch("PRAGMA query_only = OFF; PRAGMA cache_size = 99"));
    let pool = resets.open().await.unwrap();
    pool.write(&Token::never(), sets).await.unwrap();
    assert_eq!(pool.write(&Token::never(), look).await.unwrap(), (0, 99));
    let pool = without.pool().await;
    pool.write(&Token::never(), sets).await.unwrap();
    assert_eq!(pool.write(&Token::never(), look).await.unwrap(), (1, 77));
}

#[tokio::test]
async fn a_reset_that_fails_costs_the_connection_and_not_the_answer() {
    let panics = |_: &mut Connection| -> rusqlite::Result<()> { panic!("in reset") };
    let fails = |_: &mut Connection| Err(rusqlite::Error::InvalidQuery);
    let leaves = |conn: &mut Connection| conn.execute_batch("BEGIN");
    let fits = |_: &mut Connection| Ok(());
    let kinds: [(Reset, usize); 5] =
        [(panics, 2), (fails, 2), (leaves, 2), (forgets, 2), (fits, 1)];
    for (reset, expected) in kinds {
        let folder = Folder::new();
        let reads = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&reads);
        let builder = folder.builder().reset(reset).setup(move |conn| {
            counts.fetch_add(usize::from(conn.is_readonly("main")?), SeqCst);
            Ok(())
        });
        let pool = builder.open().await.unwrap();
        for _ in 0..2 {
            assert_eq!(count(&pool, "sqlite_schema").await, 0);
        }
        assert_eq!(reads.load(SeqCst), expected);
    }
}

/// What is in memory, or without a log, is opened for writing by everybody.
#[tokio::test]
async fn a_reader_that_undoes_that_it_only_reads_has_done_so_for_itself() {
    let folder = Folder::new();
    for builder in [Pool::builder().in_memory().readers(1), folder.builder().wal(false)] {
        let pool = builder.open().await.unwrap();
        pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
        let undone = |conn: &mut Connection| conn.pragma_update(None, "query_only", false);
        pool.run(&Token::never(), undone).await.unwrap();
        let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (1)", []);
        let error = pool.run(&Token::never(), insert).await.unwrap_err();
        let code = error.into_failure().unwrap().sqlite_error_code();
        assert_eq!(code, Some(ErrorCode::ReadOnly));
        assert_eq!(count(&pool, "t").await, 0);
    }
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

/// For what the closure does besides its statements: the caller's token hears of no drop.
#[tokio::test]
async fn a_closure_hears_that_its_future_was_dropped() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (tell, told) = tokio::sync::oneshot::channel();
    let source = Source::new();
    let callers = source.token();
    let mut running = Box::pin(pool.run(&source.token(), move |_| {
        begun.send(()).unwrap();
        while !sqlite::token().is_cancelled() {
            std::thread::yield_now();
        }
        let reason = sqlite::token().cancellation().unwrap().reason();
        tell.send((reason, callers.is_cancelled())).unwrap();
        Ok::<_, rusqlite::Error>(())
    }));
    tokio::select! {
        biased;
        _ = &mut running => panic!("nobody has stopped it"),
        begun = begins => begun.unwrap(),
    }
    drop(running);
    assert_eq!(told.await.unwrap(), (Reason::Dropped, false));
    // Of one lease, and of none where none is on.
    let fresh = pool.run(&Token::never(), |_| Ok::<_, ()>(sqlite::token().is_cancelled()));
    assert!(!fresh.await.unwrap());
    assert!(!sqlite::token().can_be_cancelled());
}
