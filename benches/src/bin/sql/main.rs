//! The sql rows: `desist_sql` beside the bare driver and a plain pool, on a server of its
//! own.
//!
//!   sql            all of it
//!   sql --quick    fewer rounds: shows that it works
#![allow(clippy::print_stdout, clippy::print_stderr)]

/// That of the tests.
#[path = "../../../../crates/desist-sql/tests/postgres/common/server.rs"]
#[allow(dead_code)]
mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use desist::{Source, Token};
use desist_sql::postgres::{Conn, Pool};
use tokio_postgres::{Client, NoTls};

use self::server::Postgres;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (rounds, statements, stops) = match args[..] {
        [] => (41, 2_000, 400),
        ["--quick"] => (5, 200, 20),
        _ => {
            eprintln!("usage: sql [--quick]");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let Some(server) = Postgres::start().await else { return ExitCode::FAILURE };
        overhead(&server, rounds, statements).await;
        stopping(&server, stops).await;
        ExitCode::SUCCESS
    })
}

/// One statement after the other, in turn by the bare driver and through the pool, with a
/// token that has a deadline.
async fn overhead(server: &Postgres, rounds: usize, statements: usize) {
    let bare = server.client().await;
    let prepared = bare.prepare("SELECT 1").await.expect("it is SQL");
    let pool = Pool::builder(server.address().parse().expect("an address")).size(1);
    let pool = pool.build().expect("a pool");
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let begin = Instant::now();
        for _ in 0..statements {
            bare.query_one(&prepared, &[]).await.expect("a row");
        }
        let by_driver = begin.elapsed();
        let begin = Instant::now();
        for _ in 0..statements {
            let token = Source::with_timeout(Duration::from_secs(30)).token();
            let work = |conn: Conn| async move {
                let prepared = conn.prepare_cached("SELECT 1").await?;
                conn.query_one(&prepared, &[]).await
            };
            pool.run(&token, work).await.expect("a row");
        }
        let ours = begin.elapsed();
        // The first one warms up.
        if round > 0 {
            ratios.push(ours.as_secs_f64() / by_driver.as_secs_f64());
        }
    }
    let (low, median, high) = spread(&mut ratios);
    println!(
        "SELECT 1 with a deadline, of the bare driver's time: {median:.3} ({low:.3} to {high:.3}); aim <= 1.05"
    );
}

/// From a stop to a server that is idle, and to the answer of the next statement.
async fn stopping(server: &Postgres, stops: usize) {
    let admin = server.client().await;
    let pool = Pool::builder(server.address().parse().expect("an address")).size(1);
    let pool = pool.build().expect("a pool");
    for (kind, statement) in [
        ("sleep", "SELECT pg_sleep(2) /*stopping*/"),
        ("cpu", "SELECT count(*) FROM generate_series(1, 100000000) /*stopping*/"),
    ] {
        let (mut idle, mut next) = (Vec::new(), Vec::new());
        for _ in 0..stops {
            let source = Source::new();
            let (token, of_work) = (source.token(), pool.clone());
            let work = tokio::spawn(async move {
                of_work.run(&token, |conn| async move { conn.batch_execute(statement).await }).await
            });
            runs(&admin).await;
            let begin = Instant::now();
            source.cancel();
            assert!(work.await.expect("it does not panic").is_err());
            idle.push(begin.elapsed().as_secs_f64() * 1e3);
            let never = Token::never();
            let one = |conn: Conn| async move { conn.batch_execute("SELECT 1").await };
            pool.run(&never, one).await.expect("it is clean");
            next.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        println!(
            "{kind}, stopped: confirmed as idle after {}; the next statement answered after {}; aims <= 10 and <= 20",
            percentiles(&mut idle),
            percentiles(&mut next)
        );
    }
    // What a plain pool does, which knows of nothing.
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager =
        Manager::from_config(server.address().parse().expect("an address"), NoTls, config);
    let plain = deadpool_postgres::Pool::builder(manager).max_size(1).build().expect("a pool");
    let mut next = Vec::new();
    for _ in 0..(stops / 100).max(1) {
        let client = plain.get().await.expect("a connection");
        let work = client.batch_execute("SELECT pg_sleep(2) /*stopping*/");
        let _ = tokio::time::timeout(Duration::from_millis(50), work).await;
        let begin = Instant::now();
        drop(client);
        let client = plain.get().await.expect("a connection");
        client.batch_execute("SELECT 1").await.expect("it answers");
        next.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "a sleep of 2 s, dropped, in a plain pool of deadpool's: the next statement answered after {}",
        percentiles(&mut next)
    );
}

async fn runs(admin: &Client) {
    let counts = "SELECT count(*) FROM pg_stat_activity \
                  WHERE query LIKE '%/*stopping*/%' AND state = 'active' AND pid <> pg_backend_pid()";
    while admin.query_one(counts, &[]).await.expect("a row").get::<_, i64>(0) == 0 {}
}

fn spread(all: &mut [f64]) -> (f64, f64, f64) {
    all.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| all[((all.len() - 1) as f64 * part).round() as usize];
    (at(0.1), at(0.5), at(0.9))
}

fn percentiles(all: &mut [f64]) -> String {
    all.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| all[((all.len() - 1) as f64 * part).round() as usize];
    format!("{:.1} ms (99th percentile {:.1})", at(0.5), at(0.99))
}
