//! A run, as those see it that are not its handler.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desist::{Reason, Registration};
use desist_sql::Error as SqlError;
use desist_tokio::{Stop, StopSource};

use super::quietly;
use crate::commit::{CommitError, InCommit};
use crate::lock::lock;
use crate::protocol::{End, Intent, Run, Step, Wish};
use crate::{CancelMode, CancelRequest, OperationId};

/// A run. Its token is cancelled through it, and nobody else's is.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: OperationId,
    pub(crate) kind: String,
    pub(crate) generation: i64,
    pub(crate) attempt: u32,
    pub(crate) attempts: u32,
    pub(crate) actor: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) parent: Option<OperationId>,
    pub(crate) tags: Vec<String>,
    pub(crate) grace: Duration,
    /// How long ago a process did not take its input.
    pub(crate) refused: Option<Duration>,
    source: StopSource,
    pub(crate) stop: Stop,
    told: Arc<Mutex<Told>>,
    /// It has a part in what is told, and that has none in it.
    _seen: Registration,
    steps: Mutex<Steps>,
}

#[derive(Debug, Default)]
struct Told {
    /// What it was asked, and when that was heard here, and how long after it was asked.
    intent: Option<(CancelRequest, Instant, Duration)>,
    /// When its token was cancelled, or the one that drains.
    seen: Option<Instant>,
    /// It has no right to the operation any more.
    lost: bool,
    committed: bool,
    committing: bool,
    /// It has nothing left to write in its commit but its end: that may be there already, and it is
    /// not lost.
    ending: bool,
    /// Its handler has ended, and it is not undone by what a clone of its context does.
    over: bool,
    given_back: bool,
    /// It does not stop; since when it should.
    overdue: Option<Instant>,
    noted: bool,
}

#[derive(Debug, Default)]
struct Steps {
    last: Option<(u64, Option<u64>, String, Instant)>,
    is_written: bool,
}

impl Steps {
    /// The last one.
    fn step(&self) -> Option<Step> {
        self.last.as_ref().map(|(done, total, message, at)| Step {
            done: *done,
            total: *total,
            message: message.clone(),
            ago: at.elapsed(),
        })
    }
}

impl Live {
    pub(crate) fn new(run: &Run, grace: Duration, above: &Stop) -> Arc<Self> {
        let source = above.child();
        let stop = source.stop();
        let told = Arc::new(Mutex::new(Told::default()));
        let tells = Arc::clone(&told);
        // Draining comes with cancelling, and before it.
        let seen = stop.draining().on_cancel(move |_| {
            lock(&tells).seen.get_or_insert_with(Instant::now);
        });
        Arc::new(Self {
            id: run.id,
            kind: run.kind.clone(),
            generation: run.generation,
            attempt: run.attempt,
            attempts: run.attempts,
            actor: run.actor.clone(),
            traceparent: run.traceparent.clone(),
            parent: run.parent,
            tags: serde_json::from_str(&run.tags).unwrap_or_default(),
            grace,
            refused: run.refused,
            source,
            stop,
            told,
            _seen: seen,
            steps: Mutex::default(),
        })
    }

    pub(crate) fn times_out_after(&self, limit: Duration) {
        self.source.cancel_after(limit);
    }

    /// What the database says of it; `true` if that is news.
    pub(crate) fn hears(&self, intent: &Intent) -> bool {
        let Some(request) = &intent.request else { return false };
        let is_first = {
            let mut told = lock(&self.told);
            let is_first = told.intent.is_none();
            match &mut told.intent {
                Some((known, ..)) if known.mode >= request.mode => return false,
                Some((known, ..)) => known.mode = request.mode,
                None => told.intent = Some((request.clone(), Instant::now(), intent.age)),
            }
            is_first
        };
        quietly(|| match request.mode {
            CancelMode::Drain => self.source.drain_with(request.cause()),
            CancelMode::Cancel => self.source.cancel_with(request.cause()),
        });
        is_first
    }

