//! Operations are asked to stop: P1 to P3, P12.

use std::collections::BTreeSet;

use super::rows::{CANCEL, request};
use super::{ancestors, detail, event, listed, tree_of};
use crate::cancel::CancelAnswer;
use crate::operation::State;
use crate::store::{Conn, Work, conn_strange as strange, values};
use crate::{CancelMode, CancelRequest, Error, OperationId};

/// How many rows are changed in one statement.
const AT_ONCE: usize = 1000;

/// How many requests to stop one operation are kept.
const HISTORY: i64 = 100;

/// Which are meant.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    One(OperationId),
    Tree(OperationId),
    /// So many of those with a tag, in the order of their ids, after this one.
    Tagged {
        tag: String,
        after: Option<OperationId>,
    },
}

/// Asks them.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    pub(crate) target: Target,
    pub(crate) request: CancelRequest,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    pub(crate) answers: Vec<(OperationId, CancelAnswer)>,
    /// There may be more after this one.
    pub(crate) more: Option<OperationId>,
}

impl Work for Cancel {
    type Done = Cancelled;

    fn is_large(&self) -> bool {
        matches!(self.target, Target::Tree(_))
    }

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Cancelled, Error> {
        match &self.target {
            Target::One(id) => {
                let mut done = mark(conn, &[*id], &self.request).await?;
                if done.answers.is_empty() {
                    done.answers.push((*id, CancelAnswer::NotFound));
                }
                Ok(done)
            }
            Target::Tree(root) => tree(conn, *root, &self.request).await,
            Target::Tagged { tag, after } => {
                let finds = "SELECT o.id FROM desist_ops_tag t JOIN desist_ops o ON o.id = t.id \
                             WHERE t.tag = $1 AND t.id > $2 AND o.state IN ('waiting', 'running') \
                             ORDER BY t.id LIMIT $3";
                let after = after.map(|id| id.to_string()).unwrap_or_default();
                let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
                let mut ids = Vec::new();
                for mut row in conn.rows(finds, values![tag.as_str(), after, most]).await? {
                    ids.push(row.parsed::<OperationId>()?);
                }
                let mut done = mark(conn, &ids, &self.request).await?;
                done.more = ids.last().copied().filter(|_| ids.len() == AT_ONCE);
                Ok(done)
            }
        }
    }
}

async fn tree<C: Conn>(
    conn: &mut C,
    root: OperationId,
    request: &CancelRequest,
) -> Result<Cancelled, Error> {
    let descends = "WITH RECURSIVE below (id) AS ( \
            SELECT id FROM desist_ops WHERE id = $1 \
            UNION SELECT o.id FROM desist_ops o JOIN below ON o.parent = below.id \
        ) SELECT id FROM below";
    if let Some(top) = ancestors(conn, root).await?.last() {
        conn.hold(&tree_of(*top)).await?;
    }
    let mut known = BTreeSet::new();
    let mut all = Cancelled::default();
    // Whoever starts one below a row that is locked here waits, and finds its mark. One that
    // was just started below a row that was not locked yet is found by looking again.
    loop {
        let mut fresh = Vec::new();
        for mut row in conn.rows(descends, values![root]).await? {
            let id = row.parsed::<OperationId>()?;
            if known.insert(id) {
                fresh.push(id);
            }
        }
        if fresh.is_empty() {
            break;
        }
        fresh.sort_unstable();
        // Those who start below have them locked against this.
        for ids in fresh.chunks(AT_ONCE) {
            let locks = "SELECT id FROM desist_ops WHERE id IN {any 1} ORDER BY id {whole}";
            conn.rows(locks, values![listed(ids.iter().copied())]).await?;
        }
        let Cancelled { answers, .. } = mark(conn, &fresh, request).await?;
        // What has finished below is history, and not asked about.
        let asked = answers.into_iter().filter(|(id, answer)| {
            *id == root || !matches!(answer, CancelAnswer::AlreadyFinished(_))
        });
        all.answers.extend(asked);
        for ids in fresh.chunks(AT_ONCE) {
            let marks = "UPDATE desist_ops SET tree_cancel = $1 WHERE id IN {any 2} AND tree_cancel IS NULL";
            conn.rows(marks, values![request_of_tree(request), listed(ids.iter().copied())])
                .await?;
        }
    }
    if known.is_empty() {
        all.answers.push((root, CancelAnswer::NotFound));
    }
    Ok(all)
}

/// Those that are there, in the order in which they were started. The ids are in order.
pub(super) async fn mark<C: Conn>(
    conn: &mut C,
    ids: &[OperationId],
    asked: &CancelRequest,
) -> Result<Cancelled, Error> {
    let mut answers = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        mark_some(conn, ids, asked, &mut answers).await?;
    }
    answers.sort_by_key(|(sequence, _)| *sequence);
    Ok(Cancelled { answers: answers.into_iter().map(|(_, answer)| answer).collect(), more: None })
}

