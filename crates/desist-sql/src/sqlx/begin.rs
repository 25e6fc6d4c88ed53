//! The beginning of a lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::sqlx::pool::PoolConnection;
use ::sqlx::{AssertSqlSafe, Error, Executor, Postgres, SqlStr};
use desist::Token;
use tokio::time::timeout;

use super::DATABASE;
use super::depth;
use super::lease::{Lease, Owned};
use super::pool::Shared;
use super::probe::{Found, probe};
use super::refused::{NoLease, code_of, is_fatal};
use super::settle::{self, Left};
use super::side::Sides;
use crate::counted;

/// What a lease is for.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Plain,
    /// With the statement that begins it.
    Transaction(SqlStr),
}

impl Kind {
    pub(super) fn is_transaction(&self) -> bool {
        matches!(self, Self::Transaction(_))
    }
}

/// How a transaction begins, if nothing is said.
pub(super) const BEGIN: &str = "BEGIN";

/// A server is told of no less, for what undoes that has to come to its end within it.
const LEAST: Duration = Duration::from_millis(10);

/// A connection in the midst of that. Dropped there it is seen to by its owner.
struct Beginning(Option<Box<Owned>>);

impl Beginning {
    fn owned_mut(&mut self) -> &mut Owned {
        self.0.as_mut().expect("it begins")
    }

