//! How long it takes until a stopped statement is over on the server.

use std::time::{Duration, Instant};

use desist::{Source, Token};
use desist_sql::postgres::Conn;
use tokio_postgres::Client;

use crate::server::Postgres;
use crate::{plain_pool, pool};

/// From a stop to a server that is idle, and to the answer of the next statement.
/// Whether it is at least not far from its aim.
pub(crate) async fn measure(server: &Postgres, stops: usize) -> bool {
    let admin = server.client().await;
    let pool = pool(server);
    let mut is_soon = true;
    for (kind, statement) in [
        ("sleep", "SELECT pg_sleep(2) /*stopping*/"),
        ("loop", "DO $$ BEGIN LOOP NULL; END LOOP; END $$ /*stopping*/"),
        (
            "query",
            "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t /*stopping*/",
        ),
        (
            "join, as it is compiled",
            "SELECT count(*) FROM generate_series(1, 30000) a, generate_series(1, 30000) b /*stopping*/",
        ),
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
        is_soon &= median(&mut next) < 200.0;
        println!(
            "{kind}, stopped: confirmed as idle after {}; the next statement answered after {}; aims <= 10 and <= 20",
            percentiles(&mut idle),
            percentiles(&mut next)
        );
    }
    // What a plain pool does, which knows of nothing.
    let plain = plain_pool(server);
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
    is_soon
}

async fn runs(admin: &Client) {
    let counts = "SELECT count(*) FROM pg_stat_activity \
                  WHERE query LIKE '%/*stopping*/%' AND state = 'active' AND pid <> pg_backend_pid()";
    while admin.query_one(counts, &[]).await.expect("a row").get::<_, i64>(0) == 0 {}
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

fn percentiles(all: &mut [f64]) -> String {
    all.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| all[((all.len() - 1) as f64 * part).round() as usize];
    format!("{:.1} ms (99th percentile {:.1})", at(0.5), at(0.99))
}
