//! What a group and its tasks share.
//!
//! Every task has a slot from its spawn to its end, and a [`Ticket`] for it. The
//! ticket is given back exactly once: by the task, with its outcome, or by the
//! ticket's own drop, which means that the task was dropped where it stood. So
//! nothing is lost, whoever drops what: the group's abort, a runtime that shuts
//! down, a pool that never began the work.
//!
//! A task's future is dropped before its ticket is given back: when a group is
//! empty, no destructor of its tasks is left to run.
//!
//! Under the lock no foreign code runs: names, outcomes and wakers are made
//! before it and dropped after it. What panics in foreign code keeps no slot.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use desist::{Reason, Registration, Source};
use tokio::sync::{Notify, Semaphore};

use super::ended::{Ended, Sibling, TaskId};
use super::nested::{Keeper, Lost, Nested, Outers, Shelter};
use super::outcome::Outcome;
use super::report::Straggler;
use super::settings::{OnFailure, Settings};
use super::slots::{Kind, Slots, Task};
use super::task::caught;
use super::ticket::Ticket;
use crate::current::{Ambient, ambient};
use crate::stop::{Stop, StopSource};
use crate::trace;

pub(super) struct Shared<T> {
    pub(super) source: StopSource,
    /// Whoever is still there is dropped.
    pub(super) abort: Source,
    /// Strikes off what still waits for a thread, from the first such work on.
    striking: OnceLock<Registration>,
    /// What is around each task.
    pub(super) ambient: Arc<Ambient>,
    /// What was around the group when it was made, and is above it.
    pub(super) base: Option<Arc<Ambient>>,
    /// The groups in whose tasks it was made.
    pub(super) outers: Option<Arc<Outers>>,
    /// Where the group was made.
    pub(super) place: &'static Location<'static>,
    /// Who may run at once.
    pub(super) permits: Option<Arc<Semaphore>>,
    on_failure: OnFailure,
    keep_finished: bool,
    state: Mutex<State<T>>,
    /// The group is empty, or somebody asked for news and there is some.
    changed: Notify,
}

struct State<T> {
    slots: Slots,
    ended: VecDeque<Ended<T>>,
    /// Who waits for the next one to end, and not for all.
    curious: usize,
    /// How those ended that were late at some stop, by now.
    late: HashMap<TaskId, Option<LateEnd>>,
    /// Nobody will ask: the group is gone.
    deserted: bool,
    /// The outer group waits for those who are left.
    taken_over: Option<Box<dyn Shelter>>,
}

