//! What is asked about operations.

use super::rows::{COLUMNS, operation};
use crate::event::Event;
use crate::filter::Filter;
use crate::operation::Operation;
use crate::store::{Conn, Value, Work, time, values};
use crate::{Error, OperationId};

/// One.
#[derive(Debug, Clone)]
pub(crate) struct Get {
    pub(crate) id: OperationId,
}

impl Work for Get {
    type Done = Option<Operation>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Option<Operation>, Error> {
        let reads = format!("SELECT {COLUMNS} FROM desist_ops WHERE id = $1");
        conn.rows(&reads, values![self.id]).await?.into_iter().next().map(operation).transpose()
    }
}

/// What `filter` asks for, newest first.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) filter: Filter,
}

impl Work for List {
    type Done = Vec<Operation>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<Operation>, Error> {
        let (conditions, mut values) = conditions(&self.filter);
        let most = values.len() + 1;
        let reads =
            format!("SELECT {COLUMNS} FROM desist_ops{conditions} ORDER BY seq DESC LIMIT ${most}");
        values.push(i64::from(self.filter.most).into());
        conn.rows(&reads, values).await?.into_iter().map(operation).collect()
    }
}

/// How many there are of what `filter` asks for.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    pub(crate) filter: Filter,
}

impl Work for Count {
    type Done = u64;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<u64, Error> {
        let (conditions, values) = conditions(&self.filter);
        let counts = format!("SELECT count(*) FROM desist_ops{conditions}");
        let rows = conn.rows(&counts, values).await?;
        let mut row = rows.into_iter().next();
        row.as_mut().map_or(Ok(0), |row| row.int().map(i64::unsigned_abs))
    }
}

fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let (mut said, mut values) = (Vec::new(), Vec::new());
    let mut says = |condition: &str, value: Value| {
        values.push(value);
        said.push(condition.replace('#', &format!("${}", values.len())));
    };
    if let Some(kind) = &filter.kind {
        says("kind = #", kind.as_str().into());
    }
    if let Some(state) = filter.state {
        says("state = #", state.as_str().into());
    }
    if let Some(key) = &filter.key {
        says("key = # AND state IN ('waiting', 'running')", key.as_str().into());
    }
    if let Some(tag) = &filter.tag {
        says("id IN (SELECT id FROM desist_ops_tag WHERE tag = #)", tag.as_str().into());
    }
    if let Some(parent) = filter.parent {
        says("parent = #", parent.into());
    }
    if let Some(actor) = &filter.actor {
        says("actor = #", actor.as_str().into());
    }
    if let Some(root) = filter.tree {
        let below = "id IN (WITH RECURSIVE below (id) AS (SELECT id FROM desist_ops WHERE id = # \
            UNION SELECT o.id FROM desist_ops o JOIN below ON o.parent = below.id) SELECT id FROM below)";
        says(below, root.into());
    }
    if let Some(reason) = filter.reason {
        says("cancel_reason = #", reason.as_str().into());
    }
    if let Some(actor) = &filter.cancelled_by {
        says("cancel_actor = #", actor.as_str().into());
    }
    if let Some(before) = filter.before {
        says("seq < #", before.into());
    }
    let conditions =
        if said.is_empty() { String::new() } else { format!(" WHERE {}", said.join(" AND ")) };
    (conditions, values)
}

/// The one that runs or waits under a key.
#[derive(Debug, Clone)]
pub(crate) struct Find {
    pub(crate) kind: String,
    pub(crate) key: String,
}

impl Work for Find {
    type Done = Option<Operation>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Option<Operation>, Error> {
        let reads = format!(
            "SELECT {COLUMNS} FROM desist_ops WHERE kind = $1 AND key = $2 ORDER BY seq DESC LIMIT 1"
        );
        let rows = conn.rows(&reads, values![self.kind, self.key]).await?;
        rows.into_iter().next().map(operation).transpose()
    }
}

/// Those that were told to stop longer ago than they may take, the longest first.
#[derive(Debug, Clone)]
pub(crate) struct Overdue {
    pub(crate) most: u32,
}

impl Work for Overdue {
    type Done = Vec<Operation>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<Operation>, Error> {
        let reads = format!(
            "SELECT {COLUMNS} FROM desist_ops WHERE node IS NOT NULL AND stop_at IS NOT NULL \
             AND stop_at + grace < (SELECT {{now}}) ORDER BY stop_at LIMIT $1"
        );
        let rows = conn.rows(&reads, values![i64::from(self.most)]).await?;
        rows.into_iter().map(operation).collect()
    }
}

/// What happened to one after that.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    pub(crate) id: OperationId,
    pub(crate) after: i64,
    pub(crate) most: u32,
}

impl Work for Events {
    type Done = Vec<Event>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<Event>, Error> {
        let reads = "SELECT number, at, what, detail FROM desist_ops_event \
                     WHERE id = $1 AND number > $2 ORDER BY number LIMIT $3";
        let rows = conn.rows(reads, values![self.id, self.after, i64::from(self.most)]).await?;
        let read = |mut row: crate::store::Row| {
            let (number, at) = (row.int()?, time(row.int()?));
            Ok(Event { number, at, what: row.text()?, detail: row.text()? })
        };
        rows.into_iter().map(read).collect()
    }
}
