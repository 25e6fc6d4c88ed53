//! Cancels that race with the ends of statements hit nobody else.
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Postgres, in_time};
use desist::{Source, Token};
use desist_sql::Error;
use desist_sql::postgres::Pool;

/// How many run at a time, each with a pool of one connection.
const LANES: usize = 8;

const RACES: usize = 10_000;

/// What the server is asked to cancel, or has done.
const RACED: &str = "SELECT pg_sleep($1)";

/// What came of them.
#[derive(Debug, Default)]
struct Sums {
    done: usize,
    stopped: usize,
}

/// Somewhere between nought and one, another one each time.
fn spread(n: usize) -> f64 {
    // The golden ratio fills the interval evenly.
    (n as f64 * 0.618_033_988_749_895).fract()
}

async fn spin(time: Duration) {
    let begin = Instant::now();
    // The timers of a runtime are too coarse for that.
    while begin.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

/// Without a token, and for long enough that a late signal would find it.
async fn innocent(pool: &Pool) -> Result<i32, Error<tokio_postgres::Error>> {
    let never = Token::never();
    let work = pool.run(&never, |conn| async move {
        conn.query_one("SELECT pg_backend_pid() FROM pg_sleep(0.0005)", &[]).await
    });
    Ok(in_time(work).await?.get(0))
}

async fn lane(server: &'static Postgres, lane: usize) -> Sums {
    let pool = Pool::builder(server.address().parse().unwrap()).size(1).build().unwrap();
    let pid = innocent(&pool).await.unwrap();
    let mut sums = Sums::default();
    // Milliseconds: how late a stop comes at most, and how long a statement and its answer take,
    // on this machine and at this moment.
    let (mut window, mut trip) = (6.0, 1.2);
    for n in 0..RACES / LANES {
        let source = Source::new();
        let token = source.token();
        // A server that runs is asked to cancel after a millisecond, and hears of it after
        // another one or two: by then it is to be done as often as not.
        let takes = f64::min(trip * 2.5, 10.0) / 1000.0;
        let after = Duration::from_secs_f64(spread(n * LANES + lane) * window / 1000.0);
        let work = pool.run(&token, |conn| async move {
            let raced = conn.prepare_cached(RACED).await?;
            conn.execute(&raced, &[&takes]).await
        });
        let stops = async {
            spin(after).await;
            source.cancel();
        };
        match in_time(async { tokio::join!(work, stops).0 }).await {
            // So that a third of them is done, however fast the machine is today.
            Ok(_) => {
                window *= 0.98;
                sums.done += 1;
            }
            Err(error) => {
                assert!(error.cancelled().is_some(), "{error:?}");
                window = f64::min(window * 1.01, 1000.0);
                sums.stopped += 1;
            }
        }
        let begin = Instant::now();
        // Not hit, and on the very same connection.
        assert_eq!(innocent(&pool).await.unwrap(), pid, "after {after:?}");
        trip += (begin.elapsed().as_secs_f64() * 1000.0 - trip) / 16.0;
    }
    assert!(in_time(pool.close_within(PATIENCE)).await);
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn no_innocent_statement_is_hit_in_ten_thousand_races() {
    let Some(server) = Postgres::shared() else { return };
    // It logs the statements that have failed.
    let hits = || server.log().matches(&format!("STATEMENT:  {RACED}")).count();
    let before = hits();
    let lanes: Vec<_> = (0..LANES).map(|n| tokio::spawn(lane(server, n))).collect();
    let mut sums = Sums::default();
    for lane in lanes {
        let of_lane = lane.await.unwrap();
        sums.done += of_lane.done;
        sums.stopped += of_lane.stopped;
    }
    assert_eq!(sums.done + sums.stopped, RACES);
    // Those in which the signal met its statement, as the server says.
    let hit = hits() - before;
    assert!(sums.done >= RACES / 5 && sums.stopped >= RACES / 5, "{sums:?}");
    // And those in which it was too late, or needless. On an idle machine a fifth is hit, and
    // twice as many are not.
    assert!(hit >= RACES / 50 && sums.stopped - hit >= RACES / 20, "{sums:?}, {hit}");
}

/// The control: what the driver does of itself does hit some.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_is_not_confirmed_hits_innocent_statements() {
    let Some(server) = Postgres::shared() else { return };
    let client = server.client().await;
    let mut hit = 0;
    for _ in 0..3000 {
        let cancel = client.cancel_token();
        // That of the time before may come as late as that.
        hit += usize::from(client.batch_execute("SELECT 1").await.is_err());
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
        let innocent = "SELECT count(*) FROM generate_series(1, 20000)";
        hit += usize::from(client.batch_execute(innocent).await.is_err());
        if hit >= 5 {
            return;
        }
    }
    panic!("it hits nobody, and so the test beside it says nothing");
}
