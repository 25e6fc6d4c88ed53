//! A group in a task of another group.
//!
//! When it is dropped while somebody is still in it, blocking work that ignores its
//! token, a shield, a task that has not been dropped yet, the outer group takes it
//! over: it has a ticket there until it is empty. So the outer one waits for it, and
//! names who is in it.
//!
//! Locks are taken from the outside in: whoever asks an outer group what is inside
//! holds its lock, and an inner one tells the outer without holding its own.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ended::TaskId;
use super::outcome::{Outcome, TaskPanic};
use super::shared::{Shared, Ticket};
use super::slots::Kind;
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
}

/// Held while the group waits.
pub(crate) trait Shelter: Send {
    fn over(self: Box<Self>, place: &'static Location<'static>, lost: Lost);
}

/// What nobody else will hear of.
pub(crate) enum Lost {
    Nothing,
    /// The bound was over before the work was.
    Overdue,
    Panicked(TaskPanic),
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
        let clock = clock::root();
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
}

fn far_from(now: Instant) -> Instant {
    now + Duration::from_secs(u32::MAX.into())
}

impl<T: Send + 'static> Shelter for Ticket<T> {
    fn over(self: Box<Self>, place: &'static Location<'static>, lost: Lost) {
        let outcome = match lost {
            Lost::Nothing => return self.leave(),
            lost => match self.shared.heir() {
                // Nobody will ask here.
                Some(outer) => {
                    outer.shelter(place, Duration::ZERO).over(place, lost);
                    return self.leave();
                }
                None => lost,
            },
        };
        match outcome {
            Lost::Panicked(panic) => self.end(Outcome::Panicked(panic)),
            _ => self.end(Outcome::Overdue),
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
