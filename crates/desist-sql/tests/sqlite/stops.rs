//! A stop before, at the start of, during and after every kind of statement.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_sql::sqlite::{Pool, Running};
use desist_sql::{Error, Wait};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::common::{BIG, Folder, Halt, Reins, count, fill, idle, once};

type Work = fn(&mut Connection) -> rusqlite::Result<()>;

#[derive(Clone, Copy, Debug)]
enum How {
    Reads(Work),
    Writes(Work),
    /// In a transaction.
    Whole(&'static str),
}

fn each_row(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

const KINDS: [(&str, How); 8] = [
    (
        "computes",
        How::Reads(|conn| {
            let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                       SELECT sum(halt(x)) FROM n";
            conn.query_row(sql, [], |_| Ok(()))
        }),
    ),
    ("sorts", How::Reads(|conn| each_row(conn, "SELECT x FROM big ORDER BY word COLLATE halting"))),
    ("many rows", How::Reads(|conn| each_row(conn, "SELECT halt(x), word FROM big"))),
    ("updates", How::Writes(|conn| conn.execute_batch("UPDATE big SET x = -halt(x)"))),
    ("indexes", How::Writes(|conn| conn.execute_batch("CREATE INDEX i ON big (halt(x))"))),
    ("copies", How::Whole("INSERT INTO copy SELECT halt(x) FROM big")),
    ("deletes", How::Whole("DELETE FROM big WHERE halt(x) > 0")),
    ("is made", How::Whole("CREATE TABLE made AS SELECT halt(x) AS x FROM big")),
];

impl How {
    fn begin(self, pool: &Pool, token: &Token) -> Running<(), rusqlite::Error> {
        match self {
            Self::Reads(work) => pool.run(token, work),
            Self::Writes(work) => pool.write(token, work),
            Self::Whole(sql) => pool.transaction(token, move |tx| tx.execute_batch(sql)),
        }
    }
}

async fn halting(folder: &Folder) -> (Pool, Halt, Reins) {
    let (halt, reins) = Halt::at(500);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    fill(&pool).await;
    (pool, halt, reins)
}

/// What it was before, and the next on either connection has its answer.
async fn is_as_before(pool: &Pool, what: &str) {
    assert_eq!(count(pool, "big WHERE x > 0").await, BIG, "{what}");
    assert_eq!(count(pool, "copy").await, 0, "{what}");
    assert_eq!(count(pool, "sqlite_schema WHERE name IN ('i', 'made')").await, 0, "{what}");
    let next = pool.write(&Token::never(), |conn| conn.execute("INSERT INTO copy VALUES (1)", []));
    assert_eq!(next.await.unwrap(), 1, "{what}");
    assert_eq!((pool.in_use(), pool.waiting()), (0, 0), "{what}");
}

#[tokio::test]
async fn a_stop_in_the_middle_ends_every_kind_of_statement() {
    for (what, how) in KINDS {
        let folder = Folder::new();
        let (pool, _, mut reins) = halting(&folder).await;
        let source = Source::new();
        let running = tokio::spawn(how.begin(&pool, &source.token()));
        reins.halted().await;
        source.cancel_with(Reason::Disconnected);
        reins.release();
        let error = running.await.unwrap().expect_err(what);
        assert_eq!(error.cancelled().expect(what).reason(), Reason::Disconnected, "{what}");
        is_as_before(&pool, what).await;
    }
}

#[tokio::test]
async fn a_time_that_is_over_ends_every_kind_of_statement() {
    for (what, how) in KINDS {
        let folder = Folder::new();
        let (pool, _, mut reins) = halting(&folder).await;
        let token = Source::with_timeout(Duration::from_millis(30)).token();
        let running = tokio::spawn(how.begin(&pool, &token));
        token.cancelled().await;
        // Where the machine is slow, it may not have come that far; then it does not begin.
        tokio::select! {
            () = reins.halted() => {}
            () = async { while pool.in_use() > 0 { tokio::task::yield_now().await } } => {}
        }
        reins.release();
        let error = running.await.unwrap().expect_err(what);
        assert_eq!(error.cancelled().expect(what).reason(), Reason::Deadline, "{what}");
        is_as_before(&pool, what).await;
    }
}

#[tokio::test]
async fn dropping_the_future_ends_every_kind_of_statement() {
    for (what, how) in KINDS {
        let folder = Folder::new();
        let (pool, halt, mut reins) = halting(&folder).await;
        let mut running = Box::pin(how.begin(&pool, &Token::never()));
        tokio::select! {
            biased;
            _ = &mut running => panic!("{what} halts"),
            () = reins.halted() => {}
        }
        drop(running);
        reins.release();
        is_as_before(&pool, what).await;
        // To sort them takes 270,000 comparisons, and a piece that is in memory ends first.
        let most = if what == "sorts" { 135_000 } else { BIG as usize / 2 };
        assert!(halt.calls() < most, "{what} has gone on: {}", halt.calls());
    }
}

#[tokio::test]
async fn without_a_stop_they_come_to_their_end() {
    for (what, how) in &KINDS[1..] {
        let folder = Folder::new();
        let (pool, _, mut reins) = halting(&folder).await;
        let running = tokio::spawn(how.begin(&pool, &Source::new().token()));
        reins.halted().await;
        reins.release();
        running.await.unwrap().expect(what);
    }
}

#[tokio::test]
async fn a_token_cancelled_before_does_nothing_at_all() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    let has_run = Arc::new(AtomicBool::new(false));
    let token = Token::cancelled_with(Reason::Superseded);
    for is_write in [false, true] {
        let ran = Arc::clone(&has_run);
        let work = move |_: &mut Connection| {
            ran.store(true, SeqCst);
            Ok::<_, rusqlite::Error>(())
        };
        let mut running =
            Box::pin(if is_write { pool.write(&token, work) } else { pool.run(&token, work) });
        // The answer is there with the first look: nothing was queued.
        let polled = once(&mut running).await;
        let error = polled.expect("at once").unwrap_err();
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
        assert_eq!((pool.in_use(), pool.waiting()), (0, 0));
    }
    pool.close().await;
    assert!(!has_run.load(SeqCst), "its threads are gone, and have not run it");
}

/// A closure that has begun, and waits before its first statement.
fn waits_first(
    pool: &Pool,
    token: &Token,
    sql: &'static str,
) -> (Running<i64, rusqlite::Error>, oneshot::Receiver<()>, mpsc::Sender<()>) {
    let (begun, begins) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let running = pool.write(token, move |conn| {
        let mut statement = conn.prepare(sql)?;
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        statement.query_row([], |row| row.get(0))
    });
    (running, begins, go_on)
}

#[tokio::test]
async fn a_stop_before_the_first_step_is_not_lost() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await.unwrap();
    for sql in ["SELECT 1", "INSERT INTO t VALUES (1) RETURNING x", "PRAGMA user_version"] {
        for _ in 0..200 {
            let source = Source::new();
            let (running, begins, go_on) = waits_first(&pool, &source.token(), sql);
            let running = tokio::spawn(running);
            begins.await.unwrap();
            source.cancel();
            go_on.send(()).unwrap();
            let error = running.await.unwrap().expect_err(sql);
            assert!(error.cancelled().is_some(), "{sql}: {error:?}");
        }
    }
    assert_eq!(count(&pool, "t").await, 0);
}

