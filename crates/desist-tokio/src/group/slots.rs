//! Who is in a group: a slot for each task, from its spawn to its end.

use std::borrow::Cow;
use std::fmt::Write;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

use desist::Clock;

use super::ended::TaskId;
use super::nested::Nested;

pub(super) struct Slots {
    slots: Vec<Slot>,
    /// The first of the free ones.
    free: usize,
    live: usize,
    taken: u64,
}

enum Slot {
    Free { next: usize },
    Taken(Task),
}

/// A task that has not ended.
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    pub(super) place: &'static Location<'static>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A future: it can be dropped.
    Async,
    /// Blocking work that waits for a thread.
    Queued,
    /// Blocking work: nothing can end it.
    Blocking,
    /// A shield, which has a bound of its own on the clock of where it was raised,
    /// and no outcome if all goes well.
    Shield { until: Instant, clock: Clock },
    /// A group that a task had and dropped, while somebody was still in it.
    Group(Arc<dyn Nested>),
}

impl Task {
    /// The name to report it by.
    pub(super) fn label(&self) -> Cow<'static, str> {
        /// So many are named.
        const MOST: usize = 5;
        let Kind::Group(group) = &self.kind else { return self.name.clone() };
        let names = group.names();
        let mut label = String::from("group of ");
        for (place, name) in names.iter().take(MOST).enumerate() {
            let _ = write!(label, "{}{name}", if place == 0 { "" } else { ", " });
        }
        if names.len() > MOST {
            let _ = write!(label, " and {} more", names.len() - MOST);
        }
        label.into()
    }

    pub(super) fn has_shields(&self) -> bool {
        match &self.kind {
            Kind::Shield { .. } => true,
            Kind::Group(group) => group.has_shields(),
            _ => false,
        }
    }

    /// An abort ends it.
    pub(super) fn can_be_aborted(&self) -> bool {
        match &self.kind {
            Kind::Async => true,
            Kind::Group(group) => group.can_be_aborted(),
            _ => false,
        }
    }

    /// Nothing can end it.
    pub(super) fn is_blocking(&self) -> bool {
        match &self.kind {
            Kind::Blocking => true,
            Kind::Group(group) => group.is_blocking(),
            _ => false,
        }
    }
}

impl Slots {
    pub(super) const NEW: Self = Self { slots: Vec::new(), free: usize::MAX, live: 0, taken: 0 };

    /// The slot of a new task, and its number.
    pub(super) fn take(
        &mut self,
        name: Cow<'static, str>,
        place: &'static Location<'static>,
        kind: Kind,
    ) -> (usize, TaskId) {
        let id = TaskId(self.taken);
        self.taken += 1;
        self.live += 1;
        let taken = Slot::Taken(Task { id, name, place, kind });
        let Some(free) = self.slots.get_mut(self.free) else {
            self.slots.push(taken);
            return (self.slots.len() - 1, id);
        };
        let slot = self.free;
        if let Slot::Free { next } = mem::replace(free, taken) {
            self.free = next;
        }
        (slot, id)
    }

    pub(super) fn get_mut(&mut self, slot: usize, id: TaskId) -> Option<&mut Task> {
        match &mut self.slots[slot] {
            Slot::Taken(task) if task.id == id => Some(task),
            _ => None,
        }
    }

    pub(super) fn give_back(&mut self, slot: usize, id: TaskId) -> Option<Task> {
        self.get_mut(slot, id)?;
        self.live -= 1;
        let free = Slot::Free { next: mem::replace(&mut self.free, slot) };
        match mem::replace(&mut self.slots[slot], free) {
            Slot::Taken(task) => Some(task),
            Slot::Free { .. } => None,
        }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Nobody was ever here.
    pub(super) fn are_new(&self) -> bool {
        self.taken == 0
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(task) => Some(task),
            Slot::Free { .. } => None,
        })
    }

    /// Blocking work that waits for a thread.
    pub(super) fn queued(&self) -> Vec<(usize, TaskId)> {
        let slots = self.slots.iter().enumerate();
        let queued = slots.filter_map(|(place, slot)| match slot {
            Slot::Taken(task) if matches!(task.kind, Kind::Queued) => Some((place, task.id)),
            _ => None,
        });
        queued.collect()
    }
}
