//! Single courses of events, with their times.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, Event, How, Plan, Planned, Stage, Supervisor, set_dependents};
use crate::phase::Phase;
use crate::policy::{OnEnd, OnFailure, Restart};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn service(after: &[usize]) -> Planned {
    Planned {
        after: after.to_vec(),
        dependents: Vec::new(),
        start_timeout: secs(60),
        drain: secs(10),
        grace: secs(5),
        on_failure: OnFailure::StopHost,
        on_end: OnEnd::StopHost,
    }
}

struct Story {
    supervisor: Supervisor,
    now: Duration,
}

impl Story {
    /// All have started.
    fn of(mut services: Vec<Planned>, shutdown_timeout: u64, drain_delay: u64) -> Self {
        set_dependents(&mut services);
        let count = services.len();
        let (shutdown_timeout, drain_delay) = (secs(shutdown_timeout), secs(drain_delay));
        let plan = Arc::new(Plan { services, shutdown_timeout, drain_delay });
        let mut story = Self { supervisor: Supervisor::new(plan, 1), now: Duration::ZERO };
        story.happens(Event::Begin);
        for index in 0..count {
            story.happens(Event::Did(index, Stage::Start, How::Done));
        }
        assert_eq!(story.supervisor.phase(), Phase::Running);
        story
    }

    fn happens(&mut self, event: Event) -> Vec<Action> {
        self.supervisor.handle(self.now, event)
    }

    /// To the next moment that is waited for: when that is, and what it brings.
    fn time(&mut self) -> (Duration, Vec<Action>) {
        self.now = self.supervisor.next().expect("something is waited for");
        (self.now, self.happens(Event::Time))
    }
}

#[test]
fn a_deaf_one_is_asked_to_drain_to_stop_is_aborted_and_given_up_at_its_times() {
    let mut story = Story::of(vec![service(&[])], 30, 0);
    let stopping = Action::Phase(Phase::Stopping);
    assert_eq!(story.happens(Event::Stop), [stopping, Action::Drain(0)]);
    assert_eq!(story.time(), (secs(10), vec![Action::Stop(0)]));
    assert_eq!(story.time(), (secs(15), vec![Action::Abort(0, Stage::Run)]));
    let end = vec![Action::Phase(Phase::Stopped), Action::Finish];
    assert_eq!(story.time(), (secs(15) + Duration::from_millis(500), end));
}

#[test]
fn whoever_is_left_is_asked_at_the_last_call_and_aborted_before_the_end() {
    let mut slow = service(&[0]);
    slow.drain = secs(100);
    let mut story = Story::of(vec![service(&[]), slow], 30, 0);
    story.happens(Event::Stop);
    // The drain of the one is over, too, and the order of the other.
    assert_eq!(story.time(), (secs(25), vec![Action::Stop(1), Action::Stop(0)]));
    let aborts = vec![Action::Abort(1, Stage::Run), Action::Abort(0, Stage::Run)];
    assert_eq!(story.time(), (secs(28), aborts));
    let (end, actions) = story.time();
    assert!(end <= secs(30) && actions.ends_with(&[Action::Finish]), "{end:?} {actions:?}");
}

#[test]
fn nobody_is_asked_before_the_delay_is_over() {
    let mut story = Story::of(vec![service(&[])], 30, 8);
    assert_eq!(story.happens(Event::Stop), [Action::Phase(Phase::Unready)]);
    let asked = vec![Action::Phase(Phase::Stopping), Action::Drain(0)];
    assert_eq!(story.time(), (secs(8), asked));
}

#[test]
fn who_does_not_drain_is_asked_to_stop_at_once() {
    let mut story = Story::of(vec![service(&[])], 30, 0);
    story.happens(Event::Stop);
    assert_eq!(story.happens(Event::NothingToDrain(0)), [Action::Stop(0)]);
    assert_eq!(story.supervisor.services()[0].times.drained, None);
    assert_eq!(story.supervisor.next(), Some(secs(5)));
}

