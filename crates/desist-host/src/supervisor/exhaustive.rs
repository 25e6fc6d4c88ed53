//! Every order of events, for up to three services, against the invariants of the module.
//!
//! A world is a supervisor and, beside it, what its actions did to services that know
//! nothing of it: [`Actor`]s. From each world every event that can happen in it is tried:
//! any end of any service's stage, a request, a second one, and time, which goes to the next
//! moment for which the supervisor waits. Worlds that differ only in the time by the
//! clock are the same.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A failure has to be told whole.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::state::Times;
use super::{Action, Event, How, Plan, Planned, Stage, State, Supervisor, Why, set_dependents};
use crate::phase::Phase;
use crate::policy::{OnEnd, OnFailure, Restart};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A service, as its task would know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Actor {
    /// None: it is not there.
    stage: Option<Stage>,
    has_started: bool,
    drained: bool,
    asked: bool,
    aborted: bool,
    /// It has not started in its time.
    is_late: bool,
    /// In this life.
    has_failed: bool,
    /// In the host's time: it counts for the exit code.
    failed: bool,
    straggled: bool,
}

#[derive(Debug, Clone)]
struct World {
    plan: Arc<Plan>,
    supervisor: Supervisor,
    now: Duration,
    actors: Vec<Actor>,
    asked: bool,
    forced: bool,
    stopping_since: Option<Duration>,
    finished: bool,
    /// The events so far, the last one first, for whoever has to understand a failure.
    story: Option<Arc<Chapter>>,
}

#[derive(Debug)]
struct Chapter {
    at: Duration,
    event: Event,
    before: Option<Arc<Chapter>>,
}

