//! What has been seen, look by look.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::row;
use crate::protocol::Opened;
use crate::store::time;
use crate::{Operation, OperationId};

/// So long what has ended is shown, and what is gone is known.
pub(super) const LINGERS: Duration = Duration::from_secs(60);

/// One that is shown.
#[derive(Clone)]
pub(super) struct One {
    pub(super) operation: Arc<Operation>,
    /// As [`row::row`] has it.
    pub(super) text: Arc<str>,
}

impl One {
    pub(super) fn new(operation: Operation) -> Self {
        let text = row::row(&operation).into();
        Self { operation: Arc::new(operation), text }
    }
}

/// What there is, or was, of one.
pub(super) struct Row {
    /// The look that found it so.
    pub(super) turn: u64,
    pub(super) is: Is,
}

pub(super) enum Is {
    Shown(One),
    /// Since then.
    Gone(Instant),
}

/// One that was asked to stop, and has ended.
pub(super) struct Stopped {
    pub(super) turn: u64,
    pub(super) one: One,
}

/// Of which there are more than are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct More {
    pub(super) running: bool,
    pub(super) waiting: bool,
    pub(super) stopping: bool,
}

/// What a look has found.
#[derive(Default)]
pub(super) struct Found {
    /// The epoch in which it was begun: what it left out was known then.
    pub(super) epoch: u64,
    /// When it was asked for: what is found is as old as that.
    pub(super) at: Option<Instant>,
    pub(super) open: Opened,
    pub(super) more: More,
    /// Those that were asked for, whether or not they are there.
    pub(super) asked: HashSet<OperationId>,
    pub(super) read: HashMap<OperationId, One>,
}

#[derive(Default)]
pub(super) struct Seen {
    /// The last look that was good; 0: there was none.
    pub(super) turn: u64,
    /// What was gone in this one, or before, is not known any more.
    pub(super) forgotten: u64,
    pub(super) rows: HashMap<OperationId, Row>,
    pub(super) stopped: HashMap<OperationId, Stopped>,
    pub(super) more: More,
    /// The database does not answer, and did the last time at this one, by its own clock.
    pub(super) down_since: Option<SystemTime>,
    /// What the database's clock said, and when that was.
    clock: Option<(SystemTime, Instant)>,
    /// Parents that there are none of: they have been removed, and never come back.
    absent: HashSet<OperationId>,
    pub(super) is_looking: bool,
    pub(super) next: Option<Instant>,
    pub(super) readers: usize,
    /// How often the last reader has left.
    pub(super) leaves: u64,
    /// How often all of it was forgotten, because nobody was there.
    pub(super) epoch: u64,
}

impl Seen {
    /// What the database's clock says about now.
    pub(super) fn now(&self) -> SystemTime {
        self.clock.map_or_else(SystemTime::now, |(said, at)| said + at.elapsed())
    }

    /// What the database's clock said at the last look that was good, and how long ago that is.
    pub(super) fn last_good(&self) -> Option<(SystemTime, Duration)> {
        self.clock.map(|(said, at)| (said, at.elapsed()))
    }

    pub(super) fn shown(&self, id: OperationId) -> Option<&One> {
        match &self.rows.get(&id)?.is {
            Is::Shown(one) => Some(one),
            Is::Gone(_) => None,
        }
    }

    pub(super) fn all_shown(&self) -> impl Iterator<Item = &One> {
        self.rows.values().filter_map(|row| match &row.is {
            Is::Shown(one) => Some(one),
            Is::Gone(_) => None,
        })
    }

    /// Nobody is there: what is shown is not kept for nobody, and would be old for the next one.
    pub(super) fn ends(&mut self) {
        *self = Self {
            turn: self.turn,
            forgotten: self.turn,
            is_looking: self.is_looking,
            leaves: self.leaves,
            epoch: self.epoch + 1,
            ..Self::default()
        };
    }

    /// Whether there is anything to be shown.
    pub(super) fn is_good(&self) -> bool {
        self.clock.is_some()
    }

    /// Those that are to be read, for they are not known as they are now.
    pub(super) fn wanted(&self, open: &Opened) -> Vec<OperationId> {
        let is_news = |(id, version): &&(OperationId, i64)| {
            self.shown(*id).is_none_or(|known| known.operation.version != *version)
        };
        let is_new_end = |(id, _): &&(OperationId, i64)| !self.stopped.contains_key(id);
        let changed = open.running.iter().chain(&open.waiting).filter(is_news);
        let stopped = open.stopped.iter().filter(is_new_end).filter(is_news);
        let is_open: HashSet<_> = ids(open).collect();
        // It was open: is it still, and how did it end?
        let left = self
            .all_shown()
            .map(|one| &one.operation)
            .filter(|operation| !operation.state.is_finished() && !is_open.contains(&operation.id));
        let left = left.map(|operation| operation.id);
        let wanted: HashSet<_> = changed.chain(stopped).map(|(id, _)| *id).chain(left).collect();
        wanted.into_iter().collect()
    }