#[test]
fn a_cleanup_after_an_abort_has_its_own_time() {
    let mut story = Story::of(vec![service(&[])], 30, 0);
    story.happens(Event::Stop);
    story.happens(Event::NothingToDrain(0));
    assert_eq!(story.time(), (secs(5), vec![Action::Abort(0, Stage::Run)]));
    assert_eq!(story.happens(Event::Did(0, Stage::Run, How::Aborted)), []);
    assert_eq!(story.time(), (secs(10), vec![Action::Abort(0, Stage::Cleanup)]));
}

#[test]
fn a_restart_has_its_pause_and_its_limit() {
    let mut one = service(&[]);
    let restart = Restart::default().limit(2).first_pause(secs(4));
    one.on_failure = restart.into();
    let mut story = Story::of(vec![one], 30, 0);
    for round in 0..2 {
        story.happens(Event::Did(0, Stage::Run, How::Failed));
        let actions = story.happens(Event::Did(0, Stage::Cleanup, How::Done));
        let [Action::Rest(0, pause)] = actions[..] else { panic!("{actions:?}") };
        let longest = secs(4 << round);
        assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?} of {longest:?}");
        let begun = story.now;
        assert_eq!(story.time(), (begun + pause, vec![Action::Start(0)]));
        story.happens(Event::Did(0, Stage::Start, How::Done));
    }
    story.happens(Event::Did(0, Stage::Run, How::Failed));
    let end = story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    let stopped = [Action::Phase(Phase::Stopping), Action::Phase(Phase::Stopped), Action::Finish];
    assert_eq!(end, stopped);
    let service = &story.supervisor.services()[0];
    assert!(service.is_counted && service.restarts == 2);
}

#[test]
fn who_was_steady_begins_anew() {
    let mut one = service(&[]);
    one.on_failure = Restart::default().limit(1).into();
    let mut story = Story::of(vec![one], 30, 0);
    for _ in 0..5 {
        story.now += secs(60);
        story.happens(Event::Did(0, Stage::Run, How::Panicked));
        let actions = story.happens(Event::Did(0, Stage::Cleanup, How::Done));
        assert!(matches!(actions[..], [Action::Rest(0, _)]), "{actions:?}");
        story.time();
        story.happens(Event::Did(0, Stage::Start, How::Done));
    }
    // And now it was not.
    story.now += secs(59);
    story.happens(Event::Did(0, Stage::Run, How::Panicked));
    let actions = story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    assert!(actions.ends_with(&[Action::Finish]), "{actions:?}");
}

#[test]
fn who_has_been_ready_stays_so_while_one_is_restarted() {
    let mut one = service(&[]);
    one.on_failure = Restart::default().into();
    let mut story = Story::of(vec![one, service(&[0])], 30, 0);
    story.happens(Event::Did(0, Stage::Run, How::Failed));
    story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    assert_eq!(story.supervisor.phase(), Phase::Running);
}

#[test]
fn a_start_that_is_late_is_asked_and_stops_the_host() {
    let plan =
        Plan { services: vec![service(&[])], shutdown_timeout: secs(30), drain_delay: secs(9) };
    let mut story = Story { supervisor: Supervisor::new(Arc::new(plan), 1), now: Duration::ZERO };
    assert_eq!(story.happens(Event::Begin), [Action::Start(0)]);
    let late = vec![Action::StartedLate(0), Action::Stop(0), Action::Phase(Phase::Stopping)];
    // It was never ready, so there is no delay.
    assert_eq!(story.time(), (secs(60), late));
    let end = story.happens(Event::Did(0, Stage::Start, How::Stopped));
    assert!(end.ends_with(&[Action::Finish]), "{end:?}");
    assert!(story.supervisor.services()[0].is_counted);
}

