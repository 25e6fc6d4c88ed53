//! Copies to the server, which owe it an end from their beginning.
use std::pin::pin;
use std::time::Duration;

use crate::common::{PATIENCE, Postgres, in_time};
use crate::statements::pid_of;
use bytes::Bytes;
use desist::{Source, Token};
use desist_sql::postgres::{Conn, Pool};
use tokio_postgres::CopyInSink;

type PgError = tokio_postgres::Error;

async fn pool_with(server: &Postgres, table: &str) -> Pool {
    let creates = format!("CREATE TABLE {table} (n int)");
    server.client().await.batch_execute(&creates).await.unwrap();
    let builder = Pool::builder(server.address().parse().unwrap()).size(1);
    builder.settle_within(Duration::from_millis(500)).build().unwrap()
}

/// It has the answer to its own question.
async fn is_in_step(pool: &Pool, number: i32) {
    let never = Token::never();
    let asks = format!("SELECT {number}");
    let row = pool.run(&never, |conn| async move { conn.query_one(&asks, &[]).await });
    assert_eq!(in_time(row).await.unwrap().get::<_, i32>(0), number);
}

/// Also where nobody has stopped anything, and where somebody says how it ends.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_outlives_its_work_is_on_no_connection_of_the_pools() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_with(server, "kept_copies").await;
    let never = Token::never();
    for ends in [false, true] {
        let pid = pid_of(&pool).await;
        let begins = |conn: Conn| async move {
            let sink: CopyInSink<Bytes> = conn.copy_in("COPY kept_copies FROM STDIN").await?;
            Ok::<_, PgError>(Box::pin(sink))
        };
        let mut sink = in_time(pool.run(&never, begins)).await.unwrap();
        is_in_step(&pool, 1).await;
        assert_ne!(pid_of(&pool).await, pid, "it waits for what is copied");
        if ends {
            assert!(in_time(sink.as_mut().finish()).await.is_err());
        }
        drop(sink);
        is_in_step(&pool, 2).await;
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// One that its work abandons in its beginning ends by itself, and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_abandoned_leaves_its_connection_in_step() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_with(server, "left_copies").await;
    let pid = pid_of(&pool).await;
    let never = Token::never();
    for number in 0..100 {
        let begins = |conn: Conn| async move {
            let mut copy = pin!(conn.copy_in::<_, Bytes>("COPY left_copies FROM STDIN"));
            // So often it is polled, and then dropped.
            for _ in 0..number % 20 {
                let polled =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(copy.as_mut().poll(cx)));
                if polled.await.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            Ok::<_, PgError>(())
        };
        in_time(pool.run(&never, begins)).await.unwrap();
        is_in_step(&pool, number).await;
    }
    assert_eq!(pid_of(&pool).await, pid);
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// Also in the moment in which the server begins to take it.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_one_is_stopped_the_next_has_its_own_answer() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_with(server, "raced_copies").await;
    let mut stopped = 0;
    for number in 0..300 {
        let source = Source::new();
        let token = source.token();
        let copies = |conn: Conn| async move {
            let mut sink = pin!(conn.copy_in::<_, Bytes>("COPY raced_copies FROM STDIN").await?);
            sink.as_mut().finish().await
        };
        let mut work = pin!(pool.run(&token, copies));
        let mut polls = 0;
        let ended = std::future::poll_fn(|cx| {
            let polled = work.as_mut().poll(cx);
            // The statement is parsed, it begins, it ends.
            if polls == number % 5 {
                source.cancel();
                cx.waker().wake_by_ref();
            }
            polls += 1;
            polled
        });
        if let Err(error) = in_time(ended).await {
            assert!(error.cancelled().is_some(), "{error:?}");
            stopped += 1;
        }
        is_in_step(&pool, number).await;
    }
    assert!((60..300).contains(&stopped), "{stopped}");
    assert!(in_time(pool.close_within(PATIENCE)).await);
}
