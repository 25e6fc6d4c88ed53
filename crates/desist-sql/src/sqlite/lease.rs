//! The right to a connection, from the wish for it to its end (S2, S4).
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

use std::panic::Location;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use desist::{Cancelled, Source, Token};
use rusqlite::InterruptHandle;

use super::{DATABASE, lock};
use crate::{Wait, counted};

pub(super) struct Lease {
    pub(super) source: Source,
    pub(super) token: Token,
    pub(super) caller: &'static Location<'static>,
    state: Mutex<State>,
    /// For whoever waits for a lock of the database.
    stopped: Condvar,
}

struct State {
    phase: Phase,
    /// The hook has let a commit pass, and no statement has begun since.
    commits: bool,
}

enum Phase {
    Waiting,
    Running { interrupt: InterruptHandle, since: Instant },
    Withdrawn,
    Refused,
    Over,
}

/// What becomes of a call whose answer is not there.
pub(super) enum Outlook {
    /// It is on its way.
    Wait,
    Stopped(Cancelled),
    Refused,
}

impl Lease {
    pub(super) fn new(source: Source, caller: &'static Location<'static>) -> Self {
        Self {
            token: source.token(),
            source,
            caller,
            state: Mutex::new(State { phase: Phase::Waiting, commits: false }),
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

    /// It was stopped, and comes to nothing.
    pub(super) fn count(&self) {
        counted::cancelled(DATABASE);
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

    /// A statement begins; whatever has committed is over. `false`: it must not.
    pub(super) fn may_begin(&self) -> bool {
        let mut state = lock(&self.state);
        state.commits = false;
        !self.token.is_cancelled()
    }

    /// Whether a commit may go on. After `true`, a caller that does not wait does.
    pub(super) fn may_commit(&self) -> bool {
        let mut state = lock(&self.state);
        state.commits = !self.token.is_cancelled();
        state.commits
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

    /// For the caller, who has no answer yet.
    pub(super) fn outlook(&self, wait: Wait) -> Outlook {
        let mut state = lock(&self.state);
        let is_free = match &state.phase {
            Phase::Refused => return Outlook::Refused,
            Phase::Waiting | Phase::Withdrawn => true,
            Phase::Running { .. } => wait == Wait::AtOnce && !state.commits,
            Phase::Over => false,
        };
        let stop = self.token.cancellation().filter(|_| is_free);
        let Some(cancelled) = stop else { return Outlook::Wait };
        let withdraws = state.withdraws();
        drop(state);
        if withdraws {
            self.count();
        }
        Outlook::Stopped(cancelled)
    }
}

impl State {
    /// Whether it waited, which it does no more.
    fn withdraws(&mut self) -> bool {
        let waited = matches!(self.phase, Phase::Waiting);
        if waited {
            self.phase = Phase::Withdrawn;
        }
        waited
    }
}
