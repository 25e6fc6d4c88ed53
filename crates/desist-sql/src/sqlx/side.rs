//! Connections beside the pool, over which backends are stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Error, Executor, PgConnection, PgPool, Row,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::pool::Shared;
use super::probe::Backend;

/// One that has answered within that time is alive.
const SURE: Duration = Duration::from_millis(100);

/// How long another one has to show that it is.
const ALIVE_WITHIN: Duration = Duration::from_millis(250);

/// How long the answer to a signal is awaited. Nothing takes that long but a connection that
/// has died, or a server that can do nothing else either.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// A few of them, each opened when it is needed for the first time, and kept; the first one
/// with the first work, if it is to be ready.
#[derive(Debug)]
pub(super) struct Sides {
    most: usize,
    /// Who signals has one.
    places: Semaphore,
    idle: Mutex<Idle>,
    /// The first one is to be opened.
    is_due: AtomicBool,
}

/// Those of which nobody makes use: since when, the last at the end.
#[derive(Debug, Default)]
struct Idle {
    conns: Vec<(PgConnection, Instant)>,
    is_closed: bool,
}

/// What a cancel met.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// A backend that works, or has no more to do.
    Backend,
    /// One that waits in the midst of its statement for something that nobody will send.
    Starving,
    /// It is gone.
    Nobody,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It was not asked, or refused to, or it was another server: there is no signal.
    NotDone,
    /// There may be a signal, now or later.
    Unknown,
}

