//! A call as its thread sees it: what is to be done, and the way back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use rusqlite::Connection;

use super::lane::Lane;
use super::lease::Lease;
use super::opening::{NotOpened, Plan};
use super::slot::Slot;
use super::worker::{Cleaned, clean};
use super::{DATABASE, handlers, lock};
use crate::Error;
use crate::counted::{self, Counted};

pub(super) type Work<T, E> = Box<dyn FnOnce(&mut Connection) -> Result<T, Error<E>> + Send>;

/// What a call comes to: its result, or its panic.
pub(super) type Answer<T, E> = thread::Result<Result<T, Error<E>>>;

const LEFT_OPEN: &str = "its closure left a transaction or a statement open, which \
                         was rolled back; commit it, or use `transaction`";
const LOST: &str = "its last commit came to nothing, and its closure did not say so; the error is \
                    lost where rows are dropped before their end, so read them all";

pub(super) struct Ticket<T, E> {
    lease: Arc<Lease>,
    work: Mutex<Option<Work<T, E>>>,
    pub(super) answer: Slot<Answer<T, E>>,
}

/// Where it is done: with this the connection is given back.
pub(super) struct Place<'a> {
    pub(super) lane: &'a Lane,
    pub(super) number: u64,
    pub(super) plan: &'a Plan,
    pub(super) _counted: Counted,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.done(self.number);
    }
}

/// Of a ticket, whatever it results in.
pub(super) trait Job: Send + Sync {
    fn lease(&self) -> &Arc<Lease>;

    /// Does it, cleans the connection, gives it back, and then answers, in this order
    /// (S3). Whether the connection can be used again.
    fn run(&self, conn: &mut Connection, place: Place<'_>) -> bool;

    /// There is no connection to do it with: why, or the panic instead of one.
    fn fail(&self, why: thread::Result<NotOpened>);

    /// Whoever waits for the answer looks at the lease again.
    fn wake(&self);
}

impl<T, E> Ticket<T, E> {
    pub(super) fn new(lease: Lease, work: Work<T, E>) -> Self {
        Self { lease: Arc::new(lease), work: Mutex::new(Some(work)), answer: Slot::new() }
    }

    /// It is done once, or dropped. It is foreign code: with no lock held.
    fn take_work(&self) -> Option<Work<T, E>> {
        lock(&self.work).take()
    }

    /// A waker that panics costs nothing but itself.
    fn tell(&self, answer: Answer<T, E>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.answer.put(answer))) {
            discard(panic);
        }
    }

    /// What the caller is told (S4, S7).
    fn judge(&self, result: Answer<T, E>, cleaned: &Cleaned) -> Answer<T, E> {
        // What was forgotten may write. If the last statement has committed, it does not.
        let is_busy = cleaned.was_busy && !self.lease.has_committed();
        let left_open = self.lease.is_writer && (cleaned.was_open || is_busy);
        let untrue = left_open.then_some(LEFT_OPEN);
        let untrue = untrue.or_else(|| self.lease.has_lost().then_some(LOST));
        let result = match (result?, untrue) {
            (Ok(value), Some(why)) => {
                catch_unwind(AssertUnwindSafe(|| drop(value)))?;
                Err(Error::not_committed(why))
            }
            (result, _) => result,
        };
        Ok(match (result, self.lease.token.cancellation()) {
            (Err(error), Some(cancelled)) => {
                self.lease.count();
                // Its own error is a consequence; dropping that is foreign code, too.
                catch_unwind(AssertUnwindSafe(|| drop(error)))?;
                Err(cancelled.into())
            }
            (result, _) => result,
        })
    }
}

impl<T: Send, E: Send> Job for Ticket<T, E> {
    fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn run(&self, conn: &mut Connection, place: Place<'_>) -> bool {
        let Some(work) = self.take_work() else { return true };
        let on = match handlers::begin(conn, &self.lease, place.plan.busy_timeout) {
            Ok(Some(on)) => on,
            begun => {
                drop(place);
                if let Err(error) = begun {
                    counted::discarded(DATABASE);
                    let doing = "the handlers that stop it cannot be installed";
                    self.fail(Ok(NotOpened { doing, error: error.into() }));
                    return false;
                }
                // It was stopped when it came to it, and has said so itself.
                self.wake();
                return true;
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| work(conn)));
        drop(on);
        let cleaned = clean(conn, place.plan, place.lane.is_writer);
        if !cleaned.is_fit {
            counted::discarded(DATABASE);
        }
        let answer = self.judge(result, &cleaned);
        drop(place);
        self.tell(answer);
        cleaned.is_fit
    }

    fn fail(&self, why: thread::Result<NotOpened>) {
        let answer = why.map(|NotOpened { doing, error }| Err(Error::no_connection(doing, error)));
        self.tell(answer);
    }

    fn wake(&self) {
        self.answer.wake();
    }
}

/// Drops a panic, whose own drop may panic in turn.
pub(super) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