    fn began(mut self, found: Found, kind: &Kind, trip: Duration) -> Lease {
        let mut owned = self.0.take().expect("it begins");
        owned.trip = trip;
        owned.backend = Some(found.backend(kind.is_transaction()));
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
pub(super) async fn begin(shared: Arc<Shared>, kind: Kind, token: Token) -> Result<Lease, NoLease> {
    if !kind.is_transaction() && shared.is_pooled() {
        return Err(NoLease::Pooled);
    }
    let _waiting = counted::waiting(DATABASE);
    let within = shared.pool.options().get_acquire_timeout();
    // Whether it is the server that is waited for.
    let mut asks = false;
    let attempts = async {
        // All that are idle may have died.
        let mut left = shared.pool.options().get_max_connections();
        loop {
            asks = false;
            let conn = shared.pool.acquire().await?;
            asks = true;
            match attempt(&shared, conn, &kind, &token).await {
                Ok(lease) => {
                    Sides::make_ready(&shared);
                    return Ok(lease);
                }
                Err(error @ NoLease::NotBegun(_)) => return Err(error),
                Err(error) if left == 0 => return Err(error),
                Err(_) => left -= 1,
            }
        }
    };
    match timeout(within, attempts).await {
        Ok(came) => came,
        Err(_) if asks => Err(NoLease::Silent),
        Err(_) => Err(Error::PoolTimedOut.into()),
    }
}

async fn attempt(
    shared: &Arc<Shared>,
    conn: PoolConnection<Postgres>,
    kind: &Kind,
    token: &Token,
) -> Result<Lease, NoLease> {
    let owned = Box::new(Owned::new(conn, Arc::clone(shared)));
    let mut beginning = Beginning(Some(owned));
    let begin = Instant::now();
    let begun = match kind {
        Kind::Plain => plain(shared, beginning.owned_mut(), token.remaining()).await,
        Kind::Transaction(sql) => {
            transaction(shared, beginning.owned_mut(), sql, token.remaining()).await
        }
    };
    match begun {
        Ok(found) => Ok(beginning.began(found, kind, begin.elapsed())),
        // It is as good as before when its owner has rolled back.
        Err(error @ NoLease::NotBegun(_)) => Err(error),
        Err(error) => {
            // Nobody knows what it is up to: closed.
            beginning.0 = None;
            Err(error)
        }
    }
}

async fn plain(
    shared: &Shared,
    owned: &mut Owned,
    left: Option<Duration>,
) -> Result<Found, NoLease> {
    let found = probe(owned.conn_mut()).await?;
    if !found.is_idle {
        return Err(NoLease::LeftOpen);
    }
    if let Some(watch) = shared.watch().filter(|_| found.is_unwatched) {
        let sql = format!("SELECT {}", watch_sql(watch, false));
        match owned.conn_mut().execute(AssertSqlSafe(sql)).await {
            Err(error) if is_fatal(&error) => return Err(error.into()),
            // An older server does not know it, and another system cannot.
            Err(error)
                if matches!(code_of(&error).as_deref(), Some("22023" | "42704" | "0A000")) =>
            {
                shared.refuses_watch();
            }
            Ok(_) | Err(_) => {}
        }
    }
    let left = left.filter(|_| shared.settings.limits_statements);
    if let Some(left) = left.map(|left| milliseconds(left.max(LEAST))) {
        // Known before it is asked for: this may be dropped in between.
        owned.sets_back = Some(format!(
            "SELECT set_config('statement_timeout', '{}', false) \
             WHERE current_setting('statement_timeout')::interval = interval '{left} ms'",
            found.statement_timeout
        ));
        owned.conn_mut().execute(AssertSqlSafe(limit_sql(left, false))).await?;
    }
    Ok(found)
}

async fn transaction(
    shared: &Shared,
    owned: &mut Owned,
    begin: &SqlStr,
    left: Option<Duration>,
) -> Result<Found, NoLease> {
    if begin.as_str() != BEGIN && !shared.is_pooled() {
        // It may wait, as for a snapshot, or for a lock, and is to be stopped then.
        let found = probe(owned.conn_mut()).await?;
        if !found.is_idle {
            return Err(NoLease::LeftOpen);
        }
        owned.backend = Some(found.backend(false));
    }
    let conn = owned.conn_mut();
    loop {
        let watch = shared.watch();
        let sql = AssertSqlSafe(begin_sql(begin.as_str(), left, watch));
        let Err(error) = depth::begin(conn, sql).await else { break };
        match code_of(&error).as_deref() {
            // The server cannot do it. Its transaction was begun, and has failed.
            Some("22023") if watch.is_some() => {
                shared.refuses_watch();
                conn.execute("ROLLBACK").await?;
            }
            Some("22012") => return Err(NoLease::LeftOpen),
            _ if matches!(error, Error::BeginFailed) || !is_fatal(&error) => {
                return Err(NoLease::NotBegun(error));
            }
            _ => return Err(error.into()),
        }
    }
    Ok(probe(conn).await?)
}

/// All of it is sent at once. It divides by zero where a transaction was open.
fn begin_sql(begin: &str, left: Option<Duration>, watch: Option<Duration>) -> String {
    let mut sql = format!("{begin}; SELECT 1 / (now() = statement_timestamp())::int");
    if let Some(left) = left.map(milliseconds) {
        sql += &format!("; {}", limit_sql(left, true));
    }
    if let Some(watch) = watch {
        sql += &format!(
            "; SELECT {} WHERE current_setting('client_connection_check_interval', true) = '0'",
            watch_sql(watch, true)
        );
    }
    sql
}

/// That its statements have no more than so many milliseconds; what the session allows, if that
/// is less.
fn limit_sql(left: i32, is_local: bool) -> String {
    format!(
        "SELECT set_config('statement_timeout', '{left}', {is_local}) \
         WHERE current_setting('statement_timeout')::interval \
         NOT BETWEEN interval '1 ms' AND interval '{left} ms'"
    )
}

/// That the server looks whether its client is there: while it works for it, and, by the
/// system's means, while it does not.
fn watch_sql(every: Duration, is_local: bool) -> String {
    format!(
        "set_config('client_connection_check_interval', '{}', {is_local}), \
         set_config('tcp_keepalives_idle', '30', {is_local}), \
         set_config('tcp_keepalives_interval', '10', {is_local}), \
         set_config('tcp_keepalives_count', '3', {is_local})",
        milliseconds(every)
    )
}

/// As Postgres has them, rounded up: what is not zero must not become it.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(i32::MAX).max(1)
}