#[test]
fn forced_all_are_asked_and_aborted_at_once_in_the_delay_too() {
    let mut story = Story::of(vec![service(&[]), service(&[0])], 30, 8);
    story.happens(Event::Stop);
    let forced = [
        Action::Phase(Phase::Stopping),
        Action::Stop(1),
        Action::Abort(1, Stage::Run),
        Action::Stop(0),
        Action::Abort(0, Stage::Run),
    ];
    assert_eq!(story.happens(Event::Force), forced);
    // What they still do is aborted as it comes.
    let cleanup = story.happens(Event::Did(1, Stage::Run, How::Aborted));
    assert_eq!(cleanup, [Action::Abort(1, Stage::Cleanup)]);
    let (end, _) = story.time();
    assert_eq!(end, Duration::from_millis(200));
}

/// Two that wait for one that does not stop; nothing but the call is waited for.
#[test]
fn the_last_call_comes_at_its_time() {
    let mut long = service(&[0]);
    (long.drain, long.grace) = (Duration::ZERO, secs(100));
    let mut story = Story::of(vec![service(&[]), long], 30, 0);
    story.happens(Event::Stop);
    assert_eq!(story.time(), (secs(25), vec![Action::Stop(0)]));
    let aborts = vec![Action::Abort(1, Stage::Run), Action::Abort(0, Stage::Run)];
    assert_eq!(story.time(), (secs(28), aborts));
}

#[test]
fn in_a_second_all_is_over() {
    let mut story = Story::of(vec![service(&[])], 1, 0);
    story.happens(Event::Stop);
    assert_eq!(story.time().0, Duration::from_millis(800));
    assert_eq!(story.time().0, Duration::from_millis(900));
    let (end, actions) = story.time();
    assert_eq!(end, secs(1));
    assert!(actions.ends_with(&[Action::Finish]), "{actions:?}");
}

/// It was aborted before the host was asked, and has no more time than that has.
#[test]
fn one_that_is_being_aborted_does_not_hold_the_end_up() {
    let mut late = service(&[]);
    late.on_failure = OnFailure::Ignore;
    let shutdown_timeout = Duration::from_millis(100);
    let plan = Plan { services: vec![late], shutdown_timeout, drain_delay: Duration::ZERO };
    let mut story = Story { supervisor: Supervisor::new(Arc::new(plan), 1), now: Duration::ZERO };
    story.happens(Event::Begin);
    assert_eq!(story.time(), (secs(60), vec![Action::StartedLate(0), Action::Stop(0)]));
    assert_eq!(story.time(), (secs(65), vec![Action::Abort(0, Stage::Start)]));
    story.happens(Event::Stop);
    assert_eq!(story.time().0, secs(65) + shutdown_timeout);
    assert_eq!(story.supervisor.phase(), Phase::Stopped);
}

#[test]
fn an_early_end_is_judged() {
    for (on_end, said, counts) in [
        (OnEnd::StopHost, vec![Action::Phase(Phase::Stopping)], false),
        (OnEnd::Fail, vec![Action::EndedEarly(0), Action::Phase(Phase::Stopping)], true),
        (OnEnd::Ignore, vec![], false),
    ] {
        let mut story = Story::of(vec![Planned { on_end, ..service(&[]) }], 30, 0);
        assert_eq!(story.happens(Event::Did(0, Stage::Run, How::Done)), said, "{on_end:?}");
        assert_eq!(story.supervisor.services()[0].is_counted, counts, "{on_end:?}");
    }
}

#[test]
fn a_failure_that_a_restart_has_mended_does_not_count() {
    let mut story =
        Story::of(vec![Planned { on_failure: Restart::default().into(), ..service(&[]) }], 30, 0);
    story.happens(Event::Did(0, Stage::Run, How::Failed));
    story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    story.time();
    story.happens(Event::Did(0, Stage::Start, How::Done));
    story.happens(Event::Stop);
    story.happens(Event::Did(0, Stage::Run, How::Stopped));
    story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    assert_eq!(story.supervisor.phase(), Phase::Stopped);
    assert!(!story.supervisor.services()[0].is_counted);
}