    /// Somebody else has it, or will have.
    pub(crate) fn lose(&self, reason: Reason) {
        lock(&self.told).lost = true;
        let why = "this process could not keep its right to the operation; somebody else may have \
                   it now";
        quietly(|| self.source.cancel_with(reason.with(why)));
    }

    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.told).lost
    }

    pub(crate) fn intent(&self) -> Option<CancelRequest> {
        lock(&self.told).intent.as_ref().map(|(request, ..)| request.clone())
    }

    /// From the request until it was heard here, and since then.
    pub(crate) fn heard(&self) -> Option<(Duration, Duration)> {
        lock(&self.told).intent.as_ref().map(|&(_, at, age)| (age, at.elapsed()))
    }

    /// How long ago its token was cancelled, or the one that drains.
    pub(crate) fn seen(&self) -> Option<Duration> {
        let is_seen = self.stop.draining().is_cancelled();
        let mut told = lock(&self.told);
        if is_seen {
            // Who waits for that is woken first, and may have ended before it was noted.
            told.seen.get_or_insert_with(Instant::now);
        }
        told.seen.map(|at| at.elapsed())
    }

    pub(crate) fn step(&self, done: u64, total: Option<u64>, message: String) {
        let mut steps = lock(&self.steps);
        steps.last = Some((done, total, message, Instant::now()));
        steps.is_written = false;
    }

    /// The last one, if it is not written.
    pub(crate) fn unwritten(&self) -> Option<Step> {
        let mut steps = lock(&self.steps);
        if std::mem::replace(&mut steps.is_written, true) {
            return None;
        }
        steps.step()
    }

    /// It was not written after all.
    pub(crate) fn write_again(&self) {
        lock(&self.steps).is_written = false;
    }

    fn last_step(&self) -> Option<Step> {
        lock(&self.steps).step()
    }

    /// What is to be written of its end.
    pub(crate) fn end(&self, wish: Wish) -> End {
        let heard = self.heard();
        End {
            id: self.id,
            generation: self.generation,
            wish,
            step: self.last_step(),
            heard: heard.map(|(_, since)| since),
            seen: heard.and_then(|_| self.seen()),
        }
    }

    /// Whether it may begin a commit. One at a time, and none after its end, or what may be that.
    pub(crate) fn may_commit(&self) -> Result<Committing<'_>, CommitError> {
        self.stop.token().check().map_err(CommitError::stopped)?;
        let mut told = lock(&self.told);
        if told.committed
            || told.ending
            || told.over
            || std::mem::replace(&mut told.committing, true)
        {
            return Err(CommitError::over());
        }
        Ok(Committing { live: self })
    }

    pub(crate) fn is_committing(&self) -> bool {
        lock(&self.told).committing
    }

    /// Its commit has nothing left to write but its end.
    pub(crate) fn is_at_its_end(&self) {
        lock(&self.told).ending = true;
    }

    /// Its handler has ended.
    pub(crate) fn is_over(&self) {
        lock(&self.told).over = true;
    }

    pub(crate) fn is_ending(&self) -> bool {
        let told = lock(&self.told);
        told.ending || told.over
    }

    /// It does not stop within its grace.
    pub(crate) fn is_late(&self) {
        lock(&self.told).overdue.get_or_insert_with(|| {
            Instant::now().checked_sub(self.grace).unwrap_or_else(Instant::now)
        });
    }

    pub(crate) fn is_overdue(&self) -> bool {
        lock(&self.told).overdue.is_some()
    }

    /// That it does not stop is kept.
    pub(crate) fn is_noted(&self) {
        lock(&self.told).noted = true;
    }

    pub(crate) fn is_to_be_noted(&self) -> bool {
        let told = lock(&self.told);
        told.overdue.is_some() && !told.noted
    }

    /// How long ago it should have begun to stop, if it does not.
    pub(crate) fn late(&self) -> Option<Duration> {
        lock(&self.told).overdue.map(|since| since.elapsed())
    }

    /// What it said last.
    #[cfg(feature = "tracing")]
    pub(crate) fn last_said(&self) -> Option<String> {
        self.last_step().map(|step| step.message)
    }

    pub(crate) fn gives_back(&self) {
        lock(&self.told).given_back = true;
    }

    pub(crate) fn is_given_back(&self) -> bool {
        lock(&self.told).given_back
    }

    /// Its end is written, or is about to be; the answer may be on its way.
    pub(crate) fn may_have_committed(&self) -> bool {
        let told = lock(&self.told);
        told.committed || told.committing
    }
}

/// A commit that is being done. Dropped before it knew what became of it, another one may be
/// begun, unless it was on its way already.
#[must_use]
pub(crate) struct Committing<'a> {
    live: &'a Live,
}

impl Committing<'_> {
    /// What became of it.
    pub(crate) fn became<T>(self, done: Result<T, SqlError<InCommit>>) -> Result<T, CommitError> {
        let mut told = lock(&self.live.told);
        told.committed |= done.is_ok();
        // If it is not known whether it was committed, its end finds that out.
        told.ending &= done.as_ref().err().is_none_or(SqlError::is_in_doubt);
        drop(told);
        done.map_err(|error| {
            if matches!(error.failure(), Some(InCommit::Fenced)) {
                self.live.lose(Reason::LeaseLost);
            }
            CommitError::of(error)
        })
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        lock(&self.live.told).committing = false;
    }
}
