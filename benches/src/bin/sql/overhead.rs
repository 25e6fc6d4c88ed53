//! What a statement costs that can be stopped, beside one that cannot.
//!
//! This side runs on one CPU in a runtime of one thread, and the processes of the server on the
//! other, or on the same: where the system lays them otherwise decides more than anything that
//! is measured here, by a factor of two.

use std::fmt;
use std::time::{Duration, Instant};

use desist::{Source, Token};
use desist_benches::{pin, pin_process};
use desist_sql::postgres::Conn;
use tokio::runtime::Builder;
use tokio_postgres::Client;

use crate::server::Postgres;
use crate::{plain_pool, pool};

/// In a turn.
const STATEMENTS: usize = 200;

/// Whether it is at least not far from its aim.
pub(crate) fn measure(server: &Postgres, rounds: usize, times: usize) -> bool {
    [("another CPU", 1), ("the same CPU", 0)].into_iter().all(|(place, cpu)| {
        std::thread::scope(|threads| {
            let measures = threads.spawn(|| {
                pin(0);
                let runtime = Builder::new_current_thread().enable_all().build();
                let turns = take_turns(server, cpu, rounds, times);
                let [of_driver, of_pool, time] = runtime.expect("a runtime").block_on(turns);
                println!(
                    "SELECT 1 with a deadline, the server on {place}: {of_driver} of the bare \
                     driver's {:.1} us (aim <= 1.05), {of_pool} of a plain pool's",
                    time.median
                );
                of_driver.median < 1.5
            });
            measures.join().expect("it does not panic")
        })
    })
}

/// One statement after the other, in turns by the bare driver, through a plain pool, and
/// through ours with a token that has a deadline. All of them have it prepared.
async fn take_turns(server: &Postgres, cpu: usize, rounds: usize, times: usize) -> [Interval; 3] {
    let bare = server.client().await;
    let prepared = prepared(&bare, cpu).await;
    let plain = plain_pool(server);
    let prepared_in_plain = self::prepared(&plain.get().await.expect("one"), cpu).await;
    let ours = pool(server);
    let prepares = |conn: Conn| async move { Ok::<_, ()>(self::prepared(&conn, cpu).await) };
    let prepared_in_ours = &ours.run(&Token::never(), prepares).await.expect("a connection");
    let (mut of_driver, mut of_pool, mut time) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let begin = Instant::now();
        for _ in 0..STATEMENTS {
            bare.query_one(&prepared, &[]).await.expect("a row");
        }
        let by_driver = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        for _ in 0..STATEMENTS {
            let client = plain.get().await.expect("a connection");
            client.query_one(&prepared_in_plain, &[]).await.expect("a row");
        }
        let by_pool = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        for _ in 0..STATEMENTS * times {
            let token = Source::with_timeout(Duration::from_secs(30)).token();
            let one = |conn: Conn| async move { conn.query_one(prepared_in_ours, &[]).await };
            ours.run(&token, one).await.expect("a row");
        }
        let by_ours = begin.elapsed().as_secs_f64();
        // The first one warms up.
        if round > 0 {
            of_driver.push(by_ours / by_driver);
            of_pool.push(by_ours / by_pool);
            time.push(by_driver / STATEMENTS as f64 * 1e6);
        }
    }
    [of_driver, of_pool, time].map(Interval::of)
}

/// With who serves it on that CPU.
async fn prepared(client: &Client, cpu: usize) -> tokio_postgres::Statement {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row");
    pin_process(row.get(0), cpu);
    client.prepare("SELECT 1").await.expect("it is SQL")
}

/// The median, and where it is with a certainty of 95 %: by the ranks around the middle that
/// the binomial distribution allows.
struct Interval {
    low: f64,
    median: f64,
    high: f64,
}

impl Interval {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_unstable_by(f64::total_cmp);
        let middle = (all.len() - 1) as f64 / 2.0;
        let away = 0.98 * (all.len() as f64).sqrt();
        let at = |rank: f64| all[(rank.round().max(0.0) as usize).min(all.len() - 1)];
        Self { low: at(middle - away), median: at(middle), high: at(middle + away) }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.low, self.high)
    }
}
