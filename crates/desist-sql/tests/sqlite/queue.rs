//! Who waits, in which order, and who leaves.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use desist::{Reason, Source, Token};
use desist_sql::sqlite::{Pool, Running};

use super::common::{Folder, Halt, Reins, count};

type Call = Pin<Box<Running<(), rusqlite::Error>>>;

/// A pool of one, whose one is busy until the reins are let go.
async fn busy(folder: &Folder, most: usize) -> (Pool, Call, Reins) {
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().queue(most).setup(halt.installs()).open().await.unwrap();
    let mut holds = Box::pin(
        pool.run(&Token::never(), |conn| conn.query_row("SELECT halt(1)", [], |_| Ok(()))),
    );
    tokio::select! {
        biased;
        _ = &mut holds => panic!("it halts"),
        () = reins.halted() => {}
    }
    (pool, holds, reins)
}

fn once(call: &mut Call) -> Poll<Result<(), desist_sql::Error<rusqlite::Error>>> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    fn call(&self, pool: &Pool, token: &Token, number: usize) -> Call {
        let log = self.clone();
        Box::pin(pool.run(token, move |_| {
            log.0.lock().unwrap().push(number);
            Ok(())
        }))
    }

    fn all(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn those_that_wait_come_in_order_and_leave_when_they_are_stopped() {
    let folder = Folder::new();
    let (pool, holds, reins) = busy(&folder, usize::MAX).await;
    let log = Log::default();
    let sources: Vec<_> = (0..100).map(|_| Source::new()).collect();
    let mut calls: Vec<_> =
        sources.iter().enumerate().map(|(n, source)| log.call(&pool, &source.token(), n)).collect();
    for call in &mut calls {
        assert!(once(call).is_pending());
    }
    assert_eq!((pool.waiting(), pool.in_use()), (100, 1));
    // Each third is stopped, and told at once; the one after each is dropped.
    for n in (0..100).step_by(3) {
        sources[n].cancel_with(Reason::Superseded);
        let Poll::Ready(Err(error)) = once(&mut calls[n]) else { panic!("{n} is still there") };
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
    }
    assert_eq!(pool.waiting(), 66);
    let mut kept = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        if n % 3 == 2 {
            kept.push(call);
        }
    }
    assert_eq!(pool.waiting(), 33, "whoever is dropped leaves as well");
    reins.release();
    holds.await.unwrap();
    for call in kept {
        call.await.unwrap();
    }
    assert_eq!(log.all(), (0..100).filter(|n| n % 3 == 2).collect::<Vec<_>>());
    assert_eq!((pool.waiting(), pool.in_use()), (0, 0));
}

#[tokio::test]
async fn a_wait_ends_with_its_time() {
    let folder = Folder::new();
    let (pool, holds, reins) = busy(&folder, usize::MAX).await;
    let token = Source::with_timeout(Duration::from_millis(5)).token();
    let log = Log::default();
    let error = log.call(&pool, &token, 1).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
    assert_eq!((pool.waiting(), pool.in_use()), (0, 1), "the one that holds it still does");
    reins.release();
    holds.await.unwrap();
    assert_eq!(count(&pool, "sqlite_schema").await, 0);
    assert!(log.all().is_empty());
}

#[tokio::test]
async fn whoever_finds_no_place_is_told_so() {
    let folder = Folder::new();
    let (pool, holds, reins) = busy(&folder, 2).await;
    let (log, never) = (Log::default(), Token::never());
    let mut first = log.call(&pool, &never, 1);
    let mut second = log.call(&pool, &never, 2);
    assert!(once(&mut first).is_pending() && once(&mut second).is_pending());
    let error = log.call(&pool, &never, 3).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    let stopped = Token::cancelled_with(Reason::Superseded);
    let error = log.call(&pool, &stopped, 3).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded, "it asked for no place");
    // One that leaves makes room.
    drop(first);
    let mut fourth = log.call(&pool, &never, 4);
    assert!(once(&mut fourth).is_pending());
    reins.release();
    holds.await.unwrap();
    second.await.unwrap();
    fourth.await.unwrap();
    assert_eq!(log.all(), [2, 4]);
}

#[tokio::test]
async fn without_a_queue_nobody_waits() {
    let folder = Folder::new();
    let (pool, holds, reins) = busy(&folder, 0).await;
    let (log, never) = (Log::default(), Token::never());
    let error = log.call(&pool, &never, 1).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    reins.release();
    holds.await.unwrap();
    for number in 2..1000 {
        log.call(&pool, &never, number).await.unwrap();
    }
    assert_eq!(log.all(), (2..1000).collect::<Vec<_>>());
}

/// That it is closed is another matter than that it is full.
#[tokio::test]
async fn a_pool_that_is_closed_is_not_said_to_be_full() {
    let folder = Folder::new();
    let (pool, holds, reins) = busy(&folder, 0).await;
    assert!(!pool.close_within(Duration::ZERO).await.is_clean());
    let error = Log::default().call(&pool, &Token::never(), 1).await.unwrap_err();
    assert!(error.to_string().starts_with("the pool is closed"), "{error}");
    reins.release();
    drop(holds.await);
}

/// A turn that was given to one that leaves in the same moment goes to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_turn_is_lost_when_its_owner_leaves() {
    let folder = Folder::new();
    let pool = folder.pool().await;
    for _ in 0..2_000 {
        let source = Source::new();
        let leaves = tokio::spawn(pool.run(&source.token(), |_| Ok::<_, rusqlite::Error>(())));
        let stays = tokio::spawn(pool.run(&Token::never(), |_| Ok::<_, rusqlite::Error>(())));
        source.cancel();
        drop(leaves.await.unwrap());
        stays.await.unwrap().unwrap();
    }
    assert_eq!((pool.waiting(), pool.in_use()), (0, 0));
}

#[tokio::test]
async fn readers_work_beside_each_other_and_beside_the_writer() {
    let folder = Folder::new();
    let (halt, mut reins) = Halt::at(1);
    let pool = folder.builder().readers(2).setup(halt.installs()).open().await.unwrap();
    let writes = tokio::spawn(pool.transaction(&Token::never(), |tx| {
        tx.execute_batch("CREATE TABLE t (x)")?;
        tx.query_row("SELECT halt(1)", [], |_| Ok(()))
    }));
    reins.halted().await;
    let (first, second) = (count(&pool, "sqlite_schema"), count(&pool, "sqlite_schema"));
    assert_eq!(tokio::join!(first, second), (0, 0), "the writer is in the middle");
    reins.release();
    writes.await.unwrap().unwrap();
    assert_eq!(count(&pool, "sqlite_schema").await, 1);
}

#[tokio::test]
async fn the_futures_can_be_spawned() {
    fn is_send<T: Send + Unpin + 'static>(_: &T) {}
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let folder = Folder::new();
    let builder = folder.builder();
    is_send(&builder);
    let pool = builder.open().await.unwrap();
    is_shared(&pool);
    let running = pool.run(&Token::never(), |_| Ok::<_, String>(std::cell::Cell::new(1)));
    is_send(&running);
    assert_eq!(running.await.unwrap().get(), 1);
}
