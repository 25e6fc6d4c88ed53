//! The statement that proves in which state a connection is.

use std::sync::atomic::{AtomicU64, Ordering};

use ::sqlx::postgres::PgRow;
use ::sqlx::{AssertSqlSafe, Error, Executor, PgConnection, Row};

/// A backend, told from others that have the same pid at another time, or on another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backend {
    /// When its server was started, in microseconds: behind one address there may be several.
    pub(super) server: i64,
    pub(super) pid: i32,
    /// A moment on the server's clock, in microseconds, at which it was there.
    pub(super) at: i64,
    /// It is ours for no longer than the transaction that began then: behind a pooler it is
    /// somebody else's after it.
    pub(super) for_transaction: bool,
}

/// What a probe found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) server: i64,
    pub(super) pid: i32,
    /// When its transaction began, in microseconds.
    pub(super) began: i64,
    /// No transaction was open.
    pub(super) is_idle: bool,
    /// The server does not look whether its client is still there.
    pub(super) is_unwatched: bool,
    /// As the session has it.
    pub(super) statement_timeout: String,
}

impl Found {
    /// The backend in which it was.
    pub(super) fn backend(&self, for_transaction: bool) -> Backend {
        Backend { server: self.server, pid: self.pid, at: self.began, for_transaction }
    }
}

const OUT_OF_STEP: &str =
    "the connection answers to an earlier statement, as after an abandoned COPY";

/// Asks, in one round trip, and as a simple query: poolers let that pass, and of a prepared
/// statement each message has a time of its own.
pub(super) async fn probe(conn: &mut PgConnection) -> Result<Found, Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Ordering: it only counts; each is asked for once.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // In one transaction time goes on from statement to statement.
    let sql = format!(
        "SELECT pg_backend_pid(), (extract(epoch FROM now()) * 1000000)::int8, \
         now() = statement_timestamp(), \
         coalesce(current_setting('client_connection_check_interval', true) = '0', false), \
         {number}::int8, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, \
         current_setting('statement_timeout')"
    );
    let rows = conn.fetch_all(AssertSqlSafe(sql)).await?;
    read(&rows, number).ok_or_else(|| Error::Protocol(OUT_OF_STEP.into()))
}

/// `None`: it is the answer to something else.
fn read(rows: &[PgRow], number: u64) -> Option<Found> {
    let [row] = rows else { return None };
    (row.try_get::<i64, _>(4).ok()? == i64::try_from(number).ok()?).then_some(())?;
    Some(Found {
        pid: row.try_get(0).ok()?,
        began: row.try_get(1).ok()?,
        is_idle: row.try_get(2).ok()?,
        is_unwatched: row.try_get(3).ok()?,
        server: row.try_get(5).ok()?,
        statement_timeout: row.try_get(6).ok()?,
    })
}