/// How long after the request, and how.
pub(super) type LateEnd = (Option<Duration>, &'static str);

impl<T: Send + 'static> Shared<T> {
    pub(super) fn new(
        source: StopSource,
        base: Option<Arc<Ambient>>,
        outers: Option<Arc<Outers>>,
        place: &'static Location<'static>,
        settings: Settings,
    ) -> Arc<Self> {
        let shared = Arc::new_cyclic(|this: &Weak<Self>| {
            let keeper: Weak<dyn Keeper> = Weak::<Self>::clone(this);
            let token = source.as_stop().token().clone();
            Self {
                ambient: Ambient::of(vec![token], Some(keeper), true),
                abort: Source::new(),
                striking: OnceLock::new(),
                source,
                base,
                outers,
                place,
                permits: settings
                    .max_concurrent
                    .map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
                on_failure: settings.on_failure,
                keep_finished: settings.keep_finished,
                state: Mutex::new(State {
                    slots: Slots::NEW,
                    ended: VecDeque::new(),
                    curious: 0,
                    late: HashMap::new(),
                    deserted: false,
                    taken_over: None,
                }),
                changed: Notify::new(),
            }
        });
        shared.traces_its_request();
        shared
    }

    /// Whoever listens by then is told that the group was asked, unless it is empty.
    fn traces_its_request(self: &Arc<Self>) {
        if cfg!(feature = "tracing") {
            let this = Arc::downgrade(self);
            let registration = self.stop().on_cancel(move |cancelled| {
                if let Some(this) = this.upgrade().filter(|this| this.live() > 0) {
                    trace::group_requested(this.place, this.live(), this.stop(), cancelled);
                }
            });
            registration.detach();
        }
    }

    /// What is around a task that is spawned here: the group, and whatever is
    /// around whoever spawns it.
    pub(super) fn ambient_here(&self) -> Arc<Ambient> {
        let Some(here) = ambient() else { return Arc::clone(&self.ambient) };
        if here.of_group && self.is_around(&here) {
            // One of our tasks spawns another: whatever was joined is joined already.
            return here;
        }
        let above = self.base.as_ref().map_or(&[][..], |base| base.parts());
        self.ambient.joined(here.parts().iter().filter(|part| !above.contains(part)))
    }

    /// Whether that is around one of our tasks.
    fn is_around(&self, here: &Ambient) -> bool {
        self.ambient.keeper.as_ref().is_some_and(|own| here.is_kept_by(own))
    }

    pub(super) fn stop(&self) -> &Stop {
        self.source.as_stop()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(
        self: &Arc<Self>,
        name: Cow<'static, str>,
        place: &'static Location<'static>,
        kind: Kind,
    ) -> Ticket<T> {
        let (slot, id) = self.state().slots.take(name, place, kind);
        Ticket { shared: Arc::clone(self), slot, id, given_back: false }
    }

    /// How long ago the group was asked to stop.
    pub(super) fn since_asked(&self) -> Option<Duration> {
        let asked = self.stop().cancellation()?;
        // By the clock that the request was made on, whichever has the grace.
        Some(self.stop().clock().now().saturating_duration_since(asked.at()))
    }

    pub(super) fn end(&self, slot: usize, id: TaskId, outcome: Outcome<T>) {
        // A clock, a listener of events: what panics there keeps nobody.
        let after = caught(|| self.since_asked()).unwrap_or_default();
        if outcome.is_failure() {
            self.on_failure(slot, id, &outcome);
        }
        let traced = after.is_some() && caught(trace::hears_stops).unwrap_or_default();
        let finished = matches!(outcome, Outcome::Finished(_));
        let word = outcome.word();
        // While it has its slot: so the outer group is told before this one is empty.
        let outcome = self.passed_on(slot, id, outcome);
        let mut outcome = Some(outcome);
        let (mut name_for_trace, mut late) = (None, None);
        let mut state = self.state();
        // Struck off while it waited for a thread, it has its outcome.
        if let Some(Task { name, place, .. }) = state.slots.give_back(slot, id) {
            name_for_trace = traced.then(|| (name.clone(), place));
            state.note_late(id, after, word);
            let unwanted = finished && !self.keep_finished;
            if state.deserted {
                // It became so just now; else it is passed on already.
                late = outcome.take().map(|outcome| (name, place, outcome));
            } else if !unwanted {
                let outcome = outcome.take();
                state.ended.extend(outcome.map(|outcome| Ended {
                    id,
                    name,
                    place,
                    after,
                    outcome,
                }));
            }
        }
        self.tell(state);
        if let (Some((name, place)), Some(asked)) = (name_for_trace, self.stop().cancellation()) {
            trace::stopped(&name, place, word, &asked, after.unwrap_or_default());
        }
        if let (Some((name, place, outcome)), Some(outer)) = (late, self.outer()) {
            outer.inherit(name, place, Lost::of(outcome));
        }
        // What nobody asks for.
        drop(outcome);
    }

    /// A failure in a group that is gone is the outer one's to tell.
    fn passed_on(&self, slot: usize, id: TaskId, outcome: Outcome<T>) -> Outcome<T> {
        if !outcome.is_failure() {
            return outcome;
        }
        let mut state = self.state();
        let is_deserted = state.deserted;
        let task = state.slots.get_mut(slot, id).map(|task| (task.name.clone(), task.place));
        drop(state);
        match (task, self.outer()) {
            (Some((name, place)), Some(outer)) if is_deserted => {
                outer.inherit(name, place, Lost::of(outcome));
                Outcome::Aborted
            }
            _ => outcome,
        }
    }

    /// Foreign code runs in here, of whoever hears of the cancel; its panics, which
    /// the hook has heard, must not keep the slot.
    fn on_failure(&self, slot: usize, id: TaskId, outcome: &Outcome<T>) {
        if self.on_failure == OnFailure::CancelSiblings && !self.stop().is_cancelled() {
            let name = self.state().slots.get_mut(slot, id).map(|task| task.name.clone());
            let name = name.unwrap_or("?".into());
            let _heard = caught(|| {
                let cause = Reason::SiblingFailed.with(Sibling::new(name, outcome));
                self.source.cancel_with(cause)
            });
        }
    }

    /// Ends what has no outcome.
    pub(super) fn leave(&self, slot: usize, id: TaskId) {
        let after = caught(|| self.since_asked()).unwrap_or_default();
        let mut state = self.state();
        let left = state.slots.give_back(slot, id);
        state.note_late(id, after, "ended");
        self.tell(state);
        drop(left);
    }

    /// A task has ended: whoever waits for that looks again.
    fn tell(&self, mut state: MutexGuard<'_, State<T>>) {
        let is_empty = state.slots.live() == 0;
        let tell = is_empty || state.curious > 0;
        let is_taken_over = state.taken_over.is_some();
        let over = if is_empty { state.taken_over.take() } else { None };
        drop(state);
        if tell {
            self.changed.notify_waiters();
        }
        if let Some(over) = over {
            over.over(Lost::Nothing);
        } else if is_taken_over {
            // Whoever waits there waits for some of those here.
            if let Some(outer) = self.outer() {
                outer.news();
            }
        }
    }

    /// Of a group inside.
    pub(super) fn tell_news(&self) {
        self.tell(self.state());
    }

    /// Blocking work has got its thread. False if it shall not begin.
    pub(super) fn begin(&self, slot: usize, id: TaskId) -> bool {
        let mut state = self.state();
        let Some(task) = state.slots.get_mut(slot, id) else { return false };
        task.kind = Kind::Blocking;
        true
    }

    // What the group asks.

    pub(super) fn live(&self) -> usize {
        self.state().slots.live()
    }

    pub(super) fn take_ended(&self) -> Vec<Ended<T>> {
        mem::take(&mut self.state().ended).into()
    }

    /// The tasks that are late, as `f` sees them: how they end is noted from now
    /// on, whoever asks for their outcomes.
    pub(super) fn survey_late(&self, f: impl Fn(&Task) -> Option<Straggler>) -> Vec<Straggler> {
        let mut state = self.state();
        let late: Vec<_> = state.slots.tasks().filter_map(f).collect();
        state.late.extend(late.iter().map(|straggler| (straggler.id(), None)));
        late
    }

    /// The name to report a task by, as it is now; `None`: it has ended.
    pub(super) fn label(&self, id: TaskId) -> Option<Cow<'static, str>> {
        self.state().slots.tasks().find(|task| task.id == id).map(Task::label)
    }

    /// How a task that was late ended; `None`: it has not.
    pub(super) fn late_end(&self, id: TaskId) -> Option<LateEnd> {
        self.state().late.get(&id).copied().flatten()
    }

    /// Whether nobody was ever here, and nobody else can come.
    pub(super) fn is_new(self: &Arc<Self>) -> bool {
        self.state().slots.are_new() && Arc::strong_count(self) == 1
    }

    /// Those that have ended, and those that still run.
    pub(super) fn take_all(&self) -> Vec<Ended<T>> {
        let mut state = self.state();
        let mut all: Vec<_> = mem::take(&mut state.ended).into();
        all.extend(state.slots.tasks().map(|task| Ended {
            id: task.id,
            name: task.label(),
            place: task.place,
            after: None,
            outcome: Outcome::StillRunning,
        }));
        all
    }

    /// The tasks that have not ended, as `f` sees them.
    pub(super) fn survey<R>(&self, f: impl FnMut(&Task) -> Option<R>) -> Vec<R> {
        self.state().slots.tasks().filter_map(f).collect()
    }

    /// From now on blocking work that waits for a thread is over as soon as the
    /// group is cancelled, not when its pool comes to it.
    pub(super) fn strikes_queued(self: &Arc<Self>) {
        self.striking.get_or_init(|| {
            let this = Arc::downgrade(self);
            self.stop().on_cancel(move |_| {
                if let Some(this) = this.upgrade() {
                    this.strike_queued();
                }
            })
        });
    }

    /// Blocking work that still waits for a thread shall not begin.
    pub(super) fn strike_queued(&self) {
        let Some(cancelled) = self.stop().cancellation() else { return };
        let after = self.since_asked();
        let mut state = self.state();
        for (slot, id) in state.slots.queued() {
            let Some(Task { name, place, .. }) = state.slots.give_back(slot, id) else { continue };
            let outcome = Outcome::CancelledBeforeStart(cancelled.clone());
            state.note_late(id, after, outcome.word());
            if !state.deserted {
                state.ended.push_back(Ended { id, name, place, after, outcome });
            }
        }
        self.tell(state);
    }

    /// Waits until at most those are there that `spared` lets stay.
    pub(super) async fn until_only(&self, spared: impl Fn(&Task) -> bool) {
        let _curious = Curious::of(&self.state);
        self.until(|state| state.slots.tasks().all(&spared).then_some(())).await;
    }

    /// # Panics
    ///
    /// In a task of the group, which would wait for itself.
    pub(super) async fn until_empty(&self) {
        let is_inside = ambient().is_some_and(|here| self.is_around(&here));
        assert!(
            !is_inside,
            "a task of a group waits for all tasks of the group, and so for itself; wait for it \
             where the group was made, or take next()"
        );
        self.until(|state| (state.slots.live() == 0).then_some(())).await;
    }

    /// The next that ends; `None` when there is none left.
    pub(super) async fn next(&self) -> Option<Ended<T>> {
        let _curious = Curious::of(&self.state);
        self.until(|state| match state.ended.pop_front() {
            None if state.slots.live() > 0 => None,
            ended => Some(ended),
        })
        .await
    }

    /// Looks again whenever it is told, until there is an answer. It listens before
    /// it looks, so nothing is missed in between.
    async fn until<R>(&self, mut answer: impl FnMut(&mut State<T>) -> Option<R>) -> R {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let answered = answer(&mut self.state());
            if let Some(answered) = answered {
                return answered;
            }
            changed.await;
        }
    }

    /// The group is gone: nobody will ask, and nobody may stay.
    #[track_caller]
    pub(super) fn desert(self: &Arc<Self>) {
        let mut state = self.state();
        state.deserted = true;
        let unasked = mem::take(&mut state.ended);
        let is_empty = state.slots.live() == 0;
        drop(state);
        // Whatever a callback does in here, they are aborted, and waited for.
        let cancelled = caught(|| match is_empty {
            true => self.source.cancel_untold(Reason::Dropped),
            false => self.source.cancel_with(Reason::Dropped),
        });
        self.abort.cancel();
        self.hand_over(unasked);
        if let (Err(panic), false) = (cancelled, thread::panicking()) {
            panic.resume();
        }
    }

    /// Whoever is left, and whatever failed and was not asked for, is the outer group's.
    fn hand_over(self: &Arc<Self>, unasked: VecDeque<Ended<T>>) {
        let Some(outer) = self.outer() else { return };
        if self.live() > 0 {
            let group: Arc<dyn Nested> = Arc::<Self>::clone(self);
            let taken_over = Arc::clone(&outer).take_over(self.place, group);
            let mut state = self.state();
            state.taken_over = Some(taken_over);
            // The last one may have ended meanwhile.
            self.tell(state);
        }
        for Ended { name, place, outcome, .. } in unasked {
            Arc::clone(&outer).inherit(name, place, Lost::of(outcome));
        }
    }

    /// The nearest group around this one.
    fn outer(&self) -> Option<Arc<dyn Keeper>> {
        self.outers.as_ref().and_then(|outers| outers.nearest())
    }

    pub(super) fn is_deserted_and_empty(&self) -> bool {
        let state = self.state();
        state.deserted && state.slots.live() == 0
    }
}

impl<T> State<T> {
    fn note_late(&mut self, id: TaskId, after: Option<Duration>, how: &'static str) {
        if let Some(end) = self.late.get_mut(&id) {
            *end = Some((after, how));
        }
    }
}

/// Somebody waits for the next task to end.
struct Curious<'a, T>(&'a Mutex<State<T>>);

impl<'a, T> Curious<'a, T> {
    fn of(state: &'a Mutex<State<T>>) -> Self {
        state.lock().unwrap_or_else(PoisonError::into_inner).curious += 1;
        Self(state)
    }
}

impl<T> Drop for Curious<'_, T> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).curious -= 1;
    }
}
