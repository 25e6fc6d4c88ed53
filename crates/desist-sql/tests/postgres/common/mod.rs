//! A server, and what tests ask of it.
#![allow(dead_code, unused_imports)] // Not every binary uses all of it.

use std::time::Duration;

use desist::{Source, Token};
use desist_sql::postgres::Pool;

mod cable;
mod server;

pub(crate) use self::cable::{Cable, Later};
pub(crate) use self::server::{Postgres, tcp_at};
pub(crate) use crate::databases::{Bouncer, LOCKED, PATIENCE};

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// How many of the statements that have that in them run.
pub(crate) async fn running(client: &tokio_postgres::Client, mark: &str) -> i64 {
    let like = format!("%{mark}%");
    let counts = "SELECT count(*) FROM pg_stat_activity \
                  WHERE query LIKE $1 AND state NOT LIKE 'idle%' AND pid <> pg_backend_pid()";
    client.query_one(counts, &[&like]).await.unwrap().get(0)
}

/// Until one does: the server tells nobody.
pub(crate) async fn runs(client: &tokio_postgres::Client, mark: &str) {
    in_time(async {
        while running(client, mark).await == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A statement that ends by itself while the request to cancel it is on its way, and after it one
/// that would be found by that.
pub(crate) async fn a_late_cancel_hits_nobody_else(pool: &Pool, ends: &str) {
    let token = Source::with_timeout(Duration::from_millis(20)).token();
    let work = pool.run(&token, |conn| async move { conn.batch_execute(ends).await });
    assert!(in_time(work).await.unwrap_err().cancelled().is_some());
    let never = Token::never();
    let next =
        pool.run(&never, |conn| async move { conn.batch_execute("SELECT pg_sleep(0.2)").await });
    in_time(next).await.expect("it is nobody's to cancel");
}
