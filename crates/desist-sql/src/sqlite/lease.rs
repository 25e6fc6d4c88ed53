//! The right to a connection, from the wish for it to its end (S2, S4, S6, S7).
//!
//! | phase | next | by |
//! |---|---|---|
//! | `Waiting` | `Running` | its thread, unless the stop has come |
//! | `Waiting` | `Withdrawn` | the stop |
//! | `Waiting` | `Refused` | the pool that is closed |
//! | `Running` | `Over` | its thread, once the closure has ended |
//!
//! The token says whether it was stopped; the phase, under the lock, what there is to be
//! done about it. The token is marked before anybody is told, and the commit hook asks it
//! under the lock: whoever then finds no commit on its way knows that none will come.
//!
//! | commit | next | by |
//! |---|---|---|
//! | any | `OnItsWay` | the commit hook, which lets it pass |
//! | any | `NoLock` | the busy handler, which gives up |
//! | any | `No` | the commit hook, which vetoes it: lost |
//! | `OnItsWay`, `NoLock` | `No` | the rollback hook, within the statement: lost |
//! | any | `No` | the next statement, which begins |
//!
//! A commit that passes later has what was lost forgotten: its closure has tried again.

use std::mem;
use std::panic::Location;
use std::sync::{Condvar, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use desist::{Cancelled, Source, Token};
use rusqlite::InterruptHandle;

use super::{DATABASE, lock};
use crate::{Wait, counted};

pub(super) struct Lease {
    pub(super) source: Source,
    pub(super) token: Token,
    pub(super) caller: &'static Location<'static>,
    pub(super) is_writer: bool,
    state: Mutex<State>,
    /// For whoever waits for a lock of the database.
    stopped: Condvar,
}

struct State {
    phase: Phase,
    /// Nothing commits but by the pool (S6).
    is_whole: bool,
    commit: Commit,
    /// The last commit came to nothing. Who made it may not know (S7).
    lost: bool,
    /// A transaction was rolled back, not only to a savepoint.
    rolled_back: bool,
    /// Its stop was counted.
    is_counted: bool,
    /// Of a caller that waits for nothing but the commit that is on its way.
    waker: Option<Waker>,
}

enum Phase {
    Waiting,
    Running { interrupt: InterruptHandle, since: Instant },
    Withdrawn,
    Refused,
    Over,
}

/// Of the statement that runs, or was the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    No,
    /// It has waited for a lock, and in vain; a commit needs one before the hook is asked.
    NoLock,
    /// The hook has let it pass, and nothing was rolled back.
    OnItsWay,
}

/// What becomes of a call whose answer is not there.
pub(super) enum Outlook {
    /// It is on its way.
    Wait,
    Stopped(Cancelled),
    Refused,
}

impl Lease {
    pub(super) fn new(source: Source, caller: &'static Location<'static>, is_writer: bool) -> Self {
        let state = State {
            phase: Phase::Waiting,
            is_whole: false,
            commit: Commit::No,
            lost: false,
            rolled_back: false,
            is_counted: false,
            waker: None,
        };
        Self {
            token: source.token(),
            source,
            caller,
            is_writer,
            state: Mutex::new(state),
            stopped: Condvar::new(),
        }
    }

    /// On the thread of the connection, before anything is done on it. `false`: nothing
    /// is to be done.
    pub(super) fn begin(&self, interrupt: InterruptHandle) -> bool {
        let mut state = lock(&self.state);
        let is_on = matches!(state.phase, Phase::Waiting) && !self.token.is_cancelled();
        if is_on {
            state.phase = Phase::Running { interrupt, since: Instant::now() };
        }
        is_on
    }

    /// On that thread again, before anything else is done on the connection: from here on
    /// no interrupt comes.
    pub(super) fn end(&self) {
        lock(&self.state).phase = Phase::Over;
    }

    /// Everything there is to be done about a stop, by whoever asked for it. It takes as
    /// long as the lock is held: a few instructions.
    pub(super) fn stop(&self) {
        let withdraws = {
            let mut state = lock(&self.state);
            if let Phase::Running { interrupt, .. } = &state.phase {
                interrupt.interrupt();
                self.stopped.notify_all();
            }
            state.withdraws()
        };
        if withdraws {
            self.count();
        }
    }

    /// It was stopped, and its caller is told so, or nobody.
    pub(super) fn count(&self) {
        let is_counted = mem::replace(&mut lock(&self.state).is_counted, true);
        if !is_counted {
            counted::cancelled(DATABASE);
        }
    }

