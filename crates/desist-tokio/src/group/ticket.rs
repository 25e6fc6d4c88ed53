//! What a task owes to its group.

use std::mem;
use std::sync::Arc;

use super::ended::TaskId;
use super::outcome::Outcome;
use super::shared::Shared;

/// A task's duty to say how it ended.
pub(super) struct Ticket<T: Send + 'static> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) slot: usize,
    pub(super) id: TaskId,
    pub(super) given_back: bool,
}

impl<T: Send + 'static> Ticket<T> {
    pub(super) fn end(mut self, outcome: Outcome<T>) {
        self.give_back(outcome);
    }

    /// The same, where the ticket is pinned in the task.
    pub(super) fn give_back(&mut self, outcome: Outcome<T>) {
        if !mem::replace(&mut self.given_back, true) {
            self.shared.end(self.slot, self.id, outcome);
        }
    }

    /// There is nothing to say.
    pub(super) fn leave(mut self) {
        if !mem::replace(&mut self.given_back, true) {
            self.shared.leave(self.slot, self.id);
        }
    }

    /// Blocking work has got its thread. False if it shall not begin.
    pub(super) fn begin(&self) -> bool {
        self.shared.begin(self.slot, self.id)
    }
}

impl<T: Send + 'static> Drop for Ticket<T> {
    fn drop(&mut self) {
        // Who was aborted may have been dropped before it was polled again.
        let by_us = self.shared.abort.is_cancelled();
        self.give_back(if by_us { Outcome::Aborted } else { Outcome::RuntimeGone });
    }
}