impl World {
    fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let actors = vec![Actor::default(); plan.services.len()];
        let mut world = Self {
            supervisor: Supervisor::new(Arc::clone(&plan), 7),
            plan,
            now: Duration::ZERO,
            actors,
            asked: false,
            forced: false,
            stopping_since: None,
            finished: false,
            story: None,
        };
        world.happens(Event::Begin);
        world
    }

    /// What makes this world's future.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.supervisor.since(self.now).hash(&mut hasher);
        (&self.actors, self.asked, self.forced, self.finished).hash(&mut hasher);
        hasher.finish()
    }

    fn story(&self) -> Vec<(Duration, Event)> {
        let chapters = std::iter::successors(self.story.as_deref(), |told| told.before.as_deref());
        let mut story: Vec<_> = chapters.map(|told| (told.at, told.event)).collect();
        story.reverse();
        story
    }

    /// Everything that can happen next, and what cannot but might be told all the same.
    fn moves(&self) -> Vec<Event> {
        let mut moves = Vec::new();
        for (index, actor) in self.actors.iter().enumerate() {
            let Some(stage) = actor.stage else { continue };
            let mut ends = vec![How::Done, How::Failed, How::Panicked, How::Gone];
            if actor.aborted {
                ends.push(How::Aborted);
            }
            if actor.asked || actor.drained {
                ends.push(How::Stopped);
            }
            moves.extend(ends.into_iter().map(|how| Event::Did(index, stage, how)));
            // It is told after the first poll, whatever was asked meanwhile.
            if stage == Stage::Run {
                moves.push(Event::NothingToDrain(index));
            }
        }
        // A second request may come before the first, and both after the end.
        moves.extend([Event::Stop, Event::Force]);
        if self.supervisor.next().is_some() {
            moves.push(Event::Time);
        }
        moves
    }

    fn happens(&mut self, event: Event) {
        if event == Event::Time {
            self.now =
                self.supervisor.next().expect("time is an event only where it is waited for");
        }
        let before = self.story.take();
        self.story = Some(Arc::new(Chapter { at: self.now, event, before }));
        self.asked |= event == Event::Stop;
        self.forced |= event == Event::Force;
        if let Event::Did(index, stage, how) = event {
            self.did(index, stage, how);
        }
        let was_finished = self.finished;
        let were_asked: Vec<_> = self.actors.iter().map(|actor| actor.asked).collect();
        let actions = self.supervisor.handle(self.now, event);
        assert!(!was_finished || actions.is_empty(), "the end is the end");
        for action in actions {
            if let Action::Abort(index, Stage::Start | Stage::Run) = action {
                assert!(were_asked[index] || self.forced, "aborted at the time it was asked");
            }
            self.act(action);
        }
        self.check();
    }

    fn did(&mut self, index: usize, stage: Stage, how: How) {
        let plan = &self.plan.services[index];
        let actor = &mut self.actors[index];
        let stopping = self.stopping_since.is_some();
        let early = stage == Stage::Run && how == How::Done && !actor.asked && !actor.drained;
        let fails = how.is_failure() || (early && plan.on_end == OnEnd::Fail);
        actor.has_failed |= fails;
        // Before the stop a restart may mend it.
        actor.failed |= fails
            && match plan.on_failure {
                OnFailure::StopHost => true,
                OnFailure::Restart(_) => stopping,
                OnFailure::Ignore => false,
            };
        let was_lost = self.supervisor.services()[index].is_lost();
        actor.straggled |= stopping && (how == How::Aborted || was_lost);
        actor.stage = match stage {
            Stage::Start if how == How::Done => Some(Stage::Run),
            Stage::Run => Some(Stage::Cleanup),
            _ => None,
        };
        if stage == Stage::Run && !was_lost {
            // Cleanup is aborted by itself, but of who was given up.
            actor.aborted = false;
        }
    }

    fn act(&mut self, action: Action) {
        let stopping = self.supervisor.stopping().copied();
        if let Some(stopping) = stopping {
            self.stopping_since.get_or_insert(stopping.since);
        }
        let out_of_order = self.forced || stopping.is_some_and(|s| s.last_call <= self.now);
        match action {
            Action::Start(index) => {
                assert!(stopping.is_none(), "started in a host that stops");
                assert_eq!(self.actors[index].stage, None, "there is one of it already");
                if !self.actors[index].has_started {
                    for before in &self.plan.services[index].after {
                        let before = &self.actors[*before];
                        let runs = before.stage == Some(Stage::Run);
                        assert!(before.has_started, "started before one it comes after");
                        assert!(runs || before.stage.is_none() || before.aborted);
                    }
                }
                let policy = self.plan.services[index].on_failure;
                let again = self.actors[index].has_started;
                assert!(!again || matches!(policy, OnFailure::Restart(_)), "started again");
                let Actor { failed, straggled, .. } = self.actors[index];
                let stage = Some(Stage::Start);
                self.actors[index] =
                    Actor { stage, has_started: true, failed, straggled, ..Actor::default() };
            }
            Action::Drain(index) => {
                self.check_order(index, out_of_order);
                let actor = &mut self.actors[index];
                assert_eq!(actor.stage, Some(Stage::Run), "only who runs can drain");
                assert!(!actor.drained && !actor.asked && !actor.aborted);
                actor.drained = true;
            }
            Action::Stop(index) => {
                self.check_order(index, out_of_order || self.actors[index].is_late);
                let actor = &mut self.actors[index];
                assert!(matches!(actor.stage, Some(Stage::Start | Stage::Run)));
                assert!(!actor.asked && !actor.aborted, "asked twice, or late");
                actor.asked = true;
            }
            Action::Abort(index, stage) => {
                let actor = &mut self.actors[index];
                assert_eq!(actor.stage, Some(stage));
                assert!(actor.stage == Some(Stage::Cleanup) || actor.asked, "aborted unasked");
                assert!(actor.stage.is_some() && !actor.aborted);
                actor.aborted = true;
            }
            Action::StartedLate(index) => {
                let counts = self.plan.services[index].on_failure == OnFailure::StopHost;
                self.actors[index].failed |= counts;
                self.actors[index].is_late = true;
                self.actors[index].has_failed = true;
            }
            Action::EndedEarly(index) => assert_eq!(self.plan.services[index].on_end, OnEnd::Fail),
            Action::Rest(index, pause) => {
                assert!(stopping.is_none() && !pause.is_zero());
                assert_eq!(self.actors[index].stage, None);
                assert!(self.actors[index].has_failed, "started again, and had not failed");
            }
            Action::Phase(_) => {}
            Action::Finish => {
                assert!(!self.finished, "finished twice");
                self.finished = true;
                for (actor, service) in self.actors.iter().zip(self.supervisor.services()) {
                    assert!(actor.stage.is_none() || actor.aborted, "left behind unaborted");
                    assert_eq!(actor.stage.is_some(), service.is_lost());
                }
            }
        }
    }

    /// Who comes after it has to be over, or given up; and before that it has served.
    fn check_order(&self, index: usize, out_of_order: bool) {
        let serves = self.supervisor.phase() == Phase::Unready;
        let runs = self.actors[index].stage == Some(Stage::Run);
        assert!(out_of_order || !serves || !runs, "asked while the host serves on");
        for after in &self.plan.services[index].dependents {
            let given_up = self.supervisor.services()[*after].is_lost();
            let is_over = self.actors[*after].stage.is_none();
            assert!(is_over || given_up || out_of_order, "asked before one that comes after it");
        }
    }

    fn check(&self) {
        let supervisor = &self.supervisor;
        assert_eq!(self.finished, supervisor.phase() == Phase::Stopped);
        assert_eq!(supervisor.stopping().is_some(), supervisor.phase().is_stopping());
        match supervisor.next() {
            Some(next) => assert!(next > self.now, "it would spin"),
            // Who does nothing must not hold the host.
            None => assert!(self.finished || supervisor.stopping().is_none(), "no way on"),
        }
        if let Some(stopping) = supervisor.stopping() {
            // Who is forced in the last moment has a moment more.
            let most = self.plan.shutdown_timeout + Duration::from_millis(60);
            assert!(self.now <= stopping.since + most, "beyond its time");
            if matches!(stopping.why, Why::Asked) {
                assert!(self.asked || self.forced);
            }
        }
        if supervisor.services().iter().all(|service| service.is_over()) {
            assert!(self.finished, "it waits for nobody");
        }
        let all_run = self.actors.iter().all(|actor| actor.stage == Some(Stage::Run));
        if all_run && supervisor.stopping().is_none() && self.actors.iter().all(|a| !a.asked) {
            assert_eq!(supervisor.phase(), Phase::Running);
        }
        if supervisor.phase() == Phase::Running {
            assert!(self.actors.iter().all(|actor| actor.has_started), "ready before all are");
        }
        if self.forced && !self.finished {
            for actor in &self.actors {
                assert!(actor.stage.is_none() || actor.aborted, "forced, and not aborted");
            }
        }
        if self.finished {
            for (index, actor) in self.actors.iter().enumerate() {
                let service = &supervisor.services()[index];
                if actor.failed {
                    assert!(service.is_counted, "a failure of {index} is lost");
                } else if service.is_counted {
                    // Restarts that were in vain, and only those.
                    let policy = self.plan.services[index].on_failure;
                    assert!(matches!(policy, OnFailure::Restart(_)), "{index} did not fail");
                    assert!(actor.has_failed, "{index} did not fail the last time");
                }
                assert_eq!(service.is_straggler, actor.straggled || service.is_lost());
            }
        }
    }
}