    /// The pool is closed.
    pub(super) fn refuse(&self) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Waiting) {
            state.phase = Phase::Refused;
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(lock(&self.state).phase, Phase::Waiting)
    }

    /// Since when it runs, if it does.
    pub(super) fn running_since(&self) -> Option<Instant> {
        match lock(&self.state).phase {
            Phase::Running { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Whatever has committed is over. After the stop, what begins is interrupted: it is of
    /// this lease, for that is on, so it cannot come late.
    pub(super) fn statement_begins(&self) {
        let mut state = lock(&self.state);
        if let (Phase::Running { interrupt, .. }, true) = (&state.phase, self.token.is_cancelled())
        {
            interrupt.interrupt();
        }
        let waker = state.no_commit();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether a commit may go on. After `true`, a caller that does not wait does.
    pub(super) fn may_commit(&self) -> bool {
        let mut state = lock(&self.state);
        let passes = !state.is_whole && !self.token.is_cancelled();
        state.commit = if passes { Commit::OnItsWay } else { Commit::No };
        state.lost = !passes;
        passes
    }

    /// A statement will fail, for somebody else has a lock.
    pub(super) fn finds_no_lock(&self) {
        lock(&self.state).commit = Commit::NoLock;
    }

    /// SQLite has rolled a transaction back, as it was told to, or by itself.
    pub(super) fn rolled_back(&self) {
        let mut state = lock(&self.state);
        state.rolled_back = true;
        // In one statement with the commit: that has failed. And what a writer gives up after
        // the stop was to be committed.
        state.lost |= state.commit != Commit::No || (self.is_writer && self.token.is_cancelled());
        let waker = state.no_commit();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Whether a commit came to nothing, and no other has passed since.
    pub(super) fn has_lost(&self) -> bool {
        lock(&self.state).lost
    }

    /// From here on nothing commits.
    pub(super) fn keep_whole(&self) {
        lock(&self.state).is_whole = true;
    }

    /// Whether nothing was rolled back; then it may commit.
    pub(super) fn end_whole(&self) -> bool {
        let mut state = lock(&self.state);
        state.is_whole = false;
        !state.rolled_back
    }

    /// Whether the hook let the last commit pass, and nothing took it back.
    pub(super) fn has_committed(&self) -> bool {
        lock(&self.state).commit == Commit::OnItsWay
    }

    /// Waits, at most so long, for the stop; whether it has come.
    pub(super) fn is_stopped_within(&self, bound: Duration) -> bool {
        let state = lock(&self.state);
        if !self.token.is_cancelled() {
            // The stop marks the token first and then comes for the lock: it is not missed.
            drop(self.stopped.wait_timeout(state, bound).unwrap_or_else(PoisonError::into_inner));
        }
        self.token.is_cancelled()
    }

    /// For the caller, who has no answer yet. It is woken when that is another.
    pub(super) fn outlook(&self, wait: Wait, cx: &Context<'_>) -> Outlook {
        // Wakers are foreign code: cloned before the lock is taken, dropped after it.
        let is_for_commit = wait == Wait::AtOnce && self.token.is_cancelled();
        let waker = is_for_commit.then(|| cx.waker().clone());
        let mut state = lock(&self.state);
        let is_free = match &state.phase {
            Phase::Refused => return Outlook::Refused,
            Phase::Waiting | Phase::Withdrawn => true,
            Phase::Running { .. } => wait == Wait::AtOnce && state.commit != Commit::OnItsWay,
            Phase::Over => false,
        };
        let stop = self.token.cancellation();
        let Some(cancelled) = stop.filter(|_| is_free) else {
            let _before = mem::replace(&mut state.waker, waker);
            drop(state);
            return Outlook::Wait;
        };
        state.withdraws();
        drop(state);
        self.count();
        Outlook::Stopped(cancelled)
    }
}

impl State {
    /// No commit is on its way, and who waits for that alone is to be woken.
    fn no_commit(&mut self) -> Option<Waker> {
        self.commit = Commit::No;
        self.waker.take()
    }

    /// Whether it waited, which it does no more.
    fn withdraws(&mut self) -> bool {
        let waited = matches!(self.phase, Phase::Waiting);
        if waited {
            self.phase = Phase::Withdrawn;
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;

    /// A wait for a lock ends with the stop, and not with its own time.
    #[test]
    fn a_stop_wakes_who_waits_for_a_lock() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        for _ in 0..100 {
            let source = Source::new();
            let lease = Arc::new(Lease::new(source.clone(), Location::caller(), true));
            assert!(lease.begin(conn.get_interrupt_handle()));
            let (tell, told) = mpsc::channel();
            let waits = Arc::clone(&lease);
            let thread = thread::spawn(move || {
                tell.send(None).unwrap();
                tell.send(Some(waits.is_stopped_within(Duration::from_secs(3600)))).unwrap();
            });
            assert_eq!(told.recv(), Ok(None));
            // Nobody says that it waits now; once in a hundred times it does.
            for _ in 0..100 {
                thread::yield_now();
            }
            source.cancel();
            lease.stop();
            assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Some(true)));
            thread.join().unwrap();
        }
    }
}
