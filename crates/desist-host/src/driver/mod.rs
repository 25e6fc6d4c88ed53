//! What the supervisor decides, done on tokio.
//!
//! The driver runs no foreign code, so that nobody can hold it up: services run on their
//! runtime, each in one task from the begin to the end; requests, which call back, are
//! made on threads that may be blocked; whoever listens to the news has a thread of its
//! own. Where the host owns the process the driver has a runtime, and a thread, for itself.
//!
//! A service is aborted by its own task, which looks at a second signal: so its cleanup
//! can follow, and a task that cannot look is known to block its thread.

mod ask;
mod cause;
mod life;
mod panics;
mod telling;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use desist::{Cancelled, Cause, Clock, Reason, Registration, Source, Token};
use desist_tokio::{Signal, StopSource, root_clock};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::ask::{Asker, Asking};
use self::life::{Ended, InWords, Life, Lives};
use crate::handle::{HostHandle, Status};
use crate::news::{Listeners, Listening, News};
use crate::outcome::Failure;
use crate::phase::Phase;
use crate::policy::OnFailure;
use crate::report::{Ledger, Report};
use crate::service::AnyService;
use crate::supervisor::{Action, Event, Plan, Planned, Service, Stage, Supervisor, Why};

/// What the driver is told.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Its run was polled, or should have been: it has had the time to look at its drain.
    Begun(usize),
    Did(usize, Stage, Ended),
    /// Why, and in words, which are foreign code.
    Stop(Cancelled, Arc<str>),
    Force(Signal),
}

/// The way to tell it.
pub(crate) type Tell = UnboundedSender<Heard>;

/// What it takes over from the host.
pub(crate) struct Crew {
    pub(crate) plan: Arc<Plan>,
    pub(crate) names: Arc<[Arc<str>]>,
    pub(crate) services: Vec<Box<dyn AnyService>>,
    pub(crate) handle: HostHandle,
    pub(crate) listeners: Vec<Listening>,
}

/// How long those who listen have to hear the last of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long the values of services have to be dropped, that might have been started again.
const LEAVE: Duration = Duration::from_millis(500);

/// How long who was asked to drain before its work was polled has to look whether it is.
const MOMENT: Duration = Duration::from_millis(100);

pub(crate) struct Driver {
    services: Handle,
    supervisor: Supervisor,
    names: Arc<[Arc<str>]>,
    crew: Vec<Member>,
    handle: HostHandle,
    listeners: Option<Listeners>,
    /// What the present event brings, to be told at once.
    news: Vec<News>,
    asker: Asker,
    told: UnboundedReceiver<Heard>,
    /// Its own way, so that the channel has no end.
    tell: Tell,
    began: Instant,
    clock: Clock,
    /// Why it stops, and what its detail says.
    cause: Option<(Cancelled, Arc<str>)>,
    has_told_cause: bool,
    /// What was told of the time.
    told_next: Option<Duration>,
    forced: Option<Signal>,
    /// How it hears of the stop.
    asked: Option<Registration>,
    has_ended: bool,
}

/// A service, as the driver has it.
struct Member {
    lives: Lives,
    /// Of its present life.
    stop: StopSource,
    abort: Source,
    abort_cleanup: Source,
    asking: Option<Asking>,
    has_begun: bool,
    ledger: Ledger,
    /// It has not started in its time.
    is_late: bool,
}

