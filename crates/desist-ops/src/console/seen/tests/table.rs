//! What a database would have, to be looked at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::super::{Found, One, Seen};
use crate::operation::Outcome;
use crate::protocol::Opened;
use crate::{CancelRequest, Operation, OperationId, State};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What a database would have, and its clock.
pub(super) struct Table {
    pub(super) all: BTreeMap<i64, Operation>,
    pub(super) begin: Instant,
    pub(super) now: Duration,
    pub(super) most_waiting: usize,
    /// Who was asked for whole, look by look.
    pub(super) asked: Vec<Vec<i64>>,
}

impl Table {
    pub(super) fn new() -> Self {
        let (begin, now) = (Instant::now(), Duration::from_secs(1_000_000));
        Self { all: BTreeMap::new(), begin, now, most_waiting: usize::MAX, asked: Vec::new() }
    }

    pub(super) fn id(number: i64) -> OperationId {
        format!("op_{number:026}").parse().unwrap()
    }

    pub(super) fn put(&mut self, number: i64, state: State, parent: Option<i64>) {
        let now = UNIX_EPOCH + self.now;
        let operation = Operation {
            id: Self::id(number),
            sequence: number,
            kind: "export".into(),
            state,
            version: 1,
            generation: 1,
            parent: parent.map(Self::id),
            key: None,
            tags: Vec::new(),
            actor: None,
            traceparent: None,
            attempt: 1,
            attempts: 1,
            grace: SECOND,
            ran_on: None,
            output: None,
            error: None,
            created_at: now,
            run_at: now,
            started_at: None,
            finished_at: state.is_finished().then_some(now),
            progress: None,
            cancel: None,
            heard_at: None,
            seen_at: None,
            stop_at: None,
            read_at: now,
        };
        self.all.insert(number, operation);
    }

    pub(super) fn changes(&mut self, number: i64, change: impl FnOnce(&mut Operation)) {
        let operation = self.all.get_mut(&number).unwrap();
        operation.version += 1;
        change(operation);
    }

    pub(super) fn runs(&mut self, number: i64) {
        self.changes(number, |operation| operation.state = State::Running);
    }

    pub(super) fn ends(&mut self, number: i64) {
        let now = UNIX_EPOCH + self.now;
        self.changes(number, |operation| {
            operation.state = State::Finished(Outcome::Succeeded);
            operation.finished_at = Some(now);
        });
    }

    /// It was asked to stop, and has.
    pub(super) fn stops(&mut self, number: i64) {
        let now = UNIX_EPOCH + self.now;
        self.ends(number);
        let operation = self.all.get_mut(&number).unwrap();
        operation.cancel = Some(CancelRequest::new());
        operation.started_at = Some(now);
    }

    pub(super) fn opened(&self) -> Opened {
        let of = |is: &dyn Fn(&Operation) -> bool| {
            let all = self.all.values().filter(|operation| is(operation));
            all.map(|operation| (operation.id, operation.version)).collect::<Vec<_>>()
        };
        let mut waiting = of(&|operation| operation.state == State::Waiting);
        waiting.truncate(self.most_waiting);
        Opened {
            running: of(&|operation| operation.state == State::Running),
            waiting,
            stopping: Default::default(),
            stopped: of(&|operation| {
                operation.state.is_finished()
                    && operation.cancel.is_some()
                    && operation.started_at.is_some()
            }),
            now: i64::try_from(self.now.as_micros()).unwrap(),
        }
    }

    /// As a board does it.
    pub(super) fn reads(&mut self, seen: &Seen, open: Opened) -> Found {
        let wanted = seen.wanted(&open);
        let mut found = Found { epoch: seen.epoch, open, ..Found::default() };
        self.asked.push(Vec::new());
        self.whole(&mut found, wanted);
        loop {
            let above = seen.above(&found);
            if above.is_empty() {
                return found;
            }
            self.whole(&mut found, above);
        }
    }

    pub(super) fn whole(&mut self, found: &mut Found, ids: Vec<OperationId>) {
        for id in ids {
            assert!(found.asked.insert(id), "{id} is asked for twice in one look");
            let number = id.to_string()[3..].parse().unwrap();
            self.asked.last_mut().unwrap().push(number);
            if let Some(operation) = self.all.get(&number) {
                found.read.insert(id, One::new(operation.clone()));
            }
        }
    }

    pub(super) fn look(&mut self, seen: &mut Seen) {
        let open = self.opened();
        let found = self.reads(seen, open);
        seen.takes(found, self.at());
    }

    /// Later, once more.
    pub(super) fn later(&mut self, seen: &mut Seen, time: Duration) {
        self.now += time;
        self.look(seen);
    }

    pub(super) fn at(&self) -> Instant {
        self.begin + self.now
    }

    pub(super) fn last_asked(&self) -> Vec<i64> {
        let mut asked = self.asked.last().unwrap().clone();
        asked.sort_unstable();
        asked
    }
}
