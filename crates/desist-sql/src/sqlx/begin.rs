//! The beginning of a lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::sqlx::pool::PoolConnection;
use ::sqlx::{AssertSqlSafe, Error, Executor, PgConnection, Postgres};
use desist::Token;
use tokio::time::timeout;

use super::DATABASE;
use super::depth;
use super::lease::{Lease, Owned};
use super::pool::Shared;
use super::probe::{Found, probe};
use super::settle::{self, Left};
use super::side::Sides;
use crate::counted;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Transaction,
}

/// A connection in the midst of that. Dropped there it is seen to by its owner.
struct Beginning(Option<Box<Owned>>);

impl Beginning {
    fn conn_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it begins").conn_mut()
    }

    fn began(mut self, found: Found, kind: Kind, trip: Duration) -> Lease {
        let mut owned = self.0.take().expect("it begins");
        owned.trip = trip;
        owned.backend = Some(found.backend(kind == Kind::Transaction));
        Lease::new(*owned)
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        if let Some(owned) = self.0.take() {
            let runtime = owned.runtime();
            runtime.spawn(settle::finish(owned, Left::Midway, || ()));
        }
    }
}

/// A connection of the pool in which nothing goes on but what was asked for.
pub(super) async fn begin(shared: Arc<Shared>, kind: Kind, token: Token) -> Result<Lease, Error> {
    let _waiting = counted::waiting(DATABASE);
    let within = shared.pool.options().get_acquire_timeout();
    let attempts = async {
        // All that are idle may have died.
        let mut left = shared.pool.options().get_max_connections();
        loop {
            let conn = shared.pool.acquire().await?;
            match attempt(&shared, conn, kind, &token).await {
                Ok(lease) => {
                    Sides::make_ready(&shared);
                    return Ok(lease);
                }
                Err(error) if left == 0 => return Err(error),
                Err(_) => left -= 1,
            }
        }
    };
    timeout(within, attempts).await.unwrap_or(Err(Error::PoolTimedOut))
}

async fn attempt(
    shared: &Arc<Shared>,
    conn: PoolConnection<Postgres>,
    kind: Kind,
    token: &Token,
) -> Result<Lease, Error> {
    let owned = Box::new(Owned::new(conn, Arc::clone(shared)));
    let mut beginning = Beginning(Some(owned));
    let begin = Instant::now();
    let begun = match kind {
        Kind::Plain => plain(shared, beginning.conn_mut()).await,
        Kind::Transaction => transaction(shared, beginning.conn_mut(), token.remaining()).await,
    };
    match begun {
        Ok(found) => Ok(beginning.began(found, kind, begin.elapsed())),
        Err(error) => {
            // Nobody knows what it is up to: closed.
            beginning.0 = None;
            Err(error)
        }
    }
}

async fn plain(shared: &Shared, conn: &mut PgConnection) -> Result<Found, Error> {
    let found = probe(conn).await?;
    if !found.is_idle {
        return Err(Error::Protocol("a transaction was left open on the connection".into()));
    }
    if let Some(watch) = shared.watch().filter(|_| found.is_unwatched) {
        let sql = format!(
            "SELECT set_config('client_connection_check_interval', '{}', false), \
             set_config('tcp_keepalives_idle', '30', false), \
             set_config('tcp_keepalives_interval', '10', false), \
             set_config('tcp_keepalives_count', '3', false)",
            milliseconds(watch)
        );
        match conn.execute(AssertSqlSafe(sql)).await {
            Ok(_) => {}
            Err(Error::Database(_)) => shared.refuses_watch(),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn transaction(
    shared: &Shared,
    conn: &mut PgConnection,
    left: Option<Duration>,
) -> Result<Found, Error> {
    loop {
        let watch = shared.watch();
        let sql = AssertSqlSafe(begin_sql(left, watch));
        match depth::begin(conn, sql).await {
            // The server cannot do it. Its transaction was begun, and has failed.
            Err(Error::Database(error))
                if watch.is_some() && error.code().as_deref() == Some("22023") =>
            {
                shared.refuses_watch();
                conn.execute("ROLLBACK").await?;
            }
            done => break done?,
        }
    }
    probe(conn).await
}

/// All of it is sent at once. It fails where a transaction was open.
fn begin_sql(left: Option<Duration>, watch: Option<Duration>) -> String {
    let mut sql = String::from("BEGIN; SELECT 1 / (now() = statement_timestamp())::int");
    if let Some(left) = left.map(milliseconds) {
        // What the session allows, if that is less.
        sql += &format!(
            "; SELECT set_config('statement_timeout', '{left}', true) \
             WHERE current_setting('statement_timeout')::interval \
             NOT BETWEEN interval '1 ms' AND interval '{left} ms'"
        );
    }
    if let Some(watch) = watch.map(milliseconds) {
        sql += &format!(
            "; SELECT set_config('client_connection_check_interval', '{watch}', true) \
             WHERE current_setting('client_connection_check_interval', true) = '0'"
        );
    }
    sql
}

/// As Postgres has them, rounded up: what is not zero must not become it.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i32::MAX).max(1)
}