async fn mark_some<C: Conn>(
    conn: &mut C,
    ids: &[OperationId],
    asked: &CancelRequest,
    answers: &mut Vec<(i64, (OperationId, CancelAnswer))>,
) -> Result<(), Error> {
    let looks = format!(
        "SELECT seq, id, state, {CANCEL} FROM desist_ops WHERE id IN {{any 1}} ORDER BY id {{lock}}"
    );
    let (mut waiting, mut first, mut again, mut further) = (vec![], vec![], vec![], vec![]);
    for mut row in conn.rows(&looks, values![listed(ids.iter().copied())]).await? {
        let (sequence, id) = (row.int()?, row.parsed::<OperationId>()?);
        let state = State::parse(&row.text()?).ok_or_else(|| strange("its state is none"))?;
        let answer = match (state, request(&mut row)?) {
            (State::Finished(outcome), _) => CancelAnswer::AlreadyFinished(outcome),
            (State::Waiting, _) => {
                waiting.push(id);
                CancelAnswer::CancelledBeforeStart
            }
            (State::Running, None) => {
                first.push(id);
                CancelAnswer::Requested
            }
            (State::Running, Some(earlier)) => {
                if asked.mode > earlier.mode { &mut further } else { &mut again }.push(id);
                CancelAnswer::AlreadyRequested(earlier)
            }
        };
        answers.push((sequence, (id, answer)));
    }
    let (mode, reason) = (asked.mode.as_str(), asked.reason.as_str());
    let said = |first: bool| {
        let (message, actor) = (asked.told(), asked.by());
        detail! { "mode": mode, "reason": reason, "message": message, "actor": actor, "first": first }
    };
    if !waiting.is_empty() {
        // P3: it never runs.
        let ids = listed(waiting);
        let ends = "UPDATE desist_ops SET state = 'cancelled', finished_at = {now}, \
            version = version + 1, cancel_mode = $1, cancel_reason = $2, cancel_message = $3, \
            cancel_actor = $4, cancel_at = {now} WHERE id IN {any 5}";
        conn.rows(ends, values![mode, reason, asked.told(), asked.by(), ids.as_str()]).await?;
        let said = detail! { "outcome": "cancelled", "error": asked.to_string() };
        event(conn, &ids, "finished", said).await?;
        conn.call_changed(&ids).await?;
    }
    if !first.is_empty() {
        let ids = listed(first);
        let asks = "UPDATE desist_ops SET version = version + 1, cancel_mode = $1, \
            cancel_reason = $2, cancel_message = $3, cancel_actor = $4, cancel_at = {now}, \
            stop_at = CASE WHEN $1 = 'cancel' THEN {now} ELSE stop_at END WHERE id IN {any 5}";
        conn.rows(asks, values![mode, reason, asked.told(), asked.by(), ids.as_str()]).await?;
        event(conn, &ids, "cancel_requested", said(true)).await?;
        conn.call_nodes(&ids).await?;
    }
    if !further.is_empty() {
        let ids = listed(further);
        let asks = "UPDATE desist_ops SET version = version + 1, cancel_mode = $1, \
                    stop_at = {now} WHERE id IN {any 2}";
        conn.rows(asks, values![CancelMode::Cancel.as_str(), ids.as_str()]).await?;
        event(conn, &ids, "cancel_requested", said(false)).await?;
        conn.call_nodes(&ids).await?;
    }
    if !again.is_empty() {
        let ids = listed(again.iter().copied());
        conn.call_nodes(&ids).await?;
        // Whoever keeps a button pressed fills no disk.
        let full = "SELECT id FROM desist_ops_event WHERE what = 'cancel_requested' \
                    AND id IN {any 1} GROUP BY id HAVING count(*) >= $2";
        let mut full_ones = BTreeSet::new();
        for mut row in conn.rows(full, values![ids, HISTORY]).await? {
            full_ones.insert(row.parsed::<OperationId>()?);
        }
        again.retain(|id| !full_ones.contains(id));
    }
    if !again.is_empty() {
        let ids = listed(again);
        let notes = "UPDATE desist_ops SET version = version + 1 WHERE id IN {any 1}";
        conn.rows(notes, values![ids.as_str()]).await?;
        event(conn, &ids, "cancel_requested", said(false)).await?;
    }
    Ok(())
}

/// As those that are started later below it find it.
pub(super) fn request_of_tree(request: &CancelRequest) -> String {
    let (mode, reason) = (request.mode.as_str(), request.reason.as_str());
    detail! { "mode": mode, "reason": reason, "message": request.told(), "actor": request.by() }
}

pub(super) fn request_from_tree(text: &str) -> CancelRequest {
    let read: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let text = |name: &str| read.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    CancelRequest {
        mode: text("mode").and_then(|mode| CancelMode::parse(&mode)).unwrap_or(CancelMode::Cancel),
        reason: crate::cancel::reason(&text("reason").unwrap_or_default()),
        message: text("message"),
        actor: text("actor"),
        at: None,
    }
}
