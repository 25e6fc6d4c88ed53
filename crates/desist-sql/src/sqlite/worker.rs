//! A thread and its connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::{io, thread};

use rusqlite::Connection;

use super::DATABASE;
use super::crew::Crew;
use super::lane::Lane;
use super::opening::{NotOpened, Plan};
use super::slot::Slot;
use super::ticket::{Job, Place, discard};
use crate::counted;

/// What a thread says once, in the beginning.
pub(super) type Opened = thread::Result<Result<(), NotOpened>>;

struct Worker {
    lane: Arc<Lane>,
    plan: Arc<Plan>,
    /// `None`: the last one was thrown away.
    conn: Option<Connection>,
}

/// Counted in the crew as long as it is there.
struct Member {
    crew: Arc<Crew>,
    is_writer: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.crew.leaves(self.is_writer);
    }
}

/// Begins a thread, which opens its connection and says how that went.
pub(super) fn spawn(
    number: usize,
    lane: &Arc<Lane>,
    plan: &Arc<Plan>,
    crew: &Arc<Crew>,
) -> io::Result<Arc<Slot<Opened>>> {
    let name = if lane.is_writer { "sqlite-writer".into() } else { format!("sqlite-{number}") };
    crew.joins(lane.is_writer);
    let member = Member { crew: Arc::clone(crew), is_writer: lane.is_writer };
    let mut worker = Worker { lane: Arc::clone(lane), plan: Arc::clone(plan), conn: None };
    let opened = Arc::new(Slot::new());
    let tell = Arc::clone(&opened);
    thread::Builder::new().name(name).spawn(move || {
        let member = member;
        let result = worker.open();
        let is_open = matches!(result, Ok(Ok(())));
        if is_open {
            worker.lane.joins();
        }
        tell.put(result);
        if is_open {
            worker.serve();
        }
        if member.is_writer {
            // The last one to close takes the write-ahead log along, which readers cannot.
            member.crew.wait_for_readers();
        }
        // Closed before the crew hears of it.
        drop(worker);
        drop(member);
    })?;
    Ok(opened)
}

impl Worker {
    fn open(&mut self) -> Opened {
        let is_writer = self.lane.is_writer;
        let opened = catch_unwind(AssertUnwindSafe(|| self.plan.open(is_writer)))?;
        Ok(opened.map(|conn| self.conn = Some(conn)))
    }

    fn serve(&mut self) {
        let lane = Arc::clone(&self.lane);
        while let Some((number, job)) = lane.take() {
            let plan = Arc::clone(&self.plan);
            let _counted = counted::in_use(DATABASE);
            let place = Place { lane: &lane, number, plan: &plan, _counted };
            let served = catch_unwind(AssertUnwindSafe(|| self.serve_one(place, &*job)));
            // What a closure holds, and what nobody waits for, are dropped here: foreign code.
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(job)));
            for result in [served, dropped] {
                if let Err(panic) = result {
                    discard(panic);
                }
            }
        }
    }

    fn serve_one(&mut self, place: Place<'_>, job: &dyn Job) {
        if self.conn.is_none() {
            let failed = match self.open() {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(Ok(why)),
                Err(panic) => Some(Err(panic)),
            };
            if let Some(why) = failed {
                drop(place);
                return job.fail(why);
            }
        }
        // Thrown away, unless it comes back.
        let Some(mut conn) = self.conn.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| job.run(&mut conn, place))) {
            Ok(true) => self.conn = Some(conn),
            Ok(false) => {}
            Err(panic) => {
                discard(panic);
                counted::discarded(DATABASE);
            }
        }
    }
}

/// What was found after a lease.
pub(super) struct Cleaned {
    /// A transaction was open.
    pub(super) was_open: bool,
    /// A statement was, for it was forgotten.
    pub(super) was_busy: bool,
    /// The next may have it.
    pub(super) is_fit: bool,
}

/// Rolls back what is open, and makes it ready for the next. No lease is on: nothing stops that.
pub(super) fn clean(conn: &mut Connection, plan: &Plan, is_writer: bool) -> Cleaned {
    let was_busy = conn.is_busy();
    let was_open = !conn.is_autocommit();
    if was_busy && !was_open {
        // A statement that was forgotten may hold a lock; this way it is taken from it.
        drop(conn.execute_batch("BEGIN"));
    }
    let is_open = !conn.is_autocommit();
    let is_closed = !is_open || (conn.execute_batch("ROLLBACK").is_ok() && conn.is_autocommit());
    let is_fit = is_closed && !was_busy && plan.renew(conn, is_writer);
    Cleaned { was_open, was_busy, is_fit }
}
