//! Blocking work as its thread runs it.

use std::sync::Arc;

use super::outcome::{Outcome, TaskOutput};
use super::task::{caught, not_begun, outcome_of};
use super::ticket::Ticket;
use crate::current::{Ambient, within};
use crate::stop::Stop;

/// Work that waits for its thread. What it captured goes before its ticket does.
pub(super) struct Job<T: Send + 'static, F> {
    pub(super) work: F,
    pub(super) stop: Stop,
    pub(super) ambient: Arc<Ambient>,
    pub(super) ticket: Ticket<T>,
}

impl<T: Send + 'static, F> Job<T, F> {
    pub(super) fn run<R, M>(self)
    where
        R: TaskOutput<T, M>,
        F: FnOnce(Stop) -> R,
    {
        let Self { work, stop, ambient, ticket } = self;
        if let Some(cancelled) = ticket.shared.stop().cancellation() {
            return ticket.end(not_begun(work, cancelled));
        }
        if !ticket.begin() {
            // Struck off; what it said then stands.
            return;
        }
        let mut around = Some(ambient);
        let outcome = match caught(|| within(&mut around, || work(stop))) {
            Ok(output) => outcome_of(output, &ticket.shared, &around),
            Err(panic) => Outcome::Panicked(panic),
        };
        ticket.end(outcome);
    }
}