/// The control of the test above: rusqlite's own interrupt is.
#[test]
fn an_interrupt_before_the_first_step_is_lost_by_sqlite() {
    let conn = Connection::open_in_memory().unwrap();
    let interrupt = conn.get_interrupt_handle();
    let mut statement = conn.prepare("SELECT 1").unwrap();
    let lost = (0..200).filter(|_| {
        interrupt.interrupt();
        statement.query_row([], |row| row.get::<_, i64>(0)).is_ok()
    });
    assert_eq!(lost.count(), 200);
}

/// Whether its caller has looked for the answer by then or not.
#[tokio::test]
async fn a_stop_after_the_end_changes_nothing() {
    for wait in [Wait::Confirmed, Wait::AtOnce] {
        let folder = Folder::new();
        let pool = folder.builder().wait(wait).open().await.unwrap();
        let source = Source::new();
        let (go_on, goes_on) = mpsc::channel::<()>();
        let mut made = Box::pin(pool.write(&source.token(), move |conn| {
            goes_on.recv().unwrap();
            conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        }));
        assert!(once(&mut made).await.is_none());
        go_on.send(()).unwrap();
        idle(&pool).await;
        source.cancel();
        made.await.expect("it is done");
        let source = Source::new();
        let insert = |conn: &mut Connection| conn.execute("INSERT INTO t VALUES (2)", []);
        assert_eq!(pool.write(&source.token(), insert).await.unwrap(), 1);
        source.cancel();
        assert_eq!(count(&pool, "t").await, 2);
        assert_eq!(pool.write(&Token::never(), insert).await.unwrap(), 1, "nobody else is hit");
    }
}