impl Driver {
    /// Services run on that runtime; the driver is to be run on the current one, which
    /// may be another.
    pub(crate) fn new(crew: Crew, services: &Handle) -> Self {
        panics::watch();
        let (tell, told) = unbounded_channel();
        let clock = {
            let _theirs = services.enter();
            root_clock()
        };
        let asker = Asker::new(services);
        let restarts = |index: usize| {
            let plan: &Planned = &crew.plan.services[index];
            matches!(plan.on_failure, OnFailure::Restart(_)).then(|| crew.handle.clone())
        };
        let members = crew.services.into_iter().enumerate().map(|(index, service)| Member {
            lives: life::task(index, service, restarts(index), tell.clone(), services),
            stop: StopSource::with_clock(clock.clone()).noting_drain(),
            abort: Source::new(),
            abort_cleanup: Source::new(),
            asking: None,
            has_begun: false,
            ledger: Ledger::default(),
            is_late: false,
        });
        let members = members.collect();
        Self {
            services: services.clone(),
            crew: members,
            supervisor: Supervisor::new(crew.plan, random()),
            names: crew.names,
            handle: crew.handle,
            listeners: Some(Listeners::start(crew.listeners)),
            news: Vec::new(),
            asker,
            told,
            tell,
            began: Instant::now(),
            clock,
            cause: None,
            has_told_cause: false,
            told_next: None,
            forced: None,
            asked: None,
            has_ended: false,
        }
    }

    pub(crate) fn tell(&self) -> Tell {
        self.tell.clone()
    }

    /// To the end of the host.
    pub(crate) async fn drive(mut self) -> Report {
        let (asked, tell) = (self.handle.asked(), self.tell.clone());
        if let Some(cancelled) = asked.cancellation() {
            // Asked before it began, it begins nothing.
            self.asked_before(cancelled).await;
        } else {
            self.asked = Some(asked.on_cancel(move |cancelled| stop(&tell, cancelled)));
        }
        self.handle_one(Event::Begin);
        while self.supervisor.phase() != Phase::Stopped {
            let heard = match self.supervisor.next() {
                Some(next) => timeout_at(self.at(next), self.told.recv()).await.ok(),
                None => Some(self.told.recv().await),
            };
            match heard.flatten() {
                Some(heard) => self.hear(heard),
                None => self.handle_one(Event::Time),
            }
        }
        self.report().await
    }

    async fn asked_before(&mut self, cancelled: Cancelled) {
        let (why, tell) = (cancelled.clone(), self.tell.clone());
        // Its words are foreign code.
        self.asker.add(move || stop(&tell, &why));
        self.asker.begin();
        let heard = timeout(PATIENCE, self.told.recv()).await.ok().flatten();
        self.hear(heard.unwrap_or_else(|| Heard::Stop(cancelled, Arc::default())));
    }

    async fn report(&mut self) -> Report {
        // What came in the same moment as the end.
        while let Ok(heard) = self.told.try_recv() {
            self.hear(heard);
        }
        self.has_ended = true;
        let took = self.now();
        self.drop_services().await;
        if let Some(listeners) = self.listeners.take() {
            let end = listeners.end();
            let ending = tokio::task::spawn_blocking(move || end(PATIENCE));
            // Where no thread can be had it may never begin.
            let _ = timeout(PATIENCE, ending).await;
        }
        let ledgers: Vec<_> =
            self.crew.iter_mut().map(|member| mem::take(&mut member.ledger)).collect();
        // All that may hold something foreign: callbacks that were never called, details of
        // causes, and what who was given up may still tell.
        let told = mem::replace(&mut self.told, unbounded_channel().1);
        let handle = mem::replace(&mut self.handle, HostHandle::new());
        let (crew, asked, cause) =
            (mem::take(&mut self.crew), self.asked.take(), self.cause.take());
        self.bury((told, handle, crew, asked, cause.clone()));
        self.asker.begin();
        Report::new(
            &self.supervisor,
            &self.names,
            ledgers,
            cause,
            self.began.into_std(),
            took,
            self.forced,
        )
    }

    /// Of those that might have been started again the values are still there, or were until
    /// a moment ago.
    async fn drop_services(&mut self) {
        // Behind one that blocks the runtime nobody's task is polled, and nobody is to blame.
        let is_blocked = self.supervisor.services().iter().any(Service::is_lost);
        let until = Instant::now() + if is_blocked { LEAVE / 10 } else { LEAVE };
        for index in 0..self.crew.len() {
            let is_there = timeout_at(until, self.crew[index].lives.end()).await.is_err();
            let has_begun = self.supervisor.services()[index].times.begun.is_some();
            if is_there && has_begun && !is_blocked {
                self.supervisor.give_up(index);
            }
        }
    }

