//! What SQLite asks while a lease is on (S1).
//!
//! The busy handler and the trace are plain functions, so they ask the thread; the others ask
//! the connection. Where a connection is used by the thread that owns it, that is the same. A
//! closure may take it to another for as long as it runs: there nothing commits after the stop
//! either, but a lock is not waited for, and statements that begin are not seen.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::current::{self, Lent};
use super::lease::Lease;

/// Steps of SQLite's machine between two looks: measured, 1,000 cost nothing that can be
/// told from noise, 100 cost 3 %.
const STEPS: i32 = 1000;

/// Between two tries for a lock. Nobody says when it is free.
const TRIES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
];

thread_local! {
    static BUSY: Cell<Busy> = const { Cell::new(Busy { timeout: Duration::ZERO, since: None }) };
}

#[derive(Clone, Copy)]
struct Busy {
    timeout: Duration,
    since: Option<Instant>,
}

/// A lease that is on; it ends with this.
pub(super) struct On(Arc<Lent>);

/// Begins a lease on the connection of this thread. `None`: it is not to begin.
pub(super) fn begin(
    conn: &Connection,
    lease: &Arc<Lease>,
    timeout: Duration,
) -> rusqlite::Result<Option<On>> {
    let lent = Lent::here();
    install(conn, timeout)?;
    if !lease.begin(conn.get_interrupt_handle()) {
        return Ok(None);
    }
    lent.lend(Some(Arc::clone(lease)));
    Ok(Some(On(lent)))
}

/// The handlers, for whichever lease is on; without one they only wait for locks.
pub(super) fn install(conn: &Connection, timeout: Duration) -> rusqlite::Result<()> {
    BUSY.set(Busy { timeout, since: None });
    let lent = Lent::here();
    let (progress, commit, rollback) = (Arc::clone(&lent), Arc::clone(&lent), lent);
    let is_stopped = move || progress.lease().is_some_and(|lease| lease.token.is_cancelled());
    conn.progress_handler(STEPS, Some(is_stopped))?;
    conn.commit_hook(Some(move || commit.lease().is_some_and(|lease| !lease.may_commit())))?;
    conn.rollback_hook(Some(move || {
        if let Some(lease) = rollback.lease() {
            lease.rolled_back();
        }
    }))?;
    conn.busy_handler(Some(waits_for_lock))?;
    conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(statement_begins));
    Ok(())
}

impl Drop for On {
    fn drop(&mut self) {
        if let Some(lease) = self.0.lend(None) {
            lease.end();
        }
    }
}

/// SQLite has checked for an interrupt already, but does so again before the first row and
/// before anything is written.
fn statement_begins(_: TraceEvent<'_>) {
    if let Some(lease) = current::lease() {
        lease.statement_begins();
    }
}

/// Whether SQLite should try again for a lock that somebody else has.
fn waits_for_lock(tries: i32) -> bool {
    let Busy { timeout, since } = BUSY.get();
    let since = since.filter(|_| tries > 0).unwrap_or_else(Instant::now);
    BUSY.set(Busy { timeout, since: Some(since) });
    let lease = current::lease();
    let left = timeout.saturating_sub(since.elapsed());
    if left.is_zero() {
        if let Some(lease) = lease {
            lease.finds_no_lock();
        }
        return false;
    }
    let pause = usize::try_from(tries).ok().and_then(|tries| TRIES.get(tries));
    let pause = left.min(*pause.unwrap_or(&TRIES[TRIES.len() - 1]));
    match lease {
        Some(lease) => !lease.is_stopped_within(pause),
        None => {
            std::thread::sleep(pause);
            true
        }
    }
}
