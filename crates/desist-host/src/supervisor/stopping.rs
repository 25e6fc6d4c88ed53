//! How a host stops: who is asked when, and what becomes of those who do not stop.

use std::time::Duration;

use super::{Action, Asked, Life, Stage, State, Stopping, Supervisor, Why};
use crate::phase::Phase;

/// How long whoever was aborted has to be gone: it needs one poll. One that does not get
/// it blocks its thread, or sits behind something that does.
const SETTLE: Duration = Duration::from_millis(500);

/// The same where somebody waits at a terminal, and has asked twice.
const SETTLE_FORCED: Duration = Duration::from_millis(200);

/// What whoever is asked, or aborted, has at least, so that it can be polled: also where all
/// is late, because the machine slept or a thread was blocked, and the end has passed.
const MOMENT: Duration = Duration::from_millis(20);

impl Supervisor {
    pub(super) fn begin_stop(&mut self, now: Duration, why: Why, actions: &mut Vec<Action>) {
        if self.stopping.is_some() {
            return;
        }
        let end = now.saturating_add(self.plan.shutdown_timeout);
        // Nobody was sent to a host that was never ready.
        let serves = self.phase == Phase::Running && !self.plan.drain_delay.is_zero();
        self.stopping = Some(Stopping {
            why,
            since: now,
            serves_until: now.saturating_add(self.plan.drain_delay),
            last_call: end.saturating_sub(self.plan.last_call()),
            last_abort: end.saturating_sub(self.plan.last_abort()),
            last_cleanup: end.saturating_sub(self.plan.last_cleanup()),
            end,
        });
        self.set_phase(if serves { Phase::Unready } else { Phase::Stopping }, actions);
        for index in 0..self.services.len() {
            match self.services[index].state {
                State::Waiting | State::Resting { .. } => self.over(now, index),
                // It was on its way out already, and has its time, but not more than all.
                State::Live(life) if !self.services[index].is_unasked() => {
                    let until = match life.asked {
                        Asked::Abort => life.until.min(end),
                        _ => self.bounded(now, life.stage, life.until),
                    };
                    self.services[index].state = State::Live(Life { until, ..life });
                }
                _ => {}
            }
        }
    }

    pub(super) fn ask_whoever_can(
        &mut self,
        now: Duration,
        stopping: Stopping,
        actions: &mut Vec<Action>,
    ) -> bool {
        if self.phase == Phase::Unready && stopping.serves_until <= now {
            self.set_phase(Phase::Stopping, actions);
        }
        let serves = self.phase == Phase::Unready;
        let mut asked = false;
        // Whoever started last is asked first.
        for index in (0..self.services.len()).rev() {
            let dependents = &self.plan.services[index].dependents;
            // Who has not started serves nobody.
            if self.services[index].is_unasked()
                && !(serves && self.services[index].has_settled())
                && dependents.iter().all(|after| self.services[*after].is_over())
            {
                self.ask(now, index, actions);
                asked = true;
            }
        }
        asked
    }

    fn ask(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let drain = self.plan.services[index].drain;
        if drain.is_zero() || !self.services[index].has_settled() {
            return self.stop(now, index, actions);
        }
        let last_call = self.stopping.map_or(Duration::MAX, |stopping| stopping.last_call);
        let until = now.saturating_add(drain).min(last_call.max(now + MOMENT));
        self.services[index].ask(now, Asked::Drain, until);
        actions.push(Action::Drain(index));
    }

    pub(super) fn stop(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let grace = self.plan.services[index].grace;
        let until = self.bounded(now, Stage::Run, now.saturating_add(grace));
        self.services[index].ask(now, Asked::Stop, until);
        actions.push(Action::Stop(index));
    }

    fn abort(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let settle = if self.is_forced { SETTLE_FORCED } else { SETTLE };
        let end = self.stopping.map_or(Duration::MAX, |stopping| stopping.end);
        let until = now.saturating_add(settle).min(end.max(now + MOMENT));
        let State::Live(Life { stage, .. }) = self.services[index].state else { return };
        self.services[index].ask(now, Asked::Abort, until);
        actions.push(Action::Abort(index, stage));
    }

    /// Not beyond the last abort of that stage, so that nobody is left after it.
    pub(super) fn bounded(&self, now: Duration, stage: Stage, until: Duration) -> Duration {
        let Some(stopping) = self.stopping else { return until };
        let last = match stage {
            Stage::Start | Stage::Run => stopping.last_abort,
            Stage::Cleanup => stopping.last_cleanup,
        };
        until.min(last.max(now + MOMENT))
    }

    pub(super) fn does_not_drain(
        &mut self,
        now: Duration,
        index: usize,
        actions: &mut Vec<Action>,
    ) {
        if let State::Live(Life { stage: Stage::Run, asked: Asked::Drain, .. }) =
            self.services[index].state
        {
            self.services[index].times.drained = None;
            self.stop(now, index, actions);
        }
    }

    pub(super) fn force(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.begin_stop(now, Why::Asked, actions);
        self.is_forced = true;
        self.set_phase(Phase::Stopping, actions);
        for index in (0..self.services.len()).rev() {
            self.abort_now(now, index, actions);
        }
    }

    fn abort_now(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let State::Live(life) = self.services[index].state else { return };
        if life.stage != Stage::Cleanup && life.asked < Asked::Stop {
            self.stop(now, index, actions);
        }
        if life.asked < Asked::Abort {
            self.abort(now, index, actions);
        }
    }

    pub(super) fn time_is_over(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for index in (0..self.services.len()).rev() {
            match self.services[index].state {
                State::Live(life) if life.until <= now => {
                    self.life_is_over(now, index, life, actions);
                }
                State::Resting { until } if until <= now => self.start(now, index, actions),
                _ => {}
            }
        }
        let Some(stopping) = self.stopping else { return };
        for index in (0..self.services.len()).rev() {
            if stopping.last_call <= now && self.services[index].is_unasked() {
                self.stop(now, index, actions);
            }
            if self.is_forced {
                self.abort_now(now, index, actions);
            }
        }
    }

    fn life_is_over(&mut self, now: Duration, index: usize, life: Life, actions: &mut Vec<Action>) {
        match (life.stage, life.asked) {
            (Stage::Cleanup, Asked::Nothing) => self.abort(now, index, actions),
            (Stage::Start, Asked::Nothing) => {
                actions.push(Action::StartedLate(index));
                // It is asked before the host stops because of it, and has its grace.
                self.stop(now, index, actions);
                self.fail(now, index, actions);
            }
            (Stage::Run, Asked::Nothing) => {}
            (_, Asked::Drain) => self.stop(now, index, actions),
            (_, Asked::Stop) => self.abort(now, index, actions),
            (_, Asked::Abort) => {
                self.services[index].give_up();
                self.conclude(now, index, actions);
            }
        }
    }
}