    /// To be dropped where that may block.
    fn bury(&mut self, foreign: impl Send + 'static) {
        self.asker.add(move || drop(foreign));
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn at(&self, time: Duration) -> Instant {
        // Beyond what can be told nobody waits.
        let far = || self.began + Duration::from_secs(30 * 365 * 24 * 3600);
        self.began.checked_add(time).unwrap_or_else(far)
    }

    fn hear(&mut self, heard: Heard) {
        let event = match heard {
            Heard::Begun(index) => {
                self.crew[index].has_begun = true;
                if self.crew[index].stop.drain_noted() {
                    return;
                }
                // If it was asked to drain before it could look.
                Event::NothingToDrain(index)
            }
            Heard::Did(index, stage, Ended { how, failure }) => {
                if let Some(told) = failure {
                    self.failed(index, told);
                }
                Event::Did(index, stage, how)
            }
            Heard::Stop(cancelled, words) => {
                self.cause.get_or_insert((cancelled, words));
                Event::Stop
            }
            Heard::Force(signal) => {
                self.forced.get_or_insert(signal);
                self.news(News::Forced { signal });
                // If the first one is on its way yet.
                let asked = || Cause::new(Reason::Shutdown).message(signal.name());
                let cause = || own_cause(asked(), signal.name());
                self.cause = self.cause.take().or_else(cause);
                Event::Force
            }
        };
        self.handle_one(event);
    }

    fn handle_one(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let before: Vec<_> = self.supervisor.services().iter().map(|s| s.state).collect();
            let actions = self.supervisor.handle(self.now(), event);
            // Before the cause, which may be one of them.
            actions.iter().for_each(|action| self.note_failure(*action));
            if self.cause.is_none() {
                self.cause = self.why();
            }
            // First: whoever is told, or asked, may look at once.
            self.set_status();
            self.tell_event(event, &before);
            for action in &actions {
                events.extend(self.act(*action));
            }
        }
        self.tell_news();
        self.asker.begin();
    }

    fn note_failure(&mut self, action: Action) {
        match action {
            Action::StartedLate(index) => {
                self.crew[index].is_late = true;
                let time = self.supervisor.plan().services[index].start_timeout;
                self.failed(index, Failure::StartedLate(time).into());
            }
            Action::EndedEarly(index) => self.failed(index, Failure::EndedEarly.into()),
            _ => {}
        }
    }

