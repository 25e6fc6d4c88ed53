//! What a statement costs that can be stopped, beside one that cannot.
//!
//! This side runs on one CPU in a runtime of one thread, and the processes of the server on the
//! other, or on the same: where the system lays them otherwise decides more than anything that
//! is measured here, by a factor of two.

use std::time::{Duration, Instant};

use desist::{Source, Token};
use desist_benches::{pin, pin_process};
use desist_sql::postgres::Conn;
use tokio::runtime::Builder;
use tokio_postgres::Client;

use crate::server::Postgres;
use crate::{plain_pool, pool};

pub(crate) fn measure(server: &Postgres, rounds: usize, statements: usize) {
    for (place, cpu) in [("another CPU", 1), ("the same CPU", 0)] {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                pin(0);
                let runtime = Builder::new_current_thread().enable_all().build();
                let turns = take_turns(server, cpu, rounds, statements);
                let (of_driver, of_pool, time) = runtime.expect("a runtime").block_on(turns);
                println!(
                    "SELECT 1 with a deadline, the server on {place}: {of_driver} of the bare \
                     driver's {time:.1} us (aim <= 1.05), {of_pool} of a plain pool's"
                );
            });
        });
    }
}

/// One statement after the other, in turns by the bare driver, through a plain pool, and
/// through ours with a token that has a deadline. All of them have it prepared.
async fn take_turns(
    server: &Postgres,
    cpu: usize,
    rounds: usize,
    statements: usize,
) -> (String, String, f64) {
    let bare = server.client().await;
    let prepared = prepared(&bare, cpu).await;
    let plain = plain_pool(server);
    let prepared_in_plain = self::prepared(&plain.get().await.expect("one"), cpu).await;
    let ours = pool(server);
    let prepares = |conn: Conn| async move { Ok::<_, ()>(self::prepared(&conn, cpu).await) };
    let prepared_in_ours = &ours.run(&Token::never(), prepares).await.expect("a connection");
    let (mut of_driver, mut of_pool, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let begin = Instant::now();
        for _ in 0..statements {
            bare.query_one(&prepared, &[]).await.expect("a row");
        }
        let by_driver = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        for _ in 0..statements {
            let client = plain.get().await.expect("a connection");
            client.query_one(&prepared_in_plain, &[]).await.expect("a row");
        }
        let by_pool = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        for _ in 0..statements {
            let token = Source::with_timeout(Duration::from_secs(30)).token();
            let one = |conn: Conn| async move { conn.query_one(prepared_in_ours, &[]).await };
            ours.run(&token, one).await.expect("a row");
        }
        let by_ours = begin.elapsed().as_secs_f64();
        // The first one warms up.
        if round > 0 {
            of_driver.push(by_ours / by_driver);
            of_pool.push(by_ours / by_pool);
            times.push(by_driver / statements as f64 * 1e6);
        }
    }
    let (_, time, _) = interval(times);
    let [of_driver, of_pool] = [of_driver, of_pool].map(|ratios| {
        let (low, median, high) = interval(ratios);
        format!("{median:.3} ({low:.3} to {high:.3})")
    });
    (of_driver, of_pool, time)
}

/// With who serves it on that CPU.
async fn prepared(client: &Client, cpu: usize) -> tokio_postgres::Statement {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row");
    pin_process(row.get(0), cpu);
    client.prepare("SELECT 1").await.expect("it is SQL")
}

/// The median, and where it is with a certainty of 95 %: by the ranks around the middle that
/// the binomial distribution allows.
fn interval(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_unstable_by(f64::total_cmp);
    let middle = (all.len() - 1) as f64 / 2.0;
    let away = 0.98 * (all.len() as f64).sqrt();
    let at = |rank: f64| all[(rank.round().max(0.0) as usize).min(all.len() - 1)];
    (at(middle - away), at(middle), at(middle + away))
}
