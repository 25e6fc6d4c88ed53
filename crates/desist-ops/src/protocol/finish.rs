//! A run ends, or says how far it is: P5, P6, P11.

use std::time::Duration;

use super::{detail, event, listed};
use crate::operation::{Outcome, State};
use crate::store::{Conn, Work, conn_strange as strange, micros, values};
use crate::{Error, OperationId};

/// Which writes are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fence {
    /// Those of the generation that runs.
    Up,
    /// All. It shows what the fence is for.
    #[cfg_attr(not(feature = "testing"), allow(dead_code))]
    Down,
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    pub(crate) message: String,
    /// How long ago it said so.
    pub(crate) ago: Duration,
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a run wants to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Succeed {
        output: Option<String>,
        note: Option<String>,
    },
    /// To be done again after this time, if there are attempts left.
    Fail {
        error: String,
        again_after: Duration,
        lasting: bool,
    },
    /// To be done by somebody else, as if it had not been begun; after that time, if there is one,
    /// and for this reason, if it is no stop.
    GiveBack {
        after: Duration,
        error: Option<String>,
        refused: bool,
    },
    /// It stopped because it was asked to; with what went wrong meanwhile.
    Stop {
        error: Option<String>,
    },
}

/// The end of a run.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub(crate) end: End,
    pub(crate) fence: Fence,
}

#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) id: OperationId,
    pub(crate) generation: i64,
    pub(crate) wish: Wish,
    pub(crate) step: Option<Step>,
    /// How long ago the run heard that it should stop, and its token was cancelled.
    pub(crate) heard: Option<Duration>,
    pub(crate) seen: Option<Duration>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finished {
    /// This is how it is now, by this.
    Is(State),
    /// This run had ended it before, so: its answer was lost, or somebody holds on to a run that is
    /// over.
    Was(State),
    /// It is not this run's any more.
    Fenced,
}

impl Work for Finish {
    type Done = Finished;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Finished, Error> {
        let Self { end, fence } = self;
        let id = end.id;
        let looks = "SELECT state, generation, attempt, attempts, cancel_at FROM desist_ops \
                     WHERE id = $1 {lock}";
        let Some(mut row) = conn.rows(looks, values![id]).await?.into_iter().next() else {
            return Ok(Finished::Fenced);
        };
        let state = State::parse(&row.text()?).ok_or_else(|| strange("its state is none"))?;
        let generation = row.int()?;
        let (attempt, attempts) = (row.int()?, row.int()?);
        let is_asked = row.maybe_int()?.is_some();
        if fence == Fence::Up && (generation != end.generation || state != State::Running) {
            // The answer to this very end may have been lost (P14); a way back to waiting leaves
            // its generation, too, until it is claimed again.
            let is_mine = generation == end.generation && state != State::Running;
            return Ok(if is_mine { Finished::Was(state) } else { Finished::Fenced });
        }
        let is_late = attempt >= attempts;
        let gives_back = matches!(end.wish, Wish::GiveBack { .. });
        let is_refused = matches!(end.wish, Wish::GiveBack { refused: true, .. });
        let (next, output, error, attempt, wait) = match end.wish {
            Wish::Succeed { output, note } => {
                (State::Finished(Outcome::Succeeded), output, note, attempt, None)
            }
            Wish::Stop { error } => {
                (State::Finished(Outcome::Cancelled), None, error, attempt, None)
            }
            Wish::Fail { error, .. } if is_asked => {
                (State::Finished(Outcome::Cancelled), None, Some(error), attempt, None)
            }
            Wish::GiveBack { error, .. } if is_asked => {
                (State::Finished(Outcome::Cancelled), None, error, attempt, None)
            }
            Wish::Fail { error, lasting, .. } if is_late || lasting => {
                (State::Finished(Outcome::Failed), None, Some(error), attempt, None)
            }
            Wish::Fail { error, again_after, .. } => {
                (State::Waiting, None, Some(error), attempt, Some(again_after))
            }
            Wish::GiveBack { after, error, .. } => {
                (State::Waiting, None, error, attempt - 1, Some(after))
            }
        };
        let ends = "UPDATE desist_ops SET state = $1, output = $2, \
            error = CASE WHEN $1 = 'succeeded' THEN $3 ELSE COALESCE($3, error) END, \
            attempt = $4, run_at = CASE WHEN $1 = 'waiting' THEN {now} + $5 ELSE run_at END, \
            finished_at = CASE WHEN $1 = 'waiting' THEN NULL ELSE {now} END, node = NULL, \
            version = version + 1, \
            done = COALESCE($6, done), total = CASE WHEN $6 IS NULL THEN total ELSE $7 END, \
            message = COALESCE($8, message), \
            progress_at = CASE WHEN $6 IS NULL THEN progress_at ELSE {now} - $9 END, \
            heard_at = COALESCE(heard_at, CASE WHEN {now} - $10 < cancel_at THEN cancel_at \
            ELSE {now} - $10 END), seen_at = COALESCE(seen_at, {now} - $11), \
            refused_at = CASE WHEN $12 = 1 THEN COALESCE(refused_at, {now}) END WHERE id = $13";
        let step = end.step.as_ref();
        conn.rows(
            ends,
            values![
                next.as_str(),
                output,
                error.as_deref(),
                attempt,
                wait.map_or(0, micros),
                step.map(|step| int(step.done)),
                step.and_then(|step| step.total).map(int),
                step.map(|step| step.message.as_str()),
                step.map_or(0, |step| micros(step.ago)),
                end.heard.map(micros),
                end.seen.map(micros),
                i64::from(is_refused),
                id,
            ],
        )
        .await?;
        let ids = listed([id]);
        let (what, said) = match next {
            State::Finished(outcome) => {
                let in_spite = is_asked && outcome == Outcome::Succeeded;
                (
                    "finished",
                    detail! { "outcome": outcome.as_str(), "error": error, "in_spite_of_a_cancel": in_spite },
                )
            }
            // Also one that failed as its process stopped: that is not counted.
            _ if gives_back => {
                let why = error.as_deref().unwrap_or("its process stops");
                ("given_back", detail! { "why": why })
            }
            _ => ("retried", detail! { "error": error, "attempt": attempt }),
        };
        event(conn, &ids, what, said).await?;
        if is_asked {
            // Somebody may wait for that.
            conn.call_changed(&ids).await?;
        }
        if next == State::Waiting && wait == Some(Duration::ZERO) {
            conn.call_workers().await?;
        }
        Ok(Finished::Is(next))
    }
}

