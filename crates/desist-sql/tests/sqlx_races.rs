//! A cancel that comes too late hits nobody else's statement.
#![cfg(all(unix, feature = "sqlx"))]

mod common;

use std::time::{Duration, Instant};

use common::sqlx::{options, pool, server};
use common::{PATIENCE, Server};
use desist::Source;
use sqlx::{ConnectOptions, Connection, PgConnection};

/// How many run at a time, each with a pool of one connection.
const LANES: usize = 8;

const RACES: usize = 10_000;

/// For how long the statements sleep that are to be hit or to be done, in milliseconds: so
/// often what an innocent one takes, and at most.
const TAKES: (f64, f64) = (2.5, 10.0);

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
    while begin.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

async fn innocent(pool: &sqlx::PgPool) -> sqlx::Result<i32> {
    // Without a token, and for long enough that a late signal would find it.
    sqlx::query_scalar("SELECT pg_backend_pid() FROM pg_sleep(0.0005)").fetch_one(pool).await
}

async fn lane(server: &'static Server, lane: usize) -> Sums {
    let pool = pool(server, "races", 1);
    let pid = innocent(pool.get_ref()).await.unwrap();
    let mut sums = Sums::default();
    let (mut window, mut trip) = (6.0, 1.2);
    for n in 0..RACES / LANES {
        let source = Source::new();
        let takes = f64::min(trip * TAKES.0, TAKES.1);
        let after = Duration::from_secs_f64(spread(n * LANES + lane) * window / 1000.0);
        let (begins, has_begun) = tokio::sync::oneshot::channel();
        let cancels = async {
            has_begun.await.unwrap();
            spin(after).await;
            source.cancel();
        };
        let run = pool.run(&source.token(), async |mut conn| {
            begins.send(()).unwrap();
            let statement = sqlx::query("SELECT pg_sleep($1)").bind(takes / 1000.0);
            statement.execute(&mut *conn).await
        });
        match tokio::join!(run, cancels).0 {
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
        assert_eq!(innocent(pool.get_ref()).await.unwrap(), pid, "after {after:?}");
        trip += (begin.elapsed().as_secs_f64() * 1000.0 - trip) / 16.0;
    }
    assert!(pool.close_within(PATIENCE).await);
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_races_none_hits_an_innocent_statement() {
    let Some(server) = server() else { return };
    // It logs the statements that have failed.
    let hits = || server.log().matches("STATEMENT:  SELECT pg_sleep($1)").count();
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
    // On an idle machine a third; and a third in which it was too late, or needless.
    assert!(hit >= RACES / 50 && sums.stopped - hit >= RACES / 50, "{sums:?}, {hit}");
}

/// What would become of them without all this: the positive control.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_whose_answer_is_not_awaited_hits_innocent_statements() {
    let Some(server) = server() else { return };
    let options = options(server, "control").disable_statement_logging();
    let mut conn: PgConnection = options.connect().await.unwrap();
    let mut side: PgConnection = options.connect().await.unwrap();
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut conn).await.unwrap();
    let (mut hit, begin) = (0, Instant::now());
    for n in 0.. {
        if hit == 10 || begin.elapsed() > PATIENCE {
            break;
        }
        let after = Duration::from_micros((spread(n) * 2000.0) as u64);
        tokio::select! {
            _ = sqlx::query("SELECT pg_sleep(0.001)").execute(&mut conn) => {}
            () = spin(after) => {}
        }
        let cancels = tokio::spawn(async move {
            let cancel = sqlx::query("SELECT pg_cancel_backend($1)").bind(pid);
            cancel.execute(&mut side).await.unwrap();
            side
        });
        // The end of what was abandoned, an error or not.
        while conn.ping().await.is_err() {}
        let innocent = sqlx::query("SELECT pg_sleep(0.005)").execute(&mut conn).await;
        hit += usize::from(innocent.is_err());
        side = cancels.await.unwrap();
        conn.ping().await.unwrap();
    }
    assert!(hit > 0);
}
