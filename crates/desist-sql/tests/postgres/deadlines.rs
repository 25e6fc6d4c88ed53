//! Servers that know how long there is.
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Postgres, in_time};
use desist::{Clock, Reason, Source, TimeSource, Token};
use desist_sql::postgres::{Conn, Pool, Tx};
use tokio_postgres::error::SqlState;

type PgError = tokio_postgres::Error;

const ASKS: &str = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'";

fn pool_of(server: &Postgres, size: usize) -> Pool {
    Pool::builder(server.address().parse().unwrap()).size(size).build().unwrap()
}

/// It goes along with `BEGIN`, so that the server stops even if nobody tells it.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_knows_of_the_deadline() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    let says = |tx: Tx| async move { Ok::<i32, PgError>(tx.query_one(ASKS, &[]).await?.get(0)) };
    let minute = Source::with_timeout(Duration::from_secs(60)).token();
    let told = in_time(pool.transaction(&minute, says)).await.unwrap();
    assert!((50_000..=60_000).contains(&told), "{told}");
    assert_eq!(in_time(pool.transaction(&Token::never(), says)).await.unwrap(), 0);
    // What the session allows is not made more.
    let config = format!("{} options='-c statement_timeout=7s'", server.address());
    let pool = Pool::builder(config.parse().unwrap()).size(1).build().unwrap();
    assert_eq!(in_time(pool.transaction(&minute, says)).await.unwrap(), 7_000);
    let second = Source::with_timeout(Duration::from_secs(1)).token();
    assert!(in_time(pool.transaction(&second, says)).await.unwrap() <= 1_000);
}

/// The server is told of it, and nobody else: what it says of that is the deadline's.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sees_the_deadline_first_says_what_the_token_says() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    for _ in 0..20 {
        let source = Source::with_timeout(Duration::from_millis(30));
        let sleeps = |tx: Tx| async move {
            // A little less than it was told.
            tx.batch_execute("SET LOCAL statement_timeout = 29").await?;
            tx.batch_execute("SELECT pg_sleep(600)").await
        };
        let error = in_time(pool.transaction(&source.token(), sleeps)).await.unwrap_err();
        let is_deadline = error.cancelled().is_some_and(|why| why.reason() == Reason::Deadline);
        let is_the_servers =
            error.failure().is_some_and(|error| error.code() == Some(&SqlState::QUERY_CANCELED));
        assert!(is_deadline || is_the_servers, "{error:?}");
    }
}

/// Where that is wanted; and whoever comes next is not told of it.
#[tokio::test(flavor = "multi_thread")]
async fn outside_of_a_transaction_it_is_told_on_request_and_forgets_it() {
    let Some(server) = Postgres::shared() else { return };
    let says =
        |conn: Conn| async move { Ok::<i32, PgError>(conn.query_one(ASKS, &[]).await?.get(0)) };
    let second = || Source::with_timeout(Duration::from_secs(1)).token();
    assert_eq!(in_time(pool_of(server, 1).run(&second(), says)).await.unwrap(), 0);
    // As the session has it, by whatever it was set up.
    let by_option = format!("{} options='-c statement_timeout=7s'", server.address());
    let by_option = Pool::builder(by_option.parse().unwrap());
    let by_setup = Pool::builder(server.address().parse().unwrap());
    for builder in [by_option, by_setup.setup("SET statement_timeout = '7s'")] {
        let pool = builder.size(1).statement_timeout(true).build().unwrap();
        let minute = Source::with_timeout(Duration::from_secs(60)).token();
        for _ in 0..20 {
            assert!((1..=1_000).contains(&in_time(pool.run(&second(), says)).await.unwrap()));
            assert_eq!(in_time(pool.run(&Token::never(), says)).await.unwrap(), 7_000);
            assert_eq!(in_time(pool.run(&minute, says)).await.unwrap(), 7_000);
            // Nor by a failure, or a stop, or a stream.
            let fails = |conn: Conn| async move { conn.batch_execute("SELECT 1/0").await };
            let error = in_time(pool.run(&second(), fails)).await.unwrap_err();
            assert_eq!(error.failure().unwrap().code(), Some(&SqlState::DIVISION_BY_ZERO));
            assert_eq!(in_time(pool.run(&Token::never(), says)).await.unwrap(), 7_000);
            let soon = Source::with_timeout(Duration::from_millis(5)).token();
            let sleeps =
                |conn: Conn| async move { conn.batch_execute("SELECT pg_sleep(600)").await };
            let error = in_time(pool.run(&soon, sleeps)).await.unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
            assert_eq!(in_time(pool.run(&Token::never(), says)).await.unwrap(), 7_000);
            let nothing: [&str; 0] = [];
            let begins = |conn: Conn| async move { conn.query_raw(ASKS, nothing).await };
            let mut rows = in_time(pool.stream(&second(), begins)).await.unwrap();
            let row = in_time(tokio_stream::StreamExt::next(&mut rows)).await.unwrap().unwrap();
            assert!((1..=1_000).contains(&row.get::<_, i32>(0)));
            drop(rows);
            assert_eq!(in_time(pool.run(&Token::never(), says)).await.unwrap(), 7_000);
        }
        assert!(in_time(pool.close_within(PATIENCE)).await);
    }
}

/// A time that is moved by hand, and told to nobody.
struct ByHand(Mutex<Instant>);

impl TimeSource for ByHand {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn arm(&self, _: Option<Instant>) {}
}

/// What fails between the end of a time and the word of that is that word, and no other end.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_as_the_time_is_over_waits_for_its_word() {
    let Some(server) = Postgres::shared() else { return };
    let pool = pool_of(server, 1);
    for streams in [false, true] {
        let time = Arc::new(ByHand(Mutex::new(Instant::now())));
        let clock = Clock::new(Arc::clone(&time));
        let source = Source::with_clock(clock.clone());
        source.cancel_after(Duration::from_secs(1));
        let token = source.token();
        let passes = || *time.0.lock().unwrap() += Duration::from_secs(2);
        let error = if streams {
            let nothing: [&str; 0] = [];
            let asks = "SELECT 1 / n FROM generate_series(0, 0) n";
            let begins = |conn: Conn| async move { conn.query_raw(asks, nothing).await };
            let mut rows = in_time(pool.stream(&token, begins)).await.unwrap();
            passes();
            // However often it is asked.
            let mut next = async || {
                let next = tokio_stream::StreamExt::next(&mut rows);
                tokio::time::timeout(Duration::from_millis(100), next).await
            };
            for _ in 0..3 {
                assert!(next().await.is_err());
            }
            clock.fire_due();
            next().await.unwrap().expect("it must not look like an end").map(drop).unwrap_err()
        } else {
            let mut work = pin!(pool.run(&token, |conn: Conn| async move {
                passes();
                conn.batch_execute("SELECT 1 / 0").await
            }));
            let early = tokio::time::timeout(Duration::from_millis(100), work.as_mut()).await;
            assert!(early.is_err());
            clock.fire_due();
            in_time(work).await.unwrap_err()
        };
        let why = error.cancelled().expect("it was stopped");
        assert_eq!(why.reason(), Reason::Deadline);
    }
}