/// Progress of several runs.
#[derive(Debug, Clone)]
pub(crate) struct KeepProgress {
    pub(crate) steps: Vec<(OperationId, i64, Step)>,
}

impl Work for KeepProgress {
    /// Of which it was not written, for somebody holds them; or they have ended.
    type Done = Vec<OperationId>;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<OperationId>, Error> {
        // It waits for nobody: whoever waits for it would wait as well.
        let keeps = "UPDATE desist_ops SET done = $1, total = $2, message = $3, \
            progress_at = {now} - $4, version = version + 1 \
            WHERE seq {once SELECT seq FROM desist_ops WHERE id = $5 AND generation = $6 \
            AND state = 'running' {skip}} RETURNING id";
        let mut left = Vec::new();
        for (id, generation, step) in self.steps {
            let (done, total, ago) = (int(step.done), step.total.map(int), micros(step.ago));
            let values = values![done, total, step.message, ago, id, generation];
            if !super::any(&conn.rows(keeps, values).await?) {
                left.push(id);
            }
        }
        Ok(left)
    }
}

/// Runs have heard that they should stop, or do not stop.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) heard: Vec<HeardOne>,
}

/// One of them: how long ago it heard that it was asked, its token was cancelled, and it should have
/// begun to stop.
#[derive(Debug, Clone)]
pub(crate) struct HeardOne {
    pub(crate) id: OperationId,
    pub(crate) generation: i64,
    pub(crate) heard: Option<Duration>,
    pub(crate) seen: Option<Duration>,
    pub(crate) late: Option<Duration>,
}

impl Work for Heard {
    /// Of which it is kept that they do not stop.
    type Done = Vec<(OperationId, i64)>;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Self::Done, Error> {
        // Not before it was asked, however coarse the database's clock is. It waits for nobody.
        let keeps = "UPDATE desist_ops SET heard_at = COALESCE(heard_at, CASE \
            WHEN {now} - $1 < cancel_at THEN cancel_at ELSE {now} - $1 END), \
            seen_at = COALESCE(seen_at, {now} - $2), stop_at = COALESCE(stop_at, {now} - $3), \
            version = version + 1 WHERE seq {once SELECT seq FROM desist_ops WHERE id = $4 \
            AND generation = $5 AND state = 'running' {skip}} RETURNING id";
        let (mut heard, mut late) = (Vec::new(), Vec::new());
        for one in self.heard {
            let ago = |time: Option<Duration>| time.map(micros);
            let (id, generation) = (one.id, one.generation);
            let values = values![ago(one.heard), ago(one.seen), ago(one.late), id, generation];
            if super::any(&conn.rows(keeps, values).await?) {
                match one.late {
                    Some(_) => late.push((id, generation)),
                    None => heard.push(id),
                }
            }
        }
        let noted = late.clone();
        let late = late.into_iter().map(|(id, _)| id).collect();
        for (what, ids) in [("heard", heard), ("overdue", late)] {
            if !ids.is_empty() {
                let ids = listed(ids);
                event(conn, &ids, what, "{}").await?;
                conn.call_changed(&ids).await?;
            }
        }
        Ok(noted)
    }
}