/// It serves nobody, so there is nothing to wait for.
#[test]
fn one_that_is_started_again_is_asked_in_the_delay() {
    let mut story = Story::of(
        vec![service(&[]), Planned { on_failure: Restart::default().into(), ..service(&[0]) }],
        30,
        8,
    );
    story.happens(Event::Did(1, Stage::Run, How::Failed));
    story.happens(Event::Did(1, Stage::Cleanup, How::Done));
    assert_eq!(story.time().1, [Action::Start(1)]);
    let asked = [Action::Phase(Phase::Unready), Action::Stop(1)];
    assert_eq!(story.happens(Event::Stop), asked);
}

/// The one that all others need is asked last, and its cleanup has its time all the same.
#[test]
fn a_cleanup_has_time_also_after_the_last_abort() {
    let mut long = service(&[]);
    (long.drain, long.grace) = (Duration::ZERO, secs(100));
    let mut story = Story::of(vec![long], 30, 0);
    story.happens(Event::Stop);
    assert_eq!(story.time(), (secs(28), vec![Action::Abort(0, Stage::Run)]));
    assert_eq!(story.happens(Event::Did(0, Stage::Run, How::Aborted)), []);
    let aborted = vec![Action::Abort(0, Stage::Cleanup)];
    assert_eq!(story.time(), (Duration::from_millis(29_500), aborted));
    story.happens(Event::Did(0, Stage::Cleanup, How::Aborted));
    assert!(story.supervisor.services()[0].is_dirty);
}

/// The machine slept through all of it: each step is still one that can be heeded.
#[test]
fn who_is_asked_late_has_a_moment() {
    let mut story = Story::of(vec![service(&[]), service(&[0])], 30, 0);
    story.happens(Event::Stop);
    story.now = secs(3600);
    assert_eq!(story.happens(Event::Time), [Action::Stop(1), Action::Stop(0)]);
    let moment = Duration::from_millis(20);
    let aborts = vec![Action::Abort(1, Stage::Run), Action::Abort(0, Stage::Run)];
    assert_eq!(story.time(), (secs(3600) + moment, aborts));
    story.happens(Event::Did(0, Stage::Run, How::Stopped));
    assert_eq!(story.supervisor.next(), Some(secs(3600) + 2 * moment));
    story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    let (end, actions) = story.time();
    assert_eq!(end, secs(3600) + 2 * moment);
    assert!(actions.ends_with(&[Action::Finish]), "{actions:?}");
}

#[test]
fn a_start_that_fails_is_never_steady() {
    let mut one = service(&[]);
    one.on_failure = Restart::default().limit(2).steady_after(Duration::ZERO).into();
    let plan = Plan { services: vec![one], shutdown_timeout: secs(30), drain_delay: secs(0) };
    let mut story = Story { supervisor: Supervisor::new(Arc::new(plan), 1), now: Duration::ZERO };
    story.happens(Event::Begin);
    for _ in 0..2 {
        story.happens(Event::Did(0, Stage::Start, How::Failed));
        assert_eq!(story.time().1, [Action::Start(0)]);
    }
    let end = story.happens(Event::Did(0, Stage::Start, How::Failed));
    assert!(end.ends_with(&[Action::Finish]), "{end:?}");
}

/// A restart is one when it comes.
#[test]
fn a_stop_in_the_pause_makes_no_restart() {
    let mut one = service(&[]);
    one.on_failure = Restart::default().into();
    let mut story = Story::of(vec![one], 30, 0);
    story.happens(Event::Did(0, Stage::Run, How::Failed));
    story.happens(Event::Did(0, Stage::Cleanup, How::Done));
    story.happens(Event::Stop);
    assert_eq!(story.supervisor.services()[0].restarts, 0);
}

/// The one between them is over already, and nobody minds.
#[test]
fn who_comes_after_through_another_is_waited_for_also_when_that_is_over() {
    let between = Planned { on_end: OnEnd::Ignore, ..service(&[0]) };
    let mut story = Story::of(vec![service(&[]), between, service(&[1])], 30, 0);
    story.happens(Event::Did(1, Stage::Run, How::Done));
    story.happens(Event::Did(1, Stage::Cleanup, How::Done));
    let asked = story.happens(Event::Stop);
    assert_eq!(asked, [Action::Phase(Phase::Stopping), Action::Drain(2)]);
}
