//! Cancels that race with the ends of statements hit nobody else.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Postgres, in_time};
use desist::{Source, Token};
use desist_sql::postgres::Pool;

const RACES: usize = 10_000;

/// Somewhere about the time that a statement takes, so that each of both wins sometimes.
struct Aim {
    time: Duration,
}

impl Aim {
    /// The next race: whoever won this time has it harder.
    fn after(&mut self, has_completed: bool) {
        let by = self.time / 32 + Duration::from_nanos(100);
        self.time = if has_completed { self.time.saturating_sub(by) } else { self.time + by };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_innocent_statement_is_hit_in_ten_thousand_races() {
    let Some(server) = Postgres::shared().await else { return };
    let pool = Pool::builder(server.address().parse().unwrap()).size(1).build().unwrap();
    let never = Token::never();
    let (mut completed, mut cancelled) = (0, 0);
    let mut aim = Aim { time: Duration::from_micros(200) };
    for race in 0..RACES {
        let source = Source::new();
        let token = source.token();
        let statement = format!("SELECT count(*), {race} FROM generate_series(1, 200)");
        let work = pool.run(&token, |conn| async move { conn.query_one(&statement, &[]).await });
        let mut work = std::pin::pin!(work);
        let begin = Instant::now();
        let raced = loop {
            // The timers of a runtime are too coarse for that.
            let polled = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(match work.as_mut().poll(cx) {
                    std::task::Poll::Ready(raced) => Some(raced),
                    std::task::Poll::Pending => None,
                })
            });
            if let Some(raced) = polled.await {
                break raced;
            }
            if begin.elapsed() >= aim.time {
                source.cancel();
                break in_time(work).await;
            }
            tokio::task::yield_now().await;
        };
        let has_completed = match &raced {
            Ok(_) => true,
            Err(error) => {
                assert!(error.cancelled().is_some(), "{error:?}");
                false
            }
        };
        if has_completed {
            completed += 1
        } else {
            cancelled += 1
        }
        aim.after(has_completed);
        let next = pool.run(&never, |conn| async move { conn.query_one("SELECT 7", &[]).await });
        let next = in_time(next).await.unwrap_or_else(|error| panic!("hit in {race}: {error:?}"));
        assert_eq!(next.get::<_, i32>(0), 7);
    }
    assert!(completed >= RACES / 5 && cancelled >= RACES / 5, "{completed} and {cancelled}");
    assert!(in_time(pool.close_within(PATIENCE)).await);
}

/// The control: what the driver does of itself does hit some.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_not_confirmed_hits_innocent_statements() {
    let Some(server) = Postgres::shared().await else { return };
    let client = server.client().await;
    let hit = AtomicUsize::new(0);
    for _ in 0..3000 {
        let cancel = client.cancel_token();
        client.batch_execute("SELECT 1").await.unwrap();
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
        if client.batch_execute("SELECT count(*) FROM generate_series(1, 20000)").await.is_err() {
            // Ordering: it only counts.
            hit.fetch_add(1, Ordering::Relaxed);
        }
        if hit.load(Ordering::Relaxed) >= 5 {
            return;
        }
    }
    panic!("it hits nobody, and so the test beside it says nothing");
}