impl Supervisor {
    /// With its times since now, and without such as decide nothing.
    fn since(&self, now: Duration) -> Self {
        let mut same = self.clone();
        let rest = |time: &mut Duration| {
            if *time < Duration::MAX {
                *time = time.saturating_sub(now);
            }
        };
        for service in &mut same.services {
            match &mut service.state {
                State::Live(life) => rest(&mut life.until),
                State::Resting { until } => rest(until),
                State::Waiting | State::Over | State::Lost => {}
            }
            let Times { started, ran, .. } = service.times;
            let ran_for = started.map(|started| ran.unwrap_or(now).saturating_sub(started));
            let is_steady = ran_for.is_some_and(|time| time >= STEADY).then_some(STEADY);
            service.times = Times { started: is_steady, ..Times::default() };
            service.how = None;
            service.restarts = 0;
        }
        if let Some(stopping) = &mut same.stopping {
            stopping.since = Duration::ZERO;
            rest(&mut stopping.serves_until);
            rest(&mut stopping.last_call);
            rest(&mut stopping.last_abort);
            rest(&mut stopping.last_cleanup);
            rest(&mut stopping.end);
        }
        same.random = 0;
        same
    }
}

/// Longer than any pause and grace here, so that time that passes for others is enough.
const STEADY: Duration = secs(4);

const RESTART: Restart =
    Restart { first_pause: secs(3), longest_pause: secs(3), steady_after: STEADY, limit: 1 };

const FAILURES: [OnFailure; 3] =
    [OnFailure::StopHost, OnFailure::Restart(RESTART), OnFailure::Ignore];
const ENDS: [OnEnd; 3] = [OnEnd::StopHost, OnEnd::Fail, OnEnd::Ignore];

/// Who comes after whom.
const SHAPES_OF_TWO: [&[&[usize]]; 2] = [&[&[], &[]], &[&[], &[0]]];
const SHAPES_OF_THREE: [&[&[usize]]; 6] = [
    &[&[], &[], &[]],
    &[&[], &[0], &[1]],
    &[&[], &[0], &[0, 1]],
    &[&[], &[0], &[0]],
    &[&[], &[], &[0, 1]],
    &[&[], &[0], &[]],
];

/// For what a service has time of its own.
#[derive(Clone, Copy)]
enum Has {
    StartAndDrain,
    Neither,
}