/// Its closure has ended, and the connection is still being made ready for the next.
#[tokio::test]
async fn a_stop_between_the_end_and_the_answer_changes_nothing() {
    for wait in [Wait::Confirmed, Wait::AtOnce] {
        let folder = Folder::new();
        let (halt, mut reins) = Halt::at(1);
        let halts = move |_: &mut Connection| {
            halt.call();
            Ok(())
        };
        let pool = folder.builder().wait(wait).reset(halts).open().await.unwrap();
        let source = Source::new();
        let make = |conn: &mut Connection| conn.execute_batch("CREATE TABLE t (x)");
        let mut made = Box::pin(pool.write(&source.token(), make));
        assert!(once(&mut made).await.is_none());
        reins.halted().await;
        source.cancel();
        assert!(once(&mut made).await.is_none(), "its answer is on its way");
        reins.release();
        made.await.expect("it is done");
        assert_eq!(count(&pool, "t").await, 0);
    }
}

/// An error that was not a stop stays one, although a stop comes later, and SQLite's
/// code for an interrupt is no stop by itself.
#[tokio::test]
async fn an_interrupt_that_nobody_asked_for_is_the_drivers_error() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    let source = Source::new();
    let running = pool.run(&source.token(), |conn| {
        let interrupt = conn.get_interrupt_handle();
        let mut statement = conn.prepare("VALUES (1), (2)")?;
        let mut rows = statement.query([])?;
        rows.next()?;
        interrupt.interrupt();
        rows.next().map(|_| ())
    });
    let error = running.await.unwrap_err();
    assert!(error.cancelled().is_none());
    let code = error.failure().unwrap().sqlite_error_code();
    assert_eq!(code, Some(rusqlite::ErrorCode::OperationInterrupted));
}

/// The handlers look at the token, not at what the stop has done so far.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_holds_up_the_canceller_holds_up_no_stop() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(500);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let source = Source::new();
    let running = tokio::spawn(KINDS[0].1.begin(&pool, &source.token()));
    reins.halted().await;
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (told, tells) = oneshot::channel();
    // One that is called before the pool's own.
    let newer = source.token().child();
    let holds_up = newer.token().on_cancel(move |_| {
        told.send(()).unwrap();
        goes_on.recv().unwrap();
    });
    let canceller = thread::spawn(move || source.cancel());
    tells.await.unwrap();
    reins.release();
    assert!(running.await.unwrap().unwrap_err().cancelled().is_some());
    go_on.send(()).unwrap();
    assert!(canceller.join().unwrap());
    drop(holds_up);
}

/// The token is marked, and nobody has done anything about it: it must not begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_holds_up_the_canceller_lets_nothing_begin() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(500);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let holds = tokio::spawn(KINDS[0].1.begin(&pool, &Token::never()));
    reins.halted().await;
    let source = Source::new();
    let has_run = Arc::new(AtomicBool::new(false));
    let ran = Arc::clone(&has_run);
    let mut waits = Box::pin(pool.run(&source.token(), move |_| {
        ran.store(true, SeqCst);
        Ok::<_, rusqlite::Error>(())
    }));
    assert!(once(&mut waits).await.is_none());
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (told, tells) = oneshot::channel();
    // One that is called before the pool's own.
    let newer = source.token().child();
    let holds_up = newer.token().on_cancel(move |_| {
        told.send(()).unwrap();
        goes_on.recv().unwrap();
    });
    let canceller = thread::spawn(move || source.cancel());
    tells.await.unwrap();
    // The one before it ends; then it is its turn. Nobody looks at it before it had that, for
    // it would be withdrawn.
    holds.abort();
    reins.release();
    idle(&pool).await;
    assert!(!has_run.load(SeqCst));
    assert!(waits.await.unwrap_err().cancelled().is_some());
    go_on.send(()).unwrap();
    assert!(canceller.join().unwrap());
    drop(holds_up);
}