    /// Those right above what is shown, of which nothing is known.
    pub(super) fn above(&self, found: &Found) -> Vec<OperationId> {
        let known = |id| found.read.get(&id).or_else(|| self.shown(id));
        let mut unknown = HashSet::new();
        // Also above what was read before: the last look may not have come to the top.
        let shown = self.all_shown().map(|one| one.operation.id);
        for id in shown.chain(found.read.keys().copied()) {
            let Some(parent) = known(id).and_then(|one| one.operation.parent) else { continue };
            let was_asked = found.asked.contains(&parent) || self.absent.contains(&parent);
            if !was_asked && known(parent).is_none() {
                unknown.insert(parent);
            }
        }
        unknown.into_iter().collect()
    }

    pub(super) fn takes(&mut self, found: Found, now: Instant) {
        if found.epoch != self.epoch {
            return;
        }
        let turn = self.turn + 1;
        let clock = time(found.open.now);
        self.clock = Some((clock, found.at.unwrap_or(now)));
        self.more = found.more;
        self.takes_stopped(turn, &found);
        let kept: HashSet<_> = ids(&found.open).collect();
        let absent = found.asked.into_iter().filter(|id| !found.read.contains_key(id));
        self.absent.extend(absent);
        let mut brief = HashSet::new();
        for (id, one) in found.read {
            if self.shown(id).is_some_and(|known| known.operation.version == one.operation.version)
            {
                continue;
            }
            if self.rows.insert(id, Row { turn, is: Is::Shown(one) }).is_none() {
                brief.insert(id);
            }
        }
        let kept = self.kept(kept, clock);
        // Whoever has never been shown is not said to be gone.
        self.rows.retain(|id, _| kept.contains(id) || !brief.contains(id));
        let gone =
            |id: &OperationId, row: &Row| !kept.contains(id) && matches!(row.is, Is::Shown(_));
        for (_, row) in self.rows.iter_mut().filter(|(id, row)| gone(id, row)) {
            *row = Row { turn, is: Is::Gone(now) };
        }
        self.forgets(now);
        let parents: HashSet<_> = self.all_shown().filter_map(|one| one.operation.parent).collect();
        self.absent.retain(|id| parents.contains(id));
        self.turn = turn;
    }

    /// What is open, what has just ended, and what is above those.
    fn kept(&self, open: HashSet<OperationId>, clock: SystemTime) -> HashSet<OperationId> {
        let has_just_ended =
            |one: &&One| one.operation.finished_at.is_some_and(|ended| clock < ended + LINGERS);
        let mut kept = open;
        // One that was removed while it was looked for is not there, whatever was said before.
        kept.retain(|id| self.shown(*id).is_some() && !self.absent.contains(id));
        kept.extend(self.all_shown().filter(has_just_ended).map(|one| one.operation.id));
        for mut id in kept.clone() {
            while let Some(above) = self.shown(id).and_then(|one| one.operation.parent) {
                // What is above that has been kept by whoever kept it; and one that was removed is
                // not there, though something is below it.
                let is_there = self.shown(above).is_some() && !self.absent.contains(&above);
                if !is_there || !kept.insert(above) {
                    break;
                }
                id = above;
            }
        }
        kept
    }

    fn takes_stopped(&mut self, turn: u64, found: &Found) {
        let last: HashSet<_> = found.open.stopped.iter().map(|(id, _)| *id).collect();
        self.stopped.retain(|id, _| last.contains(id));
        for id in last {
            let one = found.read.get(&id).or_else(|| self.shown(id));
            let Some(one) = one.filter(|one| one.operation.state.is_finished()).cloned() else {
                continue;
            };
            self.stopped.entry(id).or_insert(Stopped { turn, one });
        }
    }

    fn forgets(&mut self, now: Instant) {
        let forgotten = &mut self.forgotten;
        self.rows.retain(|_, row| match row.is {
            Is::Gone(since) if now.duration_since(since) > LINGERS => {
                *forgotten = row.turn.max(*forgotten);
                false
            }
            _ => true,
        });
    }
}

fn ids(open: &Opened) -> impl Iterator<Item = OperationId> {
    open.running.iter().chain(&open.waiting).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests;
