//! A server, and what tests ask of it.
#![allow(dead_code, unused_imports)] // Not every binary uses all of it.

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
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
}