impl Sides {
    pub(super) fn new(most: usize, is_ready: bool) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let (places, is_due) = (Semaphore::new(most), AtomicBool::new(is_ready));
        Self { most, places, idle: Mutex::default(), is_due }
    }

    /// Opens the first one, in the background: later there may be none to be had.
    pub(super) fn make_ready(shared: &Arc<Shared>) {
        // Ordering: alone; whoever finds it true opens one, and hands it over by the mutex.
        if !shared.sides.is_due.load(Ordering::Relaxed)
            || !shared.sides.is_due.swap(false, Ordering::Relaxed)
        {
            return;
        }
        let shared = Arc::clone(shared);
        let within = shared.pool.options().get_acquire_timeout();
        tokio::spawn(async move {
            let opened = async {
                let mut conn = open(&shared.pool).await?;
                // Only then a pooler has a backend for it, too.
                conn.ping().await?;
                shared.sides.keep(conn);
                Ok::<_, Error>(())
            };
            // If there is none, it is tried again when it is needed.
            let _ = timeout(within, opened).await;
        });
    }

    /// Cancels what the backend does. Its signal is sent when this has answered.
    pub(super) async fn cancel(&self, pool: &PgPool, of: Backend) -> Result<Met, NoAnswer> {
        self.signal(pool, "pg_cancel_backend", of).await
    }

    /// Ends it.
    pub(super) async fn terminate(&self, pool: &PgPool, of: Backend) -> Result<Met, NoAnswer> {
        self.signal(pool, "pg_terminate_backend", of).await
    }

    async fn signal(&self, pool: &PgPool, how: &str, of: Backend) -> Result<Met, NoAnswer> {
        // Of a backend that is idle it is the next command that it waits for.
        let is_ours = if of.for_transaction {
            "xact_start) * 1000000)::int8 ="
        } else {
            "backend_start) * 1000000)::int8 <="
        };
        // One row in any case. Where the address leads to another server it joins nothing, and
        // a signal for NULL is none.
        let sql = format!(
            "SELECT here, {how}(pid), \
             coalesce(state = 'active' AND wait_event = 'ClientRead', false) \
             FROM (SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8 = {} \
             AS here) AS server LEFT JOIN pg_stat_get_activity({}) \
             ON here AND (extract(epoch FROM {is_ours} {}",
            of.server, of.pid, of.at
        );
        let _place = self.places.acquire().await.map_err(|_| NoAnswer::NotDone)?;
        let mut conn = self.alive(pool).await?;
        // Dropped in between it is closed, and not used again.
        let rows = match timeout(ANSWERED_WITHIN, conn.fetch_all(AssertSqlSafe(sql))).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(Error::Database(_))) => return Err(NoAnswer::NotDone),
            Ok(Err(_)) | Err(_) => return Err(NoAnswer::Unknown),
        };
        let Some(row) = rows.first() else { return Err(NoAnswer::Unknown) };
        if !row.try_get(0).unwrap_or(false) {
            // It leads elsewhere: another one may lead here.
            return Err(NoAnswer::NotDone);
        }
        self.keep(conn);
        match (row.try_get(1), row.try_get(2)) {
            (Ok(true), Ok(true)) => Ok(Met::Starving),
            (Ok(true), _) => Ok(Met::Backend),
            _ => Ok(Met::Nobody),
        }
    }

    /// One that answers, so that no signal is sent to where it would be lost, or left to come
    /// later.
    async fn alive(&self, pool: &PgPool) -> Result<PgConnection, NoAnswer> {
        let idle = self.lock().conns.pop();
        if let Some((mut conn, since)) = idle {
            if since.elapsed() < SURE
                || matches!(timeout(ALIVE_WITHIN, conn.ping()).await, Ok(Ok(())))
            {
                return Ok(conn);
            }
            // What took this one has taken those that were idle for longer.
            let others = std::mem::take(&mut self.lock().conns);
            drop(others);
        }
        open(pool).await.map_err(|_| NoAnswer::NotDone)
    }

    fn keep(&self, conn: PgConnection) {
        let mut idle = self.lock();
        if !idle.is_closed && idle.conns.len() < self.most {
            idle.conns.push((conn, Instant::now()));
        }
    }

    pub(super) async fn close(&self) {
        let idle = {
            let mut idle = self.lock();
            idle.is_closed = true;
            std::mem::take(&mut idle.conns)
        };
        for (conn, _) in idle {
            let _ = conn.close().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open(pool: &PgPool) -> Result<PgConnection, Error> {
    (*pool.connect_options()).clone().disable_statement_logging().connect().await
}

#[cfg(all(test, unix))]
impl Sides {
    /// One that is not asked whether it is alive.
    pub(super) fn keep_as_sure(&self, conn: PgConnection) {
        self.lock().conns.push((conn, Instant::now() + Duration::from_secs(3_600)));
    }

    pub(super) fn idle(&self) -> usize {
        self.lock().conns.len()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::server_of_tests::sqlx::{pg_pool, server};
    use crate::sqlx::probe::probe;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_backend_that_began_later_is_another_one() {
        let Some(server) = server() else { return };
        let pool = pg_pool(server, "sides", 1);
        let sides = Sides::new(1, false);
        let mut conn = pool.acquire().await.unwrap();
        let found = probe(&mut conn).await.unwrap();
        let now = found.backend(false);
        // The same pid, of somebody who had it an hour ago.
        let before = Backend { at: now.at - 3_600_000_000, ..now };
        // Or in a transaction that has ended.
        let in_another = Backend { for_transaction: true, ..now };
        for other in [before, in_another] {
            assert_eq!(sides.cancel(&pool, other).await, Ok(Met::Nobody));
            assert_eq!(sides.terminate(&pool, other).await, Ok(Met::Nobody));
            assert_eq!(probe(&mut conn).await.unwrap().pid, now.pid);
        }
        assert_eq!(sides.idle(), 1);
        // On another server, to which the same address leads.
        let elsewhere = Backend { server: now.server - 1, ..now };
        assert_eq!(sides.cancel(&pool, elsewhere).await, Err(NoAnswer::NotDone));
        assert_eq!(sides.terminate(&pool, elsewhere).await, Err(NoAnswer::NotDone));
        assert_eq!(probe(&mut conn).await.unwrap().pid, now.pid);
        // That connection is of no use: the next may lead to the right one.
        assert_eq!(sides.idle(), 0);
        assert_eq!(sides.cancel(&pool, now).await, Ok(Met::Backend));
        conn.execute("BEGIN").await.unwrap();
        let in_this = probe(&mut conn).await.unwrap().backend(true);
        assert_eq!(sides.cancel(&pool, in_this).await, Ok(Met::Backend));
        assert_eq!(probe(&mut conn).await.unwrap().pid, now.pid);
        assert_eq!(sides.terminate(&pool, now).await, Ok(Met::Backend));
        assert!(probe(&mut conn).await.is_err());
        // One that is not there is no signal, and no answer.
        let nowhere = pool.connect_options().as_ref().clone().port(1).socket("/nowhere");
        let nowhere = ::sqlx::postgres::PgPoolOptions::new().connect_lazy_with(nowhere);
        assert_eq!(Sides::new(1, false).cancel(&nowhere, now).await, Err(NoAnswer::NotDone));
    }
}