/// What the progress handler alone would see a thousand steps later.
#[tokio::test]
async fn a_stop_is_seen_with_the_next_row() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(500);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let source = Source::new();
    let running = tokio::spawn(KINDS[0].1.begin(&pool, &source.token()));
    reins.halted().await;
    source.cancel();
    reins.release();
    assert!(running.await.unwrap().unwrap_err().cancelled().is_some());
    assert!(halt.calls() <= 502, "{}", halt.calls());
}

#[tokio::test]
async fn whoever_does_not_want_to_wait_is_told_at_once() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).wait(Wait::AtOnce).open().await.unwrap();
    let source = Source::new();
    let running = tokio::spawn(pool.write(&source.token(), |conn| {
        // A commit that is over keeps nobody.
        conn.execute_batch("CREATE TABLE t (x)")?;
        conn.query_row("SELECT halt(1)", [], |row| row.get::<_, i64>(0))
    }));
    reins.halted().await;
    source.cancel();
    // It is still in the middle of it.
    let error: Error<rusqlite::Error> = running.await.unwrap().unwrap_err();
    assert!(error.cancelled().is_some());
    assert_eq!(pool.in_use(), 1);
    let mut next =
        Box::pin(pool.write(&Token::never(), |conn| {
            conn.query_row("SELECT 2", [], |row| row.get::<_, i64>(0))
        }));
    assert!(once(&mut next).await.is_none());
    assert_eq!(pool.waiting(), 1, "the connection is not free before that");
    reins.release();
    assert_eq!(next.await.unwrap(), 2);
}

/// Also when the commit that it waited for is over, and what comes after that takes long.
#[tokio::test]
async fn whoever_waits_for_a_commit_alone_is_told_when_that_is_over() {
    let folder = Folder::new();
    let pool = folder.builder().wait(Wait::AtOnce).open().await.unwrap();
    let source = Source::new();
    let (tell, mut tells) = tokio::sync::mpsc::channel::<()>(1);
    let (go_on, goes_on) = mpsc::channel::<()>();
    let running = tokio::spawn(pool.write(&source.token(), move |conn| {
        conn.execute_batch("CREATE TABLE t (x)")?;
        tell.blocking_send(()).unwrap();
        goes_on.recv().unwrap();
        conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
        // It heeds nothing.
        goes_on.recv().unwrap();
        Ok::<_, rusqlite::Error>(())
    }));
    tells.recv().await.unwrap();
    source.cancel();
    // So it looks, and waits, for its commit may still be on its way.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!running.is_finished());
    go_on.send(()).unwrap();
    let told = tokio::time::timeout(Duration::from_secs(20), running);
    let error = told.await.expect("it is woken").unwrap().unwrap_err();
    assert!(error.cancelled().is_some());
    assert_eq!(pool.in_use(), 1);
    go_on.send(()).unwrap();
    assert_eq!(count(&pool, "t").await, 0);
}

/// And whoever does, is told when it is so.
#[tokio::test]
async fn a_stop_is_told_when_nothing_runs_any_more() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    let source = Source::new();
    let mut running = Box::pin(pool.write(&source.token(), |conn| {
        conn.execute_batch("BEGIN IMMEDIATE; CREATE TABLE t (x)")?;
        conn.query_row("SELECT halt(1)", [], |_| Ok(()))
    }));
    tokio::select! {
        biased;
        _ = &mut running => panic!("it halts"),
        () = reins.halted() => {}
    }
    source.cancel();
    assert!(once(&mut running).await.is_none());
    reins.release();
    assert!(running.await.unwrap_err().cancelled().is_some());
    // The lock is free: another connection need not wait for it.
    let other = Connection::open(folder.file()).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}
