//! What has been over for long is removed; of a tree the leaves first, so that it stays one as
//! long as any of it is there.

use std::time::Duration;

use super::listed;
use crate::store::{Conn, Work, micros, values};
use crate::{Error, OperationId};

/// So many in one transaction.
const AT_ONCE: i64 = 500;

/// Removes some that ended so long ago, with their tags and what is kept of them.
#[derive(Debug, Clone)]
pub(crate) struct Prune {
    pub(crate) after: Duration,
}

impl Work for Prune {
    /// Whether there may be more.
    type Done = bool;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<bool, Error> {
        let finds = "SELECT id FROM desist_ops WHERE finished_at < (SELECT {now}) - $1 \
                     AND NOT EXISTS (SELECT 1 FROM desist_ops child WHERE child.parent = desist_ops.id) \
                     ORDER BY finished_at LIMIT $2 {skip}";
        let mut ids = Vec::<OperationId>::new();
        for mut row in conn.rows(finds, values![micros(self.after), AT_ONCE]).await? {
            ids.push(row.parsed()?);
        }
        if ids.is_empty() {
            return Ok(false);
        }
        let more = i64::try_from(ids.len()) == Ok(AT_ONCE);
        // They are locked by now: what was started below one before that is seen here.
        let removes = "DELETE FROM desist_ops WHERE id IN {any 1} AND NOT EXISTS \
            (SELECT 1 FROM desist_ops child WHERE child.parent = desist_ops.id) RETURNING id";
        let mut gone = Vec::<OperationId>::new();
        for mut row in conn.rows(removes, values![listed(ids)]).await? {
            gone.push(row.parsed()?);
        }
        let more = more && !gone.is_empty();
        let ids = listed(gone);
        for table in ["desist_ops_event", "desist_ops_tag"] {
            let removes = format!("DELETE FROM {table} WHERE id IN {{any 1}}");
            conn.rows(&removes, values![ids.as_str()]).await?;
        }
        Ok(more)
    }
}
