//! Blocking work as its thread runs it.

use std::sync::Arc;

use super::outcome::{Outcome, TaskOutput};
use super::shared::Ticket;
use super::task::{caught, outcome_of};
use crate::current::{Ambient, within};
use crate::stop::Stop;

pub(super) fn run<T, R, M>(ticket: Ticket<T>, ambient: Arc<Ambient>, work: impl FnOnce(Stop) -> R)
where
    T: Send + 'static,
    R: TaskOutput<T, M>,
{
    let stop = ticket.shared.stop().clone();
    if let Some(cancelled) = stop.cancellation() {
        drop(work);
        return ticket.end(Outcome::CancelledBeforeStart(cancelled));
    }
    if !ticket.begin() {
        // Struck off; what it said then stands.
        return;
    }
    let outcome = match caught(|| within(&mut Some(ambient), || work(stop))) {
        Ok(output) => outcome_of(output, &ticket.shared),
        Err(panic) => Outcome::Panicked(panic),
    };
    ticket.end(outcome);
}
