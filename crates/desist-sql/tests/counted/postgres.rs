use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::common::Server;
use crate::recorder::sums;
use desist::{Source, Token};
use desist_sql::postgres::{Conn, Pool};

type PgError = tokio_postgres::Error;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_waits_is_stopped_and_thrown_away_is_counted() {
    let Some(server) = Server::start(&[]) else { return };
    let sums = &sums("postgres");
    let folder = server.folder().display();
    let address = format!("host={folder} port={} user=postgres", server.port());
    let pool = Pool::builder(address.parse().unwrap()).size(1).build().unwrap();
    let never = Token::never();
    let sleeps = |conn: Conn| async move { conn.batch_execute("SELECT pg_sleep(600)").await };

    let of_work = &pool;
    let never = &never;
    let work = pool.run(never, |conn| async move {
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 0.0));
        let source = Source::new();
        let token = source.token();
        let mut waits = pin!(of_work.run(&token, sleeps));
        let polled = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        assert_eq!((sums.of("in_use"), sums.of("waiting")), (1.0, 1.0));
        source.cancel();
        assert!(waits.await.unwrap_err().cancelled().is_some());
        assert_eq!(sums.of("waiting"), 0.0);
        assert!(of_work.run(&token, sleeps).await.unwrap_err().cancelled().is_some());
        let mut waits = Box::pin(of_work.run(never, sleeps));
        let polled = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        drop(waits);
        assert_eq!(sums.of("waiting"), 0.0);
        conn.batch_execute("SELECT 1").await
    });
    work.await.unwrap();
    // One that waited; one that asked too late; and one that was dropped as it waited.
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (3.0, 0.0));

    let source = Source::new();
    let token = source.token();
    let mut stopped = pin!(pool.run(&token, sleeps));
    let polled = poll_fn(|cx| Poll::Ready(stopped.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    source.cancel();
    assert!(stopped.await.unwrap_err().cancelled().is_some());
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (4.0, 0.0));
    assert_eq!(sums.of("in_use"), 0.0);

    // What fails is no stop, nor is what is undone for it.
    let refused = pool.transaction(never, |tx| async move {
        let twice = "CREATE TABLE once (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
                     INSERT INTO once VALUES (1), (1)";
        tx.batch_execute(twice).await
    });
    assert!(refused.await.unwrap_err().is_not_committed());
    let fails = pool.transaction(never, |tx| async move { tx.batch_execute("SELECT 1/0").await });
    assert!(fails.await.unwrap_err().failure().is_some());
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (4.0, 0.0));

    // Whoever waits for one has it as soon as it is back.
    let again = async || {
        for _ in 0..300 {
            pool.run(never, |_| async { Ok::<_, PgError>(()) }).await.unwrap();
            let stopped = Source::new();
            let work = |_| async {
                stopped.cancel();
                std::future::pending::<Result<(), PgError>>().await
            };
            pool.run(&stopped.token(), work).await.unwrap_err();
        }
    };
    tokio::join!(again(), again());
    assert_eq!(sums.most_of("in_use"), 1.0, "there is but one");

    let kept = pool.run(never, |conn| async move { Ok::<_, PgError>(conn) }).await.unwrap();
    assert_eq!(sums.of("discarded_total"), 1.0);
    assert_eq!(sums.of("in_use"), 1.0, "its place is taken until it is given back");
    drop(kept);
    assert!(pool.close_within(crate::common::PATIENCE).await);
    assert_eq!((sums.of("in_use"), sums.of("waiting")), (0.0, 0.0));
    assert_eq!((sums.of("cancelled_total"), sums.of("discarded_total")), (604.0, 1.0));
}