fn plan(shape: &[&[usize]], services: &[(OnFailure, OnEnd, Has)], delay: Duration) -> Plan {
    let services = shape.iter().zip(services);
    let services = services.map(|(after, (on_failure, on_end, has))| {
        let (start_timeout, drain) = match has {
            Has::StartAndDrain => (secs(2), secs(2)),
            Has::Neither => (Duration::MAX, Duration::ZERO),
        };
        Planned {
            after: after.to_vec(),
            dependents: Vec::new(),
            start_timeout,
            drain,
            grace: secs(2),
            on_failure: *on_failure,
            on_end: *on_end,
        }
    });
    let mut services: Vec<_> = services.collect();
    set_dependents(&mut services);
    Plan { services, shutdown_timeout: secs(10), drain_delay: delay }
}

/// From the begin of this world through all others; how many there are.
fn explore(plan: Plan) -> usize {
    let first = World::new(plan);
    let mut seen = HashSet::from([first.key()]);
    let mut left = vec![first];
    while let Some(world) = left.pop() {
        for event in world.moves() {
            let mut next = world.clone();
            let happened = catch_unwind(AssertUnwindSafe(|| next.happens(event)));
            if let Err(panic) = happened {
                eprintln!("after {:#?}, {event:?}, with {:#?}", world.story(), world.plan);
                resume_unwind(panic);
            }
            if seen.insert(next.key()) {
                left.push(next);
            }
        }
    }
    seen.len()
}

fn policies() -> impl Iterator<Item = (OnFailure, OnEnd)> + Clone {
    FAILURES.into_iter().flat_map(|failure| ENDS.into_iter().map(move |end| (failure, end)))
}

#[test]
fn one_service_under_every_policy() {
    let mut worlds = 0;
    for (failure, end) in policies() {
        for has in [Has::StartAndDrain, Has::Neither] {
            for delay in [Duration::ZERO, secs(4)] {
                worlds += explore(plan(&[&[]], &[(failure, end, has)], delay));
            }
        }
    }
    assert!(worlds > 10_000, "{worlds}");
}

#[test]
fn two_services_in_a_row_of_which_one_has_every_policy() {
    let mut worlds = 0;
    let other = (OnFailure::StopHost, OnEnd::StopHost, Has::Neither);
    for (failure, end) in policies() {
        let one = (failure, end, Has::StartAndDrain);
        let row = SHAPES_OF_TWO[1];
        worlds += explore(plan(row, &[one, other], Duration::ZERO));
        worlds += explore(plan(row, &[other, one], secs(4)));
    }
    assert!(worlds > 100_000, "{worlds}");
}

/// In a row; in every other order it takes minutes.
#[test]
fn three_services_in_a_row() {
    let service = (OnFailure::StopHost, OnEnd::StopHost, Has::Neither);
    let worlds = explore(plan(SHAPES_OF_THREE[1], &[service; 3], Duration::ZERO));
    assert!(worlds > 5_000, "{worlds}");
}

/// For minutes: `ci/supervisor`.
#[test]
#[ignore = "it takes minutes; ci/supervisor runs it"]
fn two_services_under_every_pair_of_policies() {
    let mut worlds = 0;
    for first in policies() {
        for second in policies() {
            for shape in SHAPES_OF_TWO {
                let services = [first, second].map(|(f, end)| (f, end, Has::StartAndDrain));
                worlds += explore(plan(shape, &services, secs(4)));
            }
        }
    }
    println!("two services: {worlds} worlds");
}

/// For minutes: `ci/supervisor`.
#[test]
#[ignore = "it takes minutes; ci/supervisor runs it"]
fn three_services_with_all_their_times() {
    let mut worlds = 0;
    for shape in SHAPES_OF_THREE {
        let service = (OnFailure::StopHost, OnEnd::StopHost, Has::StartAndDrain);
        worlds += explore(plan(shape, &[service; 3], Duration::ZERO));
    }
    println!("three services with all their times: {worlds} worlds");
}

/// For minutes: `ci/supervisor`.
#[test]
#[ignore = "it takes minutes; ci/supervisor runs it"]
fn three_services_of_different_policies() {
    let mut worlds = 0;
    let restarted = (OnFailure::Restart(RESTART), OnEnd::Fail, Has::Neither);
    let ignored = (OnFailure::Ignore, OnEnd::Ignore, Has::Neither);
    let strict = (OnFailure::StopHost, OnEnd::StopHost, Has::Neither);
    for shape in SHAPES_OF_THREE {
        for services in [
            [restarted, ignored, strict],
            [ignored, strict, restarted],
            [strict, restarted, ignored],
        ] {
            worlds += explore(plan(shape, &services, secs(4)));
        }
    }
    println!("three services of different policies: {worlds} worlds");
}
