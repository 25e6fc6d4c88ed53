//! A group in a task of another group.
//!
//! When it is dropped while somebody is still in it, blocking work that ignores its
//! token, a shield, a task that has not been dropped yet, the outer group takes it
//! over: it has a ticket there until it is empty, and passes on every end. So the
//! outer one waits for it, and names who is in it. What failed in it and can be asked
//! for by nobody any more is an outcome of the outer one.
//!
//! The outer group is the nearest one that is still there: a group may be carried out
//! of the one in whose task it was made.
//!
//! Locks are taken from the outside in: whoever asks an outer group what is inside
//! holds its lock, and an inner one tells the outer without holding its own.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::ended::TaskId;
use super::outcome::{BoxError, Outcome, TaskPanic};
use super::shared::Shared;
use super::slots::Kind;
use super::ticket::Ticket;
use crate::clock;

/// A group, whatever its tasks give, as those see it that are inside.
pub(crate) trait Keeper: Send + Sync {
    /// Has something to wait for until its bound.
    fn shelter(
        self: Arc<Self>,
        place: &'static Location<'static>,
        bound: Duration,
    ) -> Box<dyn Shelter>;

    /// Takes a group over that was made in a task of this one.
    fn take_over(
        self: Arc<Self>,
        place: &'static Location<'static>,
        group: Arc<dyn Nested>,
    ) -> Box<dyn Shelter>;

    /// Has an outcome that nobody else will hear of.
    fn inherit(
        self: Arc<Self>,
        name: Cow<'static, str>,
        place: &'static Location<'static>,
        lost: Lost,
    );

    /// Something has changed in a group that was taken over.
    fn news(&self);

    /// Nobody is in it, and nobody will ask.
    fn is_over(&self) -> bool;

    fn outers(&self) -> Option<Arc<Outers>>;
}

/// Held while the group waits.
pub(crate) trait Shelter: Send {
    fn over(self: Box<Self>, lost: Lost);
}

/// What nobody else will hear of.
pub(crate) enum Lost {
    Nothing,
    /// The bound was over before the work was.
    Overdue,
    RuntimeGone,
    Failed(BoxError),
    Panicked(TaskPanic),
}

impl Lost {
    pub(super) fn of<T>(outcome: Outcome<T>) -> Self {
        match outcome {
            Outcome::Failed(error) => Self::Failed(error),
            Outcome::Panicked(panic) => Self::Panicked(panic),
            Outcome::RuntimeGone => Self::RuntimeGone,
            Outcome::Overdue => Self::Overdue,
            _ => Self::Nothing,
        }
    }

    fn outcome<T>(self) -> Option<Outcome<T>> {
        Some(match self {
            Self::Nothing => return None,
            Self::Overdue => Outcome::Overdue,
            Self::RuntimeGone => Outcome::RuntimeGone,
            Self::Failed(error) => Outcome::Failed(error),
            Self::Panicked(panic) => Outcome::Panicked(panic),
        })
    }
}

/// The groups around one, from the nearest.
pub(crate) struct Outers {
    keeper: Weak<dyn Keeper>,
    above: Option<Arc<Self>>,
}

impl Outers {
    /// Those around whatever has that keeper.
    pub(crate) fn from(keeper: &Weak<dyn Keeper>) -> Arc<Self> {
        let above = keeper.upgrade().and_then(|keeper| keeper.outers());
        Arc::new(Self { keeper: Weak::clone(keeper), above })
    }

    /// The nearest that is there.
    pub(super) fn nearest(&self) -> Option<Arc<dyn Keeper>> {
        let mut outers = Some(self);
        while let Some(outer) = outers {
            let keeper = outer.keeper.upgrade().filter(|keeper| !keeper.is_over());
            if keeper.is_some() {
                return keeper;
            }
            outers = outer.above.as_deref();
        }
        None
    }
}

/// A group that was taken over, as the outer one sees it.
pub(crate) trait Nested: Send + Sync {
    fn names(&self) -> Vec<Cow<'static, str>>;
    fn has_shields(&self) -> bool;
    fn can_be_aborted(&self) -> bool;
    fn is_blocking(&self) -> bool;
    fn shields(&self, found: &mut Vec<ShieldLeft>);
}

/// A shield that is not over: which, and how much of its bound is left.
pub(crate) struct ShieldLeft {
    pub(crate) which: (usize, TaskId),
    pub(crate) left: Duration,
}

impl<T: Send + 'static> Keeper for Shared<T> {
    fn shelter(
        self: Arc<Self>,
        place: &'static Location<'static>,
        bound: Duration,
    ) -> Box<dyn Shelter> {
        let clock = clock::root_clock();
        let now = clock.now();
        // Longer than there is time: as long as there is.
        let until = now.checked_add(bound).unwrap_or_else(|| far_from(now));
        Box::new(self.enter("shield".into(), place, Kind::Shield { until, clock }))
    }

    fn take_over(
        self: Arc<Self>,
        place: &'static Location<'static>,
        group: Arc<dyn Nested>,
    ) -> Box<dyn Shelter> {
        Box::new(self.enter("group".into(), place, Kind::Group(group)))
    }

    fn inherit(
        self: Arc<Self>,
        name: Cow<'static, str>,
        place: &'static Location<'static>,
        lost: Lost,
    ) {
        if let Some(outcome) = lost.outcome() {
            self.enter(name, place, Kind::Async).end(outcome);
        }
    }

    fn news(&self) {
        self.tell_news();
    }

    fn is_over(&self) -> bool {
        self.is_deserted_and_empty()
    }

    fn outers(&self) -> Option<Arc<Outers>> {
        self.outers.clone()
    }
}

fn far_from(now: Instant) -> Instant {
    now + Duration::from_secs(u32::MAX.into())
}

impl<T: Send + 'static> Shelter for Ticket<T> {
    fn over(self: Box<Self>, lost: Lost) {
        match lost.outcome() {
            Some(outcome) => self.end(outcome),
            None => self.leave(),
        }
    }
}

impl<T: Send + 'static> Nested for Shared<T> {
    fn names(&self) -> Vec<Cow<'static, str>> {
        self.survey(|task| Some(task.label()))
    }

    fn has_shields(&self) -> bool {
        !self.survey(|task| task.has_shields().then_some(())).is_empty()
    }

    fn can_be_aborted(&self) -> bool {
        !self.survey(|task| task.can_be_aborted().then_some(())).is_empty()
    }

    fn is_blocking(&self) -> bool {
        !self.survey(|task| task.is_blocking().then_some(())).is_empty()
    }

    fn shields(&self, found: &mut Vec<ShieldLeft>) {
        let group = std::ptr::from_ref(self).addr();
        self.survey(|task| {
            match &task.kind {
                Kind::Shield { until, clock } => found.push(ShieldLeft {
                    which: (group, task.id),
                    left: until.saturating_duration_since(clock.now()),
                }),
                Kind::Group(group) => group.shields(found),
                _ => {}
            }
            None::<()>
        });
    }
}
