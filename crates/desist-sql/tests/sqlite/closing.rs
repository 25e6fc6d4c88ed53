//! How a pool ends.

use std::sync::mpsc;
use std::time::Duration;

use desist::{Reason, Token};
use desist_sql::sqlite::Pool;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::common::{ENDLESS, Folder, Halt, forgets};

#[tokio::test]
async fn closing_waits_for_what_runs_and_refuses_what_waits() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().setup(halt.installs()).open().await.unwrap();
    // An empty file keeps its empty log.
    let made = pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)"));
    made.await.unwrap();
    let halts =
        |conn: &mut Connection| conn.query_row("SELECT halt(7)", [], |row| row.get::<_, i64>(0));
    let runs = tokio::spawn(pool.run(&Token::never(), halts));
    reins.halted().await;
    let waits = tokio::spawn(pool.run(&Token::never(), halts));
    while pool.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let mut closes = Box::pin(pool.close());
    tokio::select! {
        biased;
        () = &mut closes => panic!("one still runs"),
        refused = waits => {
            let error = refused.unwrap().unwrap_err();
            assert!(error.to_string().starts_with("the pool is closed"), "{error}");
        }
    }
    let late = pool.write(&Token::never(), halts).await.unwrap_err();
    assert!(late.to_string().starts_with("the pool is closed"), "{late}");
    reins.release();
    closes.await;
    assert_eq!(runs.await.unwrap().unwrap(), 7);
    // Its connections are closed: the last one has taken the log along.
    assert!(!folder.file().with_extension("db-wal").exists());
    // And again.
    pool.close().await;
}

#[tokio::test]
async fn what_runs_when_the_time_to_close_is_over_is_named_and_stopped() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    let line = line!() + 1;
    let endless = pool.write(&Token::never(), |conn| conn.query_row(ENDLESS, [], |_| Ok(())));
    let endless = tokio::spawn(endless);
    while pool.in_use() == 0 {
        tokio::task::yield_now().await;
    }
    let closed = pool.close_within(Duration::from_millis(20)).await;
    assert!(!closed.is_clean());
    let [named] = closed.still_running() else { panic!("{closed:?}") };
    assert!(named.is_write() && named.running_for() > Duration::ZERO);
    assert_eq!((named.caller().file(), named.caller().line()), (file!(), line));
    let error = endless.await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Shutdown);
    assert!(pool.close_within(Duration::from_secs(60)).await.is_clean(), "now it is over");
}

/// It has its turn, so it is not refused, and its connection is still to be opened.
#[tokio::test]
async fn what_has_not_begun_when_the_time_to_close_is_over_never_does() {
    let folder = Folder::new();
    // The third one: the writer's, the reader's, and the one in the place of that.
    let (halt, mut reins) = Halt::at(3);
    let opens = move |_: &mut Connection| {
        halt.call();
        Ok(())
    };
    let pool = folder.builder().setup(opens).open().await.unwrap();
    pool.run(&Token::never(), forgets).await.unwrap();
    let endless = pool.run(&Token::never(), |conn| conn.query_row(ENDLESS, [], |_| Ok(())));
    let endless = tokio::spawn(endless);
    reins.halted().await;
    let closed = pool.close_within(Duration::ZERO).await;
    assert!(!closed.is_clean() && closed.still_running().is_empty(), "{closed:?}");
    let error = endless.await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Shutdown);
    reins.release();
    pool.close().await;
    assert_eq!((pool.in_use(), pool.waiting()), (0, 0));
}

/// The connection goes with its thread, and with the connection what its functions hold.
#[tokio::test]
async fn the_threads_end_with_the_last_handle() {
    let folder = Folder::new();
    let (told, mut tells) = tokio::sync::mpsc::channel::<()>(1);
    let pool = folder
        .builder()
        .readers(3)
        .setup(move |conn| {
            let held = told.clone();
            conn.create_collation("holds", move |a, b| {
                let _ = &held;
                a.cmp(b)
            })
        })
        .open()
        .await
        .unwrap();
    let (begun, begins) = oneshot::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let runs = tokio::spawn(pool.clone().run(&Token::never(), move |_| {
        begun.send(()).unwrap();
        goes_on.recv().unwrap();
        Ok::<_, rusqlite::Error>(7)
    }));
    begins.await.unwrap();
    drop(pool);
    go_on.send(()).unwrap();
    assert_eq!(runs.await.unwrap().unwrap(), 7, "whoever waits for a call still has its answer");
    assert_eq!(tells.recv().await, None, "all of them are gone");
}

#[tokio::test]
async fn a_pool_that_was_not_waited_for_ends() {
    let folder = Folder::new();
    let (told, mut tells) = tokio::sync::mpsc::channel::<()>(1);
    let opening = folder.builder().setup(move |_| {
        let _ = &told;
        Ok(())
    });
    let mut opening = Box::pin(opening.open());
    tokio::select! {
        biased;
        _ = &mut opening => {}
        () = std::future::ready(()) => {}
    }
    drop(opening);
    assert_eq!(tells.recv().await, None);
    assert!(Pool::open(folder.file()).await.is_ok());
}
