//! Work that waits for a connection, in the order in which it came (S5), and the work that
//! runs. There is one lane to the writer, and one to all readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::ticket::Job;
use super::{DATABASE, lock};
use crate::counted::{self, Counted};

pub(super) struct Lane {
    pub(super) is_writer: bool,
    /// How many may wait.
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    /// Those that have a number, and are not there yet.
    coming: usize,
    /// Those that have a connection, or can open another.
    threads: usize,
    /// By number: whoever leaves is found, and the first is the next.
    waiting: BTreeMap<u64, Waiter>,
    running: BTreeMap<u64, Arc<dyn Job>>,
    is_closed: bool,
}

/// Why there is no number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    Closed,
    Full,
}

/// What is counted goes with no lock held: that is foreign code.
type Waiter = (Arc<dyn Job>, Counted);

impl Lane {
    pub(super) fn new(is_writer: bool, room: usize) -> Self {
        Self { is_writer, room, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A number, which is the place in the queue.
    pub(super) fn number(&self) -> Result<u64, NoPlace> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(NoPlace::Closed);
        }
        // Whoever has a thread that is free does not wait, though it may take a moment.
        let free = state.threads - state.running.len();
        if state.waiting.len() + state.coming >= self.room.saturating_add(free) {
            return Err(NoPlace::Full);
        }
        state.coming += 1;
        state.next += 1;
        Ok(state.next)
    }

    /// Puts work in that place, unless the lane is closed. If it was stopped in the meantime
    /// it does not stay.
    pub(super) fn push(&self, number: u64, job: Arc<dyn Job>) {
        let lease = Arc::clone(job.lease());
        let waiter = (job, counted::waiting(DATABASE));
        {
            let mut state = lock(&self.state);
            state.coming -= 1;
            if state.is_closed {
                lease.refuse();
                return;
            }
            state.waiting.insert(number, waiter);
        }
        self.changed.notify_one();
        if !lease.is_waiting() {
            self.remove(number);
        }
    }

    /// Whoever is stopped leaves. What it leaves is dropped with no lock held.
    pub(super) fn remove(&self, number: u64) {
        let left = lock(&self.state).waiting.remove(&number);
        drop(left);
    }

    /// A thread is there, and takes what comes until it is closed.
    pub(super) fn joins(&self) {
        lock(&self.state).threads += 1;
    }

    /// The next, for a thread that waits for it. `None`: the lane is closed.
    pub(super) fn take(&self) -> Option<(u64, Arc<dyn Job>)> {
        let mut state = lock(&self.state);
        let (number, (job, counted)) = loop {
            if let Some(first) = state.waiting.pop_first() {
                break first;
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        state.running.insert(number, Arc::clone(&job));
        drop(state);
        drop(counted);
        Some((number, job))
    }

    /// The connection is free again.
    pub(super) fn done(&self, number: u64) {
        let job = lock(&self.state).running.remove(&number);
        drop(job);
    }

    /// Refuses what waits, and whatever comes; the threads end when they are done.
    pub(super) fn close(&self) {
        let refused = {
            let mut state = lock(&self.state);
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.changed.notify_all();
        for (job, _) in refused.values() {
            job.lease().refuse();
            job.wake();
        }
    }

    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    pub(super) fn in_use(&self) -> usize {
        lock(&self.state).running.len()
    }

    pub(super) fn running(&self) -> Vec<Arc<dyn Job>> {
        lock(&self.state).running.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::thread;

    use desist::Source;
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::lease::Lease;
    use crate::sqlite::opening::NotOpened;
    use crate::sqlite::ticket::Place;

    struct Idle(Arc<Lease>);

    impl Job for Idle {
        fn lease(&self) -> &Arc<Lease> {
            &self.0
        }

        fn run(&self, _: &mut Connection, _: Place<'_>) -> bool {
            unreachable!("nobody runs it")
        }

        fn fail(&self, _: thread::Result<NotOpened>) {}

        fn wake(&self) {}
    }

    fn idle() -> Arc<Idle> {
        Arc::new(Idle(Arc::new(Lease::new(Source::new(), Location::caller(), false))))
    }

    /// Between its number and its place in the queue.
    #[test]
    fn who_is_stopped_on_its_way_does_not_stay() {
        let lane = Lane::new(false, usize::MAX);
        let number = lane.number().unwrap();
        let job = idle();
        job.lease().source.cancel();
        job.lease().stop();
        lane.remove(number);
        lane.push(number, job);
        assert_eq!(lane.waiting(), 0);
        let number = lane.number().unwrap();
        lane.push(number, idle());
        assert_eq!(lane.waiting(), 1, "the next does");
    }

    #[test]
    fn who_is_on_its_way_takes_room() {
        let lane = Lane::new(false, 1);
        let number = lane.number().unwrap();
        assert_eq!(lane.number(), Err(NoPlace::Full));
        lane.push(number, idle());
        assert_eq!(lane.number(), Err(NoPlace::Full));
        lane.remove(number);
        assert!(lane.number().is_ok());
        lane.close();
        assert_eq!(lane.number(), Err(NoPlace::Closed));
    }
}