    /// Does it, and gives what comes of it at once.
    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Start(index) => {
                self.news(News::Starting { service: self.name(index) });
                self.start(index);
            }
            Action::Drain(index) => {
                let member = &self.crew[index];
                match (member.stop.drain_noted(), member.has_begun) {
                    (true, _) => {}
                    (false, true) => return Some(Event::NothingToDrain(index)),
                    (false, false) => self.look_soon(index),
                }
                self.news(News::AskedToDrain { service: self.name(index) });
                let (stop, cause) = (self.crew[index].stop.clone(), self.cause_for(index));
                self.ask(index, move || stop.drain_with(cause));
            }
            Action::Stop(index) => {
                self.news(News::AskedToStop { service: self.name(index) });
                let (stop, cause) = (self.crew[index].stop.clone(), self.cause_for(index));
                self.ask(index, move || stop.cancel_with(cause));
            }
            Action::Abort(index, stage) => {
                let (asked_for, in_cleanup) = (self.asked_for(index), stage == Stage::Cleanup);
                self.news(News::Aborted { service: self.name(index), asked_for, in_cleanup });
                let member = &mut self.crew[index];
                if in_cleanup {
                    member.abort_cleanup.cancel();
                } else {
                    ask::abort_after(member.asking.take(), member.abort.clone());
                }
            }
            Action::Rest(index, pause) => {
                self.news(News::Resting { service: self.name(index), pause });
            }
            Action::Phase(phase) => self.news(News::Phase(phase)),
            Action::StartedLate(_) | Action::EndedEarly(_) | Action::Finish => {}
        }
        None
    }

    fn start(&mut self, index: usize) {
        let member = &mut self.crew[index];
        let stop = StopSource::with_clock(self.clock.clone()).noting_drain();
        let old = mem::replace(&mut member.stop, stop);
        member.abort = Source::new();
        member.abort_cleanup = Source::new();
        member.asking = None;
        member.has_begun = false;
        member.is_late = false;
        let stop = member.stop.stop();
        let (abort, abort_cleanup) = (member.abort.token(), member.abort_cleanup.token());
        member.lives.begin(Life { stop, abort, abort_cleanup });
        // With callbacks that were never called.
        self.bury(old);
    }

    fn ask(&mut self, index: usize, request: impl FnOnce() -> bool + Send + 'static) {
        self.crew[index].asking = Some(self.asker.add(move || {
            // Nobody else asks.
            let _first = request();
        }));
    }

    /// It was asked to drain as soon as it had started. One that does not give its thread
    /// back looks in vain, or never.
    fn look_soon(&self, index: usize) {
        let tell = self.tell.clone();
        tokio::spawn(async move {
            sleep(MOMENT).await;
            let _ = tell.send(Heard::Begun(index));
        });
    }

    fn failed(&mut self, index: usize, told: InWords) {
        let service = self.name(index);
        self.news(News::Failed { service, failure: Arc::clone(&told.words) });
        if let Some(forgotten) = self.crew[index].ledger.push(told.failure, told.words) {
            self.bury(forgotten);
        }
    }

    /// Why the host stops, where nobody asked it to.
    fn why(&self) -> Option<(Cancelled, Arc<str>)> {
        let said = match self.supervisor.stopping()?.why {
            Why::Asked => return None,
            Why::Failed(index) => {
                let failed = format!("service `{}` failed", self.names[index]);
                let because = self.crew[index].ledger.last();
                let said = because.map(|words| format!("{failed}: {words}"));
                let cause = Cause::new(Reason::Shutdown).message(said.unwrap_or(failed.clone()));
                // Whoever is told of it was told of the failure just now.
                return own_cause(cause, &failed);
            }
            Why::Ended(index) => format!("service `{}` has ended", self.names[index]),
            Why::NothingLeft => "every service has ended".to_owned(),
        };
        own_cause(Cause::new(Reason::Shutdown).message(said.clone()), &said)
    }

    fn cause_for(&self, index: usize) -> Cause {
        let member = &self.crew[index];
        match &self.cause {
            Some((cause, _)) if !member.is_late => cause::again(cause),
            None if !member.is_late => Cause::new(Reason::Shutdown),
            _ => {
                let time = self.supervisor.plan().services[index].start_timeout;
                Cause::new(Reason::Deadline).message(Failure::StartedLate(time).to_string())
            }
        }
    }
}

/// Whoever embeds a host may drop it: everybody is asked, and aborted.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let dropped = Token::cancelled_with(Reason::Dropped).cancellation();
        let waits_for = Arc::new([]);
        self.handle.set(Status { phase: Phase::Stopped, waits_for, cause: dropped });
        let ask = |member: &Member| {
            let stop = member.stop.clone();
            let make: Box<dyn FnOnce() + Send> = Box::new(move || {
                stop.cancel_with(Reason::Dropped);
            });
            (make, [member.abort.clone(), member.abort_cleanup.clone()])
        };
        ask::ask_and_abort(&self.services, self.crew.iter().map(ask).collect());
    }
}

/// What is heard when a token is cancelled, from whatever thread.
pub(crate) fn stop(tell: &Tell, cancelled: &Cancelled) {
    let words = panics::noted(|| cancelled.detail().map(ToString::to_string));
    let words = words.unwrap_or_else(|_| Some("a detail whose words panic".to_owned()));
    let _ = tell.send(Heard::Stop(cancelled.clone(), words.unwrap_or_default().into()));
}

fn own_cause(cause: Cause, words: &str) -> Option<(Cancelled, Arc<str>)> {
    Some((Token::cancelled_with(cause).cancellation()?, words.into()))
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(StdInstant::now())
}
