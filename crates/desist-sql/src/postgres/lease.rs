//! A connection in somebody's hands, and what becomes of it.
//!
//! A lease has its connection from the pool, and gives it into the hands of the work as a
//! handle, whose drop lays it back into the lease's slot. In the end it is one of these:
//!
//! - **clean**: nothing runs on it, nothing is on its way to it, and no transaction is open.
//!   It goes back to the pool at once.
//! - **owing**: something runs, or may, or a transaction is open. Then its owner, a task of
//!   its own, *settles* it ([`settle`](super::settle)): cancels, waits, rolls back; and gives
//!   it back only when it is clean.
//! - **gone**: the handle was kept by somebody, or it could not be settled in time. It is out
//!   of the pool for good, and its server's process is ended.
//!
//! Invariants: a connection is in the pool, or in one slot, or in one handle, or with one
//! owner. It comes back to the pool only from a lease or an owner that has found it clean,
//! after the last request to cancel has been passed on. A lease that is dropped, with
//! whatever future, is owing; no future of a caller is waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool::managed::Object;

use super::counts::{DATABASE, Out};
use super::handle::Held;
use super::manager::{End, Manager};
use super::settle::{self, Owed, Owes, Settling};
use crate::counted;

/// What the pool gives out, until it is dropped.
pub(super) type Taken = Object<Manager>;

/// Where a handle lays its connection when it is dropped.
#[derive(Default)]
pub(super) struct Slot(Mutex<Laid>);

/// The connection of a lease, as seen from its slot.
#[derive(Default)]
struct Laid {
    /// `None`: it is with a handle.
    taken: Option<Taken>,
    /// Nobody looks any more: what is laid here is not to be used.
    is_closed: bool,
    /// A savepoint that deep was dropped half-way, and is not undone.
    torn: Option<usize>,
}

impl Slot {
    fn place(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lay(&self, taken: Taken) {
        let mut place = self.place();
        if place.is_closed {
            drop(place);
            // Its connection is ended; it must not come back to the pool.
            drop(Object::take(taken));
            return;
        }
        place.taken = Some(taken);
    }

    /// `None`: somebody has it.
    pub(super) fn pick(&self) -> Option<Taken> {
        self.place().taken.take()
    }

    /// A savepoint that deep was dropped half-way.
    pub(super) fn tears(&self, depth: usize) {
        let mut place = self.place();
        place.torn = Some(place.torn.map_or(depth, |torn| torn.min(depth)));
    }

    /// One that deep was undone, and all that was within; one that was torn beside it was not.
    pub(super) fn mends(&self, depth: usize) {
        let mut place = self.place();
        place.torn = place.torn.filter(|torn| *torn <= depth);
    }

    pub(super) fn is_torn(&self) -> bool {
        self.place().torn.is_some()
    }

    /// What is there, and nothing more is laid here.
    fn close(&self) -> Option<Taken> {
        let mut place = self.place();
        place.is_closed = true;
        place.taken.take()
    }
}

/// Rounded up, so that the token is the first; and none is no limit for a server.
fn milliseconds(time: Duration) -> u128 {
    const MOST: u128 = i32::MAX as u128;
    time.as_nanos().div_ceil(1_000_000).clamp(1, MOST)
}

/// A connection in somebody's hands.
pub(super) struct Lease {
    slot: Arc<Slot>,
    /// `None`: it has ended.
    out: Option<Out>,
    end: Arc<End>,
    owes: Owes,
    /// The server was told of a deadline, which is not to be the next one's.
    is_told: bool,
}

impl Lease {
    /// With its connection in a first handle.
    pub(super) fn new(taken: Taken, out: Out) -> (Self, Held) {
        let end = Arc::clone(&taken.end);
        let slot = Arc::new(Slot::default());
        let held = Held::new(taken, &slot);
        (Self { slot, out: Some(out), end, owes: Owes::Work, is_told: false }, held)
    }

    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// What the server is to be told of that deadline: nothing, where it allows less itself.
    pub(super) fn says_of(&self, left: Duration) -> Option<String> {
        let is_less = self.end.statement_timeout.is_none_or(|limit| left < limit);
        is_less.then(|| format!("statement_timeout = {}", milliseconds(left)))
    }

    /// Whether it is certain whom it would be told; it lasts for longer than the lease then, and
    /// is undone at its end.
    pub(super) fn tells(&mut self) -> bool {
        self.is_told = self.end.served.is_some();
        self.is_told
    }

    /// What is on its way from here on is to come to its end: it is waited for, and not
    /// cancelled.
    pub(super) fn commits(&mut self) {
        self.owes = Owes::Commit;
    }

    /// The work has come to its end by itself.
    pub(super) fn ended(mut self) {
        let Some(mut out) = self.out.take() else { return };
        match self.slot.close() {
            Some(taken)
                if !self.forgets(&out) && taken.driven.has_sent() && taken.wire.is_idle() =>
            {
                out.gives_it_back();
                drop(taken);
            }
            Some(taken) => drop(self.owner(taken, Owes::Rest, out)),
            None => drop(self.is_kept(out)),
        }
    }

    /// The work has failed: what is open is undone, whoever waits for that.
    pub(super) async fn failed(self) {
        if let Some(undone) = self.undone() {
            undone.ends().await;
        }
    }

    /// The same, and what it gives back says when that is done.
    pub(super) fn undone(mut self) -> Option<Settling> {
        let out = self.out.take()?;
        Some(match self.slot.close() {
            Some(taken) => self.owner(taken, Owes::Work, out),
            None => self.is_kept(out),
        })
    }

    /// It was stopped; what it gives back says when its connection is settled.
    pub(super) fn stopped(mut self) -> Option<Settling> {
        self.is_left()
    }

    fn is_left(&mut self) -> Option<Settling> {
        let out = self.out.take()?;
        // A commit is not stopped by that.
        if self.owes != Owes::Commit {
            counted::cancelled(DATABASE);
        }
        Some(match self.slot.close() {
            Some(taken) => self.owner(taken, self.owes, out),
            None => self.is_kept(out),
        })
    }

    /// Something is to be undone at its end that it has not left running.
    fn forgets(&self, out: &Out) -> bool {
        self.is_told || out.shared().reset.is_some()
    }

    fn owner(&self, taken: Taken, owes: Owes, out: Out) -> Settling {
        let shared = Arc::clone(out.shared());
        // From here on it is out of the pool, also if its runtime ends before it is looked at.
        let owed = Owed::new(taken);
        let settles = settle::settle(owed, owes, self.is_told, out);
        Settling::new(self.end.runtime.spawn(settles), &shared)
    }

    /// Somebody has kept the handle: what they do with it is nobody else's.
    fn is_kept(&self, out: Out) -> Settling {
        counted::discarded(DATABASE);
        let (end, shared) = (Arc::clone(&self.end), Arc::clone(out.shared()));
        let ends = async move { settle::terminate(out.shared(), &end).await };
        Settling::new(self.end.runtime.spawn(ends), &shared)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.is_left());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_up_and_is_never_none() {
        for (time, said) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_micros(1001), 2),
            (Duration::from_secs(5), 5000),
            (Duration::MAX, 2_147_483_647),
        ] {
            assert_eq!(milliseconds(time), said, "{time:?}");
        }
    }
}
