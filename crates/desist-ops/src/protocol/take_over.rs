//! What a dead node ran is given to others: P5, P6, P9, P10.

use std::time::Duration;

use super::rows::duration;
use super::{detail, event, listed};
use crate::store::{Conn, Work, values};
use crate::{Error, OperationId};

/// So many rows of a node in one transaction.
const AT_ONCE: i64 = 500;

/// So many nodes.
const NODES: i64 = 200;

/// Looks for nodes whose leases are over, and takes what they ran.
#[derive(Debug, Clone)]
pub(crate) struct TakeOver;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct TakenOver {
    /// Those that wait again.
    pub(crate) again: Vec<OperationId>,
    /// Those that ended with it.
    pub(crate) ended: Vec<OperationId>,
    /// Whether there may be more.
    pub(crate) more: bool,
    /// When the next lease is over, if it is not renewed.
    pub(crate) next: Option<Duration>,
}

impl Work for TakeOver {
    type Done = TakenOver;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<TakenOver, Error> {
        let mut taken = TakenOver::default();
        // Who is about to claim has it locked, and is asked again later (P10).
        let dead = "SELECT node, label FROM desist_ops_node WHERE lease_until <= (SELECT {now}) \
                    ORDER BY lease_until LIMIT $1 {skip}";
        for mut row in conn.rows(dead, values![NODES]).await? {
            let (node, label) = (row.text()?, row.text()?);
            take(conn, &node, &label, &mut taken).await?;
            // Others can be taken by others, and what was taken is kept.
            if taken.again.len() + taken.ended.len() >= AT_ONCE as usize {
                break;
            }
        }
        if !taken.again.is_empty() {
            conn.call_workers().await?;
        }
        let next = "SELECT lease_until - (SELECT {now}) FROM desist_ops_node \
                    WHERE lease_until > 0 ORDER BY lease_until LIMIT 1";
        for mut row in conn.rows(next, values![]).await? {
            taken.next = Some(duration(row.int()?));
        }
        Ok(taken)
    }
}

/// What that node ran. What somebody else holds is left for the next time, and so is the node:
/// nobody is to wait for that.
async fn take<C: Conn>(
    conn: &mut C,
    node: &str,
    label: &str,
    taken: &mut TakenOver,
) -> Result<(), Error> {
    let finds = "SELECT id, cancel_at, after_death, attempt, attempts FROM desist_ops \
                 WHERE node = $1 ORDER BY id LIMIT $2 {skip}";
    let (mut cancelled, mut failed, mut again) = (vec![], vec![], vec![]);
    let rows = conn.rows(finds, values![node, AT_ONCE]).await?;
    taken.more |= !rows.is_empty();
    for mut row in rows {
        let id = row.parsed::<OperationId>()?;
        let is_asked = row.maybe_int()?.is_some();
        let restarts = row.text()? == "restart";
        let has_left = row.int()? < row.int()?;
        let bin = match (is_asked, restarts && has_left) {
            (true, _) => &mut cancelled,
            (false, true) => &mut again,
            (false, false) => &mut failed,
        };
        bin.push(id);
    }
    let died = format!("the process that ran it has died or was cut off: {label}");
    for (ids, state) in [(&cancelled, "cancelled"), (&failed, "failed"), (&again, "waiting")] {
        if ids.is_empty() {
            continue;
        }
        let listed = listed(ids.iter().copied());
        let takes = "UPDATE desist_ops SET state = $1, node = NULL, error = $2, \
            generation = generation + 1, version = version + 1, refused_at = NULL, \
            run_at = CASE WHEN $1 = 'waiting' THEN {now} ELSE run_at END, \
            finished_at = CASE WHEN $1 = 'waiting' THEN NULL ELSE {now} END \
            WHERE id IN {any 3}";
        conn.rows(takes, values![state, died.as_str(), listed.as_str()]).await?;
        event(conn, &listed, "taken_over", detail! { "from": label, "now": state }).await?;
        conn.call_changed(&listed).await?;
    }
    // Whoever waits for the lock of a row that stays finds it changed, and looks again.
    let ends = "UPDATE desist_ops_node SET lease_until = 0 WHERE node = $1";
    conn.rows(ends, values![node]).await?;
    let leaves = "DELETE FROM desist_ops_node WHERE node = $1 \
        AND NOT EXISTS (SELECT 1 FROM desist_ops WHERE node = $1)";
    conn.rows(leaves, values![node]).await?;
    taken.again.append(&mut again);
    taken.ended.extend(cancelled.into_iter().chain(failed));
    Ok(())
}
