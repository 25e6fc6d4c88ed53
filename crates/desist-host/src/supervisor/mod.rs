//! What the host decides: events and the time go in, actions come out.
//!
//! Nothing here waits, runs, or asks for the time; the driver does. So every order of
//! events can be tried, and `exhaustive.rs` tries them all for up to three services.
//!
//! # States of a service
//!
//! ```text
//!            whom it comes after have started
//!  Waiting ───────────────────────────────────▶ Live: start ─▶ run ─▶ cleanup ─▶ Over
//!     │                                           ▲    │ failed, late               │
//!     │ the host stops                            │    ▼                            │
//!     └──────────▶ Over ◀── the host stops ── Resting ◀── it is to be restarted ────┘
//! ```
//!
//! While it is live it may have been asked, and each request has an end at which the next
//! one comes: nothing → drain → stop → abort → given up ([`State::Lost`]). Cleanup is not
//! asked, but has a bound like the others.
//!
//! # Invariants
//!
//! 1. A service is started when all that it comes after run, or are over; and never once
//!    the host stops.
//! 2. Asked by the host, it is asked when all that come after it are over or given up;
//!    or at the last call, a fifth of the whole time (at most 5 s) before the end, when
//!    whoever has not been asked to stop is. So nobody is aborted unasked.
//! 3. Its requests come in their order and each once in a life: to drain, to stop, to be
//!    aborted.
//! 4. Once the host stops it ends within its time, whatever the services do; and as soon
//!    as all are over or given up.
//! 5. What a service does to the host is decided once in each of its lives, at its first
//!    failure or early end; failures after that are collected.
//! 6. Forced, everybody is asked to stop and aborted at once.

mod event;
#[cfg(test)]
mod exhaustive;
mod plan;
mod state;
mod stopping;
#[cfg(test)]
mod stories;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::event::{Action, Event, How, Stage, Why};
pub(crate) use self::plan::{Plan, Planned, set_dependents};
pub(crate) use self::state::{Asked, Life, Service, State};
use crate::phase::Phase;
use crate::policy::{OnEnd, OnFailure};

/// See the [module](self). Times are since the host began.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Supervisor {
    plan: Arc<Plan>,
    services: Vec<Service>,
    phase: Phase,
    stopping: Option<Stopping>,
    is_forced: bool,
    random: u64,
}

/// What is known from the request on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stopping {
    pub(crate) why: Why,
    pub(crate) since: Duration,
    /// It serves on until then.
    serves_until: Duration,
    last_call: Duration,
    last_abort: Duration,
    last_cleanup: Duration,
    end: Duration,
}

impl Supervisor {
    /// `random` is for the pauses between restarts.
    pub(crate) fn new(plan: Arc<Plan>, random: u64) -> Self {
        let services = plan.services.iter().map(|_| Service::new()).collect();
        // Of the generator below zero is a fixed point.
        let random = random | 1;
        Self { plan, services, phase: Phase::Starting, stopping: None, is_forced: false, random }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    pub(crate) fn stopping(&self) -> Option<&Stopping> {
        self.stopping.as_ref()
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// Whether the host waits for this one: to have started, or to be over.
    pub(crate) fn waits_for(&self, service: &Service) -> bool {
        match self.stopping {
            None => !service.has_settled(),
            Some(_) => !service.is_over(),
        }
    }

    /// At the end of all: something of it is still there.
    pub(crate) fn give_up(&mut self, index: usize) {
        self.services[index].give_up();
    }

    /// What this event, at this time, leads to, in this order.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        if self.phase == Phase::Stopped {
            if let Event::Did(service, stage, how) = event {
                self.ended_late(now, service, stage, how);
            }
            return Vec::new();
        }
        let mut actions = Vec::new();
        match event {
            Event::Begin | Event::Time => {}
            Event::Did(service, stage, how) => self.did(now, service, stage, how, &mut actions),
            Event::NothingToDrain(service) => self.does_not_drain(now, service, &mut actions),
            Event::Stop => self.begin_stop(now, Why::Asked, &mut actions),
            Event::Force => self.force(now, &mut actions),
        }
        self.advance(now, &mut actions);
        actions
    }

    /// When the time is an event, if nothing else comes before.
    pub(crate) fn next(&self) -> Option<Duration> {
        if self.phase == Phase::Stopped {
            return None;
        }
        let of_services = self.services.iter().filter_map(|service| service.state.until());
        let of_host = self.stopping.iter().flat_map(|stopping| {
            let unasked = self.services.iter().any(Service::is_unasked);
            let serves = (self.phase == Phase::Unready).then_some(stopping.serves_until);
            serves.into_iter().chain(unasked.then_some(stopping.last_call))
        });
        of_services.chain(of_host).min()
    }

