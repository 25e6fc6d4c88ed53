//! An operation begins to exist.

use std::time::Duration;

use super::cancel::{mark, request_of_tree};
use super::{Cancelled, ancestors, detail, event, listed, tree_of};
use crate::error::Kind;
use crate::policy::{AfterDeath, Duplicates};
use crate::store::{Conn, Work, micros, values};
use crate::{CancelRequest, Error, OperationId};

/// Starts one.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) id: OperationId,
    pub(crate) kind: String,
    pub(crate) input: String,
    pub(crate) tags: Vec<String>,
    pub(crate) actor: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) parent: Option<OperationId>,
    pub(crate) key: Option<String>,
    pub(crate) duplicates: Duplicates,
    /// Which of them; all, if nothing is said.
    pub(crate) may_supersede: Option<Vec<OperationId>>,
    pub(crate) attempts: u32,
    pub(crate) after_death: AfterDeath,
    pub(crate) grace: Duration,
    pub(crate) delay: Duration,
    /// Whether the others are told within the transaction, for nobody can do it after that.
    pub(crate) tells: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) id: OperationId,
    /// It had been started before, with that key.
    pub(crate) existing: bool,
    /// It was born cancelled.
    pub(crate) cancelled: bool,
    /// Those that it has superseded.
    pub(crate) superseded: Cancelled,
}

impl Work for Start {
    type Done = Started;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Started, Error> {
        let id = self.id;
        let mut superseded = Cancelled::default();
        if let Some(key) = &self.key {
            // Two that start at once would not see each other.
            conn.hold(&format!("{}\u{1}{key}", self.kind)).await?;
        }
        let above = match self.parent {
            Some(parent) => ancestors(conn, parent).await?,
            None => Vec::new(),
        };
        if let Some(top) = above.last() {
            conn.hold_together(&tree_of(*top)).await?;
        }
        // Asked again after no answer, it is there, whatever came after it.
        let knows = "SELECT state FROM desist_ops WHERE id = $1";
        if let Some(mut row) = conn.rows(knows, values![id]).await?.into_iter().next() {
            let cancelled = row.text()? == "cancelled";
            return Ok(Started { id, existing: false, cancelled, superseded });
        }
        let born_cancelled = match self.parent {
            Some(parent) => born_cancelled(conn, parent, above).await?,
            None => None,
        };
        // One that never runs is in nobody's way.
        if let Some(key) = self.key.as_ref().filter(|_| born_cancelled.is_none()) {
            let finds = "SELECT id, cancel_at FROM desist_ops WHERE kind = $1 AND key = $2 \
                         AND state IN ('waiting', 'running') ORDER BY id {lock}";
            let mut others = Vec::new();
            for mut row in conn.rows(finds, values![self.kind.as_str(), key.as_str()]).await? {
                others.push((row.parsed::<OperationId>()?, row.maybe_int()?.is_some()));
            }
            match self.duplicates {
                Duplicates::Allowed => {}
                Duplicates::Joined => {
                    // The same again, and not one that has been told to stop.
                    if let Some(&(id, _)) = others.iter().find(|(_, asked)| !asked) {
                        return Ok(Started { id, existing: true, cancelled: false, superseded });
                    }
                }
                Duplicates::Superseded => {
                    let may = |id: &OperationId| {
                        self.may_supersede.as_ref().is_none_or(|may| may.contains(id))
                    };
                    if !others.iter().all(|(other, _)| may(other)) {
                        return Err(Error::taken());
                    }
                    let by = format!("superseded by {id}");
                    let request =
                        CancelRequest::new().because(desist::Reason::Superseded).message(by);
                    let others: Vec<_> = others.into_iter().map(|(other, _)| other).collect();
                    superseded = mark(conn, &others, &request).await?;
                }
            }
        }
        let state = if born_cancelled.is_some() { "cancelled" } else { "waiting" };
        let tags = serde_json::to_string(&self.tags).unwrap_or_else(|_| "[]".to_owned());
        let inserts = "INSERT INTO desist_ops (id, kind, state, parent, key, tags, actor, \
            traceparent, attempts, after_death, grace, input, created_at, run_at, finished_at, \
            cancel_mode, cancel_reason, cancel_message, cancel_actor, cancel_at, tree_cancel) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, {now}, {now} + $13, \
            CASE WHEN $3 = 'cancelled' THEN {now} END, $14, $15, $16, $17, \
            CASE WHEN $3 = 'cancelled' THEN {now} END, $18) ON CONFLICT (id) DO NOTHING RETURNING seq";
        let by = born_cancelled.as_ref();
        let inserted = conn
            .rows(
                inserts,
                values![
                    id,
                    self.kind.as_str(),
                    state,
                    self.parent.map(|id| id.to_string()),
                    self.key,
                    tags,
                    self.actor,
                    self.traceparent,
                    i64::from(self.attempts),
                    self.after_death.as_str(),
                    self.grace,
                    self.input,
                    micros(self.delay),
                    by.map(|request| request.mode().as_str()),
                    by.map(|request| request.reason().as_str()),
                    by.and_then(|request| request.told()),
                    by.and_then(|request| request.by()),
                    by.map(request_of_tree),
                ],
            )
            .await?;
        let cancelled = born_cancelled.is_some();
        if inserted.is_empty() {
            // This very start was committed, and its answer lost.
            return Ok(Started { id, existing: false, cancelled, superseded });
        }
        for tag in &self.tags {
            let tags =
                "INSERT INTO desist_ops_tag (tag, id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            conn.rows(tags, values![tag.as_str(), id]).await?;
        }
        let (what, said) = match by {
            Some(request) => {
                ("finished", detail! { "outcome": "cancelled", "error": request.to_string() })
            }
            None => (
                "started",
                detail! { "kind": self.kind, "parent": self.parent.map(|id| id.to_string()) },
            ),
        };
        event(conn, &listed([id]), what, said).await?;
        if self.tells && !cancelled {
            conn.call_workers().await?;
        }
        Ok(Started { id, existing: false, cancelled, superseded })
    }
}

/// By what, if a tree that this one would be in was cancelled: P12.
async fn born_cancelled<C: Conn>(
    conn: &mut C,
    parent: OperationId,
    ancestors: Vec<OperationId>,
) -> Result<Option<CancelRequest>, Error> {
    let is_gone = || {
        let said = format!(
            "there is no operation {parent} to be below; it may have been removed, being old"
        );
        Error::new(Kind::NotFound, said)
    };
    if ancestors.is_empty() {
        return Err(is_gone());
    }
    // Whoever cancels a tree waits for this one to be in it, or it waits for them.
    let looks = "SELECT tree_cancel FROM desist_ops WHERE id IN {any 1} ORDER BY id {alive}";
    let (mut found, count) = (None, ancestors.len());
    let rows = conn.rows(looks, values![listed(ancestors)]).await?;
    if rows.len() < count {
        // It was removed just now, and with it whatever mark it bore.
        return Err(is_gone());
    }
    for mut row in rows {
        if let Some(request) = row.maybe_text()? {
            found.get_or_insert(request);
        }
    }
    Ok(found.map(|request| super::cancel::request_from_tree(&request)))
}
