//! What SQLite asks while a lease is on (S1).
//!
//! The busy handler and the trace are plain functions, so all of them ask the thread. That
//! is always the right one: a connection is used by the thread that owns it, and another
//! that a closure took it to has no lease.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, InterruptHandle};

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
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    static BUSY: Cell<Busy> = const { Cell::new(Busy { timeout: Duration::ZERO, since: None }) };
}

struct Current {
    lease: Arc<Lease>,
    interrupt: InterruptHandle,
    /// It may commit when the pool says so.
    is_whole: bool,
}

#[derive(Clone, Copy)]
struct Busy {
    timeout: Duration,
    since: Option<Instant>,
}

/// A lease that is on; it ends with this.
pub(super) struct On(());

/// Begins a lease on the connection of this thread. `None`: it is not to begin.
pub(super) fn begin(
    conn: &Connection,
    lease: &Arc<Lease>,
    timeout: Duration,
) -> rusqlite::Result<Option<On>> {
    install(conn, timeout)?;
    if !lease.begin(conn.get_interrupt_handle()) {
        return Ok(None);
    }
    let interrupt = conn.get_interrupt_handle();
    set(Some(Current { lease: Arc::clone(lease), interrupt, is_whole: false }));
    Ok(Some(On(())))
}

/// The handlers, for whichever lease is on; without one they only wait for locks.
pub(super) fn install(conn: &Connection, timeout: Duration) -> rusqlite::Result<()> {
    BUSY.set(Busy { timeout, since: None });
    conn.progress_handler(STEPS, Some(|| current(|on| on.lease.token.is_cancelled())))?;
    conn.commit_hook(Some(|| current(|on| on.is_whole || !on.lease.may_commit())))?;
    conn.busy_handler(Some(waits_for_lock))?;
    conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(statement_begins));
    Ok(())
}

/// From here on, whether the lease that is on may commit by itself.
pub(super) fn keep_whole(is_whole: bool) {
    CURRENT.with_borrow_mut(|now| {
        if let Some(on) = now {
            on.is_whole = is_whole;
        }
    });
}

impl Drop for On {
    fn drop(&mut self) {
        if let Some(on) = set(None) {
            on.lease.end();
        }
    }
}

fn set(new: Option<Current>) -> Option<Current> {
    CURRENT.with_borrow_mut(|now| std::mem::replace(now, new))
}

/// `false` where no lease is on.
fn current(ask: impl FnOnce(&Current) -> bool) -> bool {
    CURRENT.with_borrow(|now| now.as_ref().is_some_and(ask))
}

/// SQLite has checked for an interrupt already, but does so again before the first row and
/// before anything is written.
fn statement_begins(_: TraceEvent<'_>) {
    current(|on| {
        if !on.lease.may_begin() {
            // Of this lease, for it is on; so it cannot come late.
            on.interrupt.interrupt();
        }
        true
    });
}

/// Whether SQLite should try again for a lock that somebody else has.
fn waits_for_lock(tries: i32) -> bool {
    let Busy { timeout, since } = BUSY.get();
    let since = since.filter(|_| tries > 0).unwrap_or_else(Instant::now);
    BUSY.set(Busy { timeout, since: Some(since) });
    let left = timeout.saturating_sub(since.elapsed());
    if left.is_zero() {
        return false;
    }
    let pause = usize::try_from(tries).ok().and_then(|tries| TRIES.get(tries));
    let pause = left.min(*pause.unwrap_or(&TRIES[TRIES.len() - 1]));
    let lease = CURRENT.with_borrow(|now| now.as_ref().map(|on| Arc::clone(&on.lease)));
    match lease {
        Some(lease) => !lease.is_stopped_within(pause),
        None => {
            std::thread::sleep(pause);
            true
        }
    }
}
