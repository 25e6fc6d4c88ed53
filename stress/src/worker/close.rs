//! The end of a thread's round: what is due fires, then everything is
//! cancelled, by all threads at once.

use std::time::{Duration, Instant};

use super::{CANCEL_EVERYTHING, STALLED, WAIT_FOR_DEADLINES, WAIT_FOR_OTHERS, Worker};
use crate::books::ClockKind;
use crate::panics::guarded;
use crate::report::ensure;

impl Worker {
    pub(super) fn close(&mut self) {
        self.seat.doing(WAIT_FOR_DEADLINES);
        self.wait_for_deadlines();
        self.clocks_have_fired();
        self.seat.doing(CANCEL_EVERYTHING);
        self.cancel_everything();
    }

    /// A clock that is moved or asked to fire leaves nothing behind that was due.
    fn clocks_have_fired(&mut self) {
        self.wait_for_others();
        let since = Instant::now();
        let stands_at = self.world.manual.now();
        for signal in &self.held.signals {
            let due_by = match signal.clock {
                ClockKind::Manual => stands_at,
                ClockKind::Own => since,
                ClockKind::System | ClockKind::Mixed => continue,
            };
            let is_due = || signal.token.deadline().is_some_and(|due| due <= due_by);
            // Callbacks that the system's time still calls may arm anew.
            while is_due() && !signal.token.is_cancelled() {
                let late = since.elapsed() > STALLED;
                ensure!(!late, "a deadline of {:?} did not fire", signal.clock);
                self.world.manual.advance(Duration::ZERO);
                self.world.own.fire_due();
            }
        }
        self.wait_for_others();
    }

    fn wait_for_others(&self) {
        self.seat.doing(WAIT_FOR_OTHERS);
        self.world.all_here.wait();
    }

    fn cancel_everything(&mut self) {
        let start = self.any_signal();
        let all = self.held.signals.len();
        for number in 0..all {
            self.seat.doing(CANCEL_EVERYTHING);
            guarded(|| self.cancel_at((start + number) % all));
            self.held.signals[(start + number) % all].look();
        }
    }
}
