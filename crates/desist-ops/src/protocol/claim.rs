//! A node takes operations to run: P4, P5, P10.

use std::collections::HashSet;
use std::time::Duration;

use super::rows::{duration, small};
use super::{any, detail, event, listed};
use crate::store::{Conn, Row, Work, values};
use crate::{Error, OperationId};

/// Of a kind, so many at most.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) kind: String,
    pub(crate) most: usize,
}

/// Takes some.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) node: String,
    pub(crate) label: String,
    pub(crate) wants: Vec<Want>,
}

/// What was taken.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    pub(crate) runs: Vec<Run>,
    /// As many as were wanted, of one kind at least: there may be more that is due.
    pub(crate) more: bool,
    /// When more of it may be due, if nothing is now.
    pub(crate) next: Option<Duration>,
    /// The node's lease is over, and nothing was.
    pub(crate) lost: bool,
}

/// One to run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: OperationId,
    pub(crate) kind: String,
    pub(crate) generation: i64,
    pub(crate) attempt: u32,
    pub(crate) attempts: u32,
    pub(crate) input: String,
    pub(crate) actor: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) parent: Option<OperationId>,
    pub(crate) tags: String,
    /// Since a process did not take its input.
    pub(crate) refused: Option<Duration>,
}

const RUN: &str = "seq, id, kind, generation, attempt, attempts, input, actor, traceparent, parent, \
    tags, {now} - refused_at";

fn run(row: &mut Row) -> Result<(i64, Run), Error> {
    let sequence = row.int()?;
    let run = Run {
        id: row.parsed()?,
        kind: row.text()?,
        generation: row.int()?,
        attempt: small(row.int()?),
        attempts: small(row.int()?),
        input: row.text()?,
        actor: row.maybe_text()?,
        traceparent: row.maybe_text()?,
        parent: row.maybe_text()?.and_then(|parent| parent.parse().ok()),
        tags: row.text()?,
        refused: row.maybe_int()?.map(duration),
    };
    Ok((sequence, run))
}

impl Work for Claim {
    type Done = Claimed;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Claimed, Error> {
        let mut claimed = Claimed::default();
        let alive =
            "SELECT node FROM desist_ops_node WHERE node = $1 AND lease_until > {now} {alive}";
        if !any(&conn.rows(alive, values![self.node.as_str()]).await?) {
            claimed.lost = true;
            return Ok(claimed);
        }
        for want in &self.wants {
            // The inner `{now}` is asked for once, so that the index finds what is due.
            let takes = format!(
                "UPDATE desist_ops SET state = 'running', node = $1, ran_on = $2, \
                 generation = generation + 1, attempt = attempt + 1, version = version + 1, \
                 started_at = COALESCE(started_at, {{now}}), done = NULL, total = NULL, \
                 message = NULL, progress_at = NULL, stop_at = NULL \
                 WHERE seq {{once SELECT seq FROM desist_ops WHERE state = 'waiting' AND kind = $3 \
                 AND run_at <= (SELECT {{now}}) ORDER BY run_at, seq LIMIT $4 {{skip}}}} \
                 RETURNING {RUN}"
            );
            let most = i64::try_from(want.most).unwrap_or(i64::MAX);
            let values = values![self.node.as_str(), self.label.as_str(), want.kind.as_str(), most];
            let mut runs = Vec::new();
            for mut row in conn.rows(&takes, values).await? {
                runs.push(run(&mut row)?);
            }
            if runs.len() < want.most {
                let due = "SELECT run_at - (SELECT {now}) FROM desist_ops \
                           WHERE state = 'waiting' AND kind = $1 ORDER BY run_at LIMIT 1";
                for mut row in conn.rows(due, values![want.kind.as_str()]).await? {
                    let due = duration(row.int()?);
                    claimed.next = Some(claimed.next.map_or(due, |next| next.min(due)));
                }
            } else {
                claimed.more = true;
            }
            runs.sort_by_key(|(sequence, _)| *sequence);
            claimed.runs.extend(runs.into_iter().map(|(_, run)| run));
        }
        if !claimed.runs.is_empty() {
            let ids = listed(claimed.runs.iter().map(|run| run.id));
            event(conn, &ids, "claimed", detail! { "by": self.label }).await?;
        }
        Ok(claimed)
    }
}

/// What is said to run on a node and does not: the answer to its claim was lost. It is as if
/// it had not been taken (P14).
#[derive(Debug, Clone)]
pub(crate) struct GiveBackOrphans {
    pub(crate) node: String,
    /// Those that it runs, each with its generation.
    pub(crate) runs: HashSet<(OperationId, i64)>,
}

impl Work for GiveBackOrphans {
    type Done = usize;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<usize, Error> {
        let finds = "SELECT id, generation FROM desist_ops WHERE node = $1 ORDER BY id {skip}";
        let mut orphans = Vec::new();
        for mut row in conn.rows(finds, values![self.node.as_str()]).await? {
            let (id, generation) = (row.parsed()?, row.int()?);
            if !self.runs.contains(&(id, generation)) {
                orphans.push(id);
            }
        }
        if orphans.is_empty() {
            return Ok(0);
        }
        let ids = listed(orphans);
        // P6: with an intent it does not wait again. It never ran this time.
        let ends = "UPDATE desist_ops SET state = 'cancelled', finished_at = {now}, node = NULL, \
            generation = generation + 1, version = version + 1 \
            WHERE id IN {any 1} AND node = $2 AND cancel_at IS NOT NULL RETURNING id";
        let ended = conn.rows(ends, values![ids.as_str(), self.node.as_str()]).await?;
        let waits = "UPDATE desist_ops SET state = 'waiting', node = NULL, \
            generation = generation + 1, attempt = attempt - 1, version = version + 1 \
            WHERE id IN {any 1} AND node = $2 AND cancel_at IS NULL RETURNING id";
        let waiting = conn.rows(waits, values![ids.as_str(), self.node.as_str()]).await?;
        let count = ended.len() + waiting.len();
        let why = "its claim was not answered";
        let given_back = detail! { "why": why };
        let cancelled = detail! { "outcome": "cancelled", "error": why };
        for (rows, what, said) in
            [(ended, "finished", cancelled), (waiting, "given_back", given_back)]
        {
            let mut ids = Vec::new();
            for mut row in rows {
                ids.push(row.parsed()?);
            }
            let ids = listed(ids);
            event(conn, &ids, what, said).await?;
            conn.call_changed(&ids).await?;
        }
        Ok(count)
    }
}
