//! The lease of a node, and the intents that it hears with it: P7 to P9.

use std::time::Duration;

use super::rows::{CANCEL, request};
use super::{any, listed};
use crate::store::{Conn, Work, micros, values};
use crate::{CancelRequest, Error, OperationId};

/// A node begins.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) node: String,
    pub(crate) label: String,
    pub(crate) lease: Duration,
}

impl Work for Join {
    type Done = ();

    async fn run<C: Conn>(self, conn: &mut C) -> Result<(), Error> {
        let joins = "INSERT INTO desist_ops_node (node, label, joined_at, lease_until) \
            VALUES ($1, $2, {now}, {now} + $3) \
            ON CONFLICT (node) DO UPDATE SET lease_until = excluded.lease_until";
        conn.rows(joins, values![self.node, self.label, micros(self.lease)]).await.map(drop)
    }
}

/// A node ends, and runs nothing any more. One that does is left to its lease.
#[derive(Debug, Clone)]
pub(crate) struct Leave {
    pub(crate) node: String,
}

impl Work for Leave {
    type Done = ();

    async fn run<C: Conn>(self, conn: &mut C) -> Result<(), Error> {
        let leaves = "DELETE FROM desist_ops_node WHERE node = $1 \
            AND NOT EXISTS (SELECT 1 FROM desist_ops WHERE node = $1)";
        conn.rows(leaves, values![self.node]).await.map(drop)
    }
}

/// What is known of an operation that a node runs.
#[derive(Debug)]
pub(crate) struct Intent {
    pub(crate) id: OperationId,
    pub(crate) generation: i64,
    pub(crate) request: Option<CancelRequest>,
    /// How long ago the first request was made, by the database's clock.
    pub(crate) age: Duration,
}

/// A node lives.
#[derive(Debug, Clone)]
pub(crate) struct Renew {
    pub(crate) node: String,
    pub(crate) lease: Duration,
}

/// All that it runs; `None`: its lease is over.
pub(crate) type Held = Option<Vec<Intent>>;

impl Work for Renew {
    type Done = Held;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Held, Error> {
        let renews = "UPDATE desist_ops_node SET lease_until = {now} + $2 \
            WHERE node = $1 AND lease_until > {now} RETURNING node";
        if !any(&conn.rows(renews, values![self.node.as_str(), micros(self.lease)]).await?) {
            return Ok(None);
        }
        let looks =
            format!("SELECT id, generation, {{now}}, {CANCEL} FROM desist_ops WHERE node = $1");
        read(conn.rows(&looks, values![self.node]).await?).map(Some)
    }
}

/// Looks at some.
#[derive(Debug, Clone)]
pub(crate) struct Intents {
    pub(crate) node: String,
    pub(crate) ids: Vec<OperationId>,
}

impl Work for Intents {
    type Done = Vec<Intent>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<Intent>, Error> {
        let looks = format!(
            "SELECT id, generation, {{now}}, {CANCEL} FROM desist_ops \
             WHERE id IN {{any 1}} AND node = $2"
        );
        read(conn.rows(&looks, values![listed(self.ids), self.node]).await?)
    }
}

fn read(rows: Vec<crate::store::Row>) -> Result<Vec<Intent>, Error> {
    let read = |mut row: crate::store::Row| {
        let (id, generation) = (row.parsed()?, row.int()?);
        let now = crate::store::time(row.int()?);
        let request = request(&mut row)?;
        let asked = request.as_ref().and_then(CancelRequest::at);
        let age = asked.and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
        Ok(Intent { id, generation, request, age })
    };
    rows.into_iter().map(read).collect()
}