    /// Whatever is due, until nothing is.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        loop {
            self.time_is_over(now, actions);
            let begun = match self.stopping {
                None => self.start_whoever_can(now, actions),
                Some(stopping) => self.ask_whoever_can(now, stopping, actions),
            };
            if !begun {
                break;
            }
        }
        self.tell_phase(now, actions);
    }

    fn tell_phase(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.stopping.is_none() && self.services.iter().all(Service::is_over) {
            self.begin_stop(now, Why::NothingLeft, actions);
        }
        if self.stopping.is_some() && self.services.iter().all(Service::is_over) {
            self.set_phase(Phase::Stopped, actions);
            actions.push(Action::Finish);
        } else if self.phase == Phase::Starting && self.services.iter().all(Service::has_settled) {
            self.set_phase(Phase::Running, actions);
        }
    }

    fn set_phase(&mut self, phase: Phase, actions: &mut Vec<Action>) {
        if self.phase != phase {
            self.phase = phase;
            actions.push(Action::Phase(phase));
        }
    }

    // Starting.

    fn start_whoever_can(&mut self, now: Duration, actions: &mut Vec<Action>) -> bool {
        let mut begun = false;
        for index in 0..self.services.len() {
            let waits_for = &self.plan.services[index].after;
            if self.services[index].state == State::Waiting
                && waits_for.iter().all(|before| self.services[*before].has_settled())
            {
                self.start(now, index, actions);
                begun = true;
            }
        }
        begun
    }

    fn start(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let until = now.saturating_add(self.plan.services[index].start_timeout);
        self.services[index].live_again(now, until);
        actions.push(Action::Start(index));
    }

    // What services do.

    fn did(
        &mut self,
        now: Duration,
        index: usize,
        stage: Stage,
        how: How,
        actions: &mut Vec<Action>,
    ) {
        let service = &mut self.services[index];
        let State::Live(life) = service.state else {
            return self.ended_late(now, index, stage, how);
        };
        service.note(stage, how, self.stopping.is_some());
        match stage {
            Stage::Start if how == How::Done => {
                let until = match life.asked {
                    Asked::Nothing => Duration::MAX,
                    _ => life.until,
                };
                service.state = State::Live(Life { stage: Stage::Run, until, ..life });
                service.times.started = Some(now);
            }
            Stage::Start => {
                // There is nobody left to ask.
                service.state = State::Over;
                self.judge(now, index, life, how, actions);
                self.conclude(now, index, actions);
            }
            Stage::Run => {
                service.times.ran = Some(now);
                let grace = self.plan.services[index].grace;
                let until = self.bounded(now, Stage::Cleanup, now.saturating_add(grace));
                let life_now = Life { stage: Stage::Cleanup, asked: Asked::Nothing, until };
                self.services[index].state = State::Live(life_now);
                self.judge(now, index, life, how, actions);
            }
            Stage::Cleanup => {
                if how.is_failure() {
                    self.fail(now, index, actions);
                }
                self.conclude(now, index, actions);
            }
        }
    }

    /// Whether that was a failure, or an end that the host has to do with.
    fn judge(
        &mut self,
        now: Duration,
        index: usize,
        life: Life,
        how: How,
        actions: &mut Vec<Action>,
    ) {
        let was_asked = life.asked != Asked::Nothing;
        if how.is_failure() {
            self.fail(now, index, actions);
        } else if !was_asked && how != How::Aborted {
            match self.plan.services[index].on_end {
                OnEnd::Ignore => {}
                OnEnd::StopHost => self.begin_stop(now, Why::Ended(index), actions),
                OnEnd::Fail => {
                    actions.push(Action::EndedEarly(index));
                    self.fail(now, index, actions);
                }
            }
        }
    }

    fn fail(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let service = &mut self.services[index];
        let first = !service.has_failed;
        service.has_failed = true;
        match self.plan.services[index].on_failure {
            OnFailure::Ignore => {}
            OnFailure::StopHost => {
                service.is_counted = true;
                if first {
                    self.begin_stop(now, Why::Failed(index), actions);
                }
            }
            // Whether it is restarted is known when this life is over.
            OnFailure::Restart(_) => service.is_counted |= self.stopping.is_some(),
        }
    }

    /// This life is over.
    fn conclude(&mut self, now: Duration, index: usize, actions: &mut Vec<Action>) {
        let OnFailure::Restart(restart) = self.plan.services[index].on_failure else {
            return self.over(now, index);
        };
        if self.stopping.is_some() || !self.services[index].has_failed {
            return self.over(now, index);
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let random = self.random;
        let service = &mut self.services[index];
        if service.ran_for() >= Some(restart.steady_after) {
            service.in_a_row = 0;
        }
        // What was given up may still be running: there cannot be two of it.
        if service.in_a_row >= restart.limit || service.is_lost() {
            service.is_counted = true;
            self.over(now, index);
            return self.begin_stop(now, Why::Failed(index), actions);
        }
        let pause = restart.pause(service.in_a_row, random);
        service.in_a_row += 1;
        service.state = State::Resting { until: now.saturating_add(pause) };
        actions.push(Action::Rest(index, pause));
    }

    fn over(&mut self, now: Duration, index: usize) {
        let service = &mut self.services[index];
        if !service.is_lost() {
            service.state = State::Over;
            service.times.over.get_or_insert(now);
        }
    }

    /// It had been given up.
    fn ended_late(&mut self, now: Duration, index: usize, stage: Stage, how: How) {
        let service = &mut self.services[index];
        service.note(stage, how, self.stopping.is_some());
        let goes_on = match stage {
            Stage::Start => how == How::Done,
            Stage::Run => true,
            Stage::Cleanup => false,
        };
        if how.is_failure() && self.plan.services[index].on_failure != OnFailure::Ignore {
            service.is_counted = true;
        }
        if !goes_on && service.is_lost() {
            service.state = State::Over;
            service.is_straggler &= self.stopping.is_some();
            service.times.over = Some(now);
        }
    }
}
