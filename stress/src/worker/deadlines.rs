//! Deadlines: armed, armed anew, taken back, and whether they come in time.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use desist::Source;

use super::Worker;
use crate::books::{Armed, ClockKind, Signal};
use crate::heap;
use crate::report::violated;
use crate::tally::ARMED;

/// A deadline that is this late has stalled.
pub(crate) const STALLED: Duration = Duration::from_secs(5);

const HOUR: Duration = Duration::from_secs(3600);

impl Worker {
    fn short(&mut self) -> Duration {
        match self.random.below(8) {
            0 => Duration::ZERO,
            1 => Duration::from_nanos(self.random.below(1_000) as u64),
            _ => Duration::from_micros(self.random.below(5_000) as u64),
        }
    }

    fn short_or_long(&mut self) -> Duration {
        match self.random.below(10) {
            0 => Duration::MAX,
            1..4 => HOUR,
            4 => Duration::from_millis(self.random.below(200) as u64),
            _ => self.short(),
        }
    }

    pub(super) fn timed_source(&mut self) -> bool {
        let timeout = self.short_or_long();
        let now = Instant::now();
        let source = match now.checked_add(timeout) {
            Some(due) if self.random.one_in(2) => Source::with_deadline(due),
            _ => Source::with_timeout(timeout),
        };
        let mut signal = Signal::root(source, ClockKind::System);
        note(&mut signal, now.checked_add(timeout));
        self.keep(signal);
        true
    }

    pub(super) fn timed_child(&mut self) -> bool {
        let timeout = self.short_or_long();
        let at = self.some_signals(1)[0];
        let parent = &self.held.signals[at];
        let now = self.world.clock(parent.clock).now();
        let source = match now.checked_add(timeout) {
            Some(due) if self.random.one_in(2) => parent.token.child_with_deadline(due),
            _ => parent.token.child_with_timeout(timeout),
        };
        let mut child = Signal::root(source, parent.clock).below(&[parent], true);
        note(&mut child, None);
        self.keep(child);
        true
    }

    pub(super) fn shielded(&mut self) -> bool {
        let bound = self.short_or_long();
        let at = self.any_signal();
        let signal = &self.held.signals[at];
        let (clock, now) = (signal.clock, self.world.clock(signal.clock).now());
        let mut shielded = Signal::root(signal.token.shielded_for(bound), clock);
        note(&mut shielded, now.checked_add(bound));
        self.keep(shielded);
        true
    }

    pub(super) fn arm_short(&mut self) -> bool {
        let timeout = self.short();
        self.arm(timeout)
    }

    pub(super) fn arm_long(&mut self) -> bool {
        let timeout = *self.random.pick(&[HOUR, Duration::from_millis(300), Duration::MAX]);
        self.arm(timeout)
    }

    fn arm(&mut self, timeout: Duration) -> bool {
        let at = self.any_signal();
        let now = self.world.clock(self.held.signals[at].clock).now();
        self.arm_with(at, now.checked_add(timeout), |source| source.cancel_after(timeout))
    }

    pub(super) fn arm_at(&mut self) -> bool {
        let (timeout, at) = (self.short_or_long(), self.any_signal());
        let now = self.world.clock(self.held.signals[at].clock).now();
        let Some(due) = now.checked_add(timeout) else { return false };
        self.arm_with(at, Some(due), |source| source.cancel_at(due))
    }

    fn arm_with(
        &mut self,
        at: usize,
        not_before: Option<Instant>,
        arm: impl FnOnce(&Source),
    ) -> bool {
        let often = !self.random.one_in(10);
        let signal = &mut self.held.signals[at];
        if signal.shared && signal.certain && often {
            return false;
        }
        let Some(source) = &signal.source else { return false };
        // Else there is nothing to arm any more.
        let live = !source.is_cancelled();
        signal.book.timed.store(true, Relaxed);
        // It may fire right there, and a callback of it panic: then nothing is
        // known any more.
        let old = signal.armed.take();
        arm(source);
        signal.armed = old;
        note(signal, not_before);
        live
    }

    pub(super) fn disarm(&mut self) -> bool {
        let at = self.any_signal();
        let signal = &mut self.held.signals[at];
        let Some(source) = &signal.source else { return false };
        let armed = signal.token.deadline().is_some() && !source.is_cancelled();
        source.disarm();
        armed
    }

    pub(super) fn advance(&mut self) -> bool {
        let by = Duration::from_micros(self.random.below(4_000) as u64);
        self.world.manual.advance(by);
        !by.is_zero()
    }

    pub(super) fn fire_due(&mut self) -> bool {
        // Whatever else is due there, this is.
        let source = Source::with_clock(self.world.own.clone());
        let due = Instant::now() + Duration::from_micros(20);
        source.cancel_at(due);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let was_live = !source.is_cancelled();
        self.world.own.fire_due();
        // Live yet, if another thread is about to fire it.
        was_live && source.is_cancelled()
    }

    pub(super) fn look_for_stalls(&mut self) -> bool {
        for signal in &self.held.signals {
            look_for_stall(signal);
        }
        let on_time = |signal: &Signal| signal.clock == ClockKind::System;
        self.held.signals.iter().any(|signal| on_time(signal) && signal.token.deadline().is_some())
    }

    /// Waits for what is due now or soon.
    pub(super) fn wait_for_deadlines(&self) {
        let soon = Instant::now() + Duration::from_millis(10);
        for signal in &self.held.signals {
            if signal.clock != ClockKind::System {
                continue;
            }
            while signal.token.deadline().is_some_and(|due| due < soon)
                && !signal.token.is_cancelled()
            {
                look_for_stall(signal);
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

fn look_for_stall(signal: &Signal) {
    if signal.clock != ClockKind::System {
        return;
    }
    if let Some(late) = signal.stalled(STALLED) {
        violated(format_args!(
            "STALL: a deadline is {late:?} late and has not fired; {} threads keep time or fire",
            heap::keepers()
        ));
    }
}

/// Notes what its one holder has armed: not to fire before.
fn note(signal: &mut Signal, not_before: Option<Instant>) {
    ARMED.add();
    signal.book.timed.store(true, Relaxed);
    let cancelled = signal.token.is_cancelled();
    // Of a mixed one nobody knows on which clock it was armed.
    let not_before = not_before.filter(|_| signal.clock != ClockKind::Mixed);
    signal.armed = match (not_before, signal.armed) {
        // It fired in between, or had fired: by the one or by the other.
        (Some(new), Some(old)) if cancelled => Some(Armed { not_before: new.min(old.not_before) }),
        (Some(new), None) if !cancelled => Some(Armed { not_before: new }),
        (Some(new), Some(_)) => Some(Armed { not_before: new }),
        (None, _) | (Some(_), None) => None,
    };
}
