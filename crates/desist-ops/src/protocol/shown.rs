//! What a page shows of operations: which of them have changed is asked often and costs little,
//! and what has changed is read whole.

use super::listed;
use super::rows::{COLUMNS, operation};
use crate::operation::Operation;
use crate::store::{Conn, Row, Work, values};
use crate::{Error, OperationId};

/// Which run, which wait, which were asked to stop and do not, and which were and have ended, with
/// their versions.
#[derive(Debug, Clone)]
pub(crate) struct Open {
    /// So many of each: the oldest, and of those that were stopped the last.
    pub(crate) running: u32,
    pub(crate) waiting: u32,
    pub(crate) stopping: u32,
    pub(crate) stopped: u32,
}

/// Names and versions, in no order; one that is stopping is twice or three times there.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) running: Vec<(OperationId, i64)>,
    pub(crate) waiting: Vec<(OperationId, i64)>,
    /// By when it was to stop, and by when it was asked.
    pub(crate) stopping: [Vec<(OperationId, i64)>; 2],
    pub(crate) stopped: Vec<(OperationId, i64)>,
    /// By the database's clock, in microseconds.
    pub(crate) now: i64,
}

/// Each part goes along an index that has its order, also where nobody knows how many rows there are:
/// SQLite does not, unless it is told to count them, and would go through the whole table for `node`.
/// One that did not run when it was asked, or whose process never heard, took no time to stop.
const OPEN: &str = "SELECT id, version, what, {now} FROM ( \
    SELECT id, version, CAST(0 AS bigint) AS what FROM (SELECT id, version FROM desist_ops \
        WHERE state = 'running' ORDER BY seq LIMIT $1) runs \
    UNION ALL SELECT id, version, CAST(1 AS bigint) FROM (SELECT id, version FROM desist_ops \
        WHERE state = 'waiting' ORDER BY seq LIMIT $2) waits \
    UNION ALL SELECT id, version, CAST(2 AS bigint) FROM (SELECT id, version FROM desist_ops \
        WHERE cancel_at IS NOT NULL AND finished_at IS NOT NULL AND heard_at IS NOT NULL \
        ORDER BY finished_at DESC LIMIT $3) stopped \
    UNION ALL SELECT id, version, CAST(4 AS bigint) FROM (SELECT id, version FROM desist_ops \
        WHERE node IS NOT NULL AND stop_at IS NOT NULL ORDER BY stop_at LIMIT $4) late \
    UNION ALL SELECT id, version, CAST(5 AS bigint) FROM (SELECT id, version FROM desist_ops \
        WHERE cancel_at IS NOT NULL AND finished_at IS NULL ORDER BY cancel_at LIMIT $4) asked \
    UNION ALL SELECT CAST('' AS text), CAST(0 AS bigint), CAST(3 AS bigint)) shown";

impl Work for Open {
    type Done = Opened;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Opened, Error> {
        let limits = [self.running, self.waiting, self.stopped, self.stopping];
        let [running, waiting, stopped, stopping] = limits.map(i64::from);
        let mut opened = Opened::default();
        for mut row in conn.rows(OPEN, values![running, waiting, stopped, stopping]).await? {
            let row = &mut row;
            let (id, version) = (row.text()?, row.int()?);
            let (what, now) = (row.int()?, row.int()?);
            opened.now = now;
            let all = match what {
                0 => &mut opened.running,
                1 => &mut opened.waiting,
                2 => &mut opened.stopped,
                4 => &mut opened.stopping[0],
                5 => &mut opened.stopping[1],
                // It is there for the clock, where nothing else is.
                _ => continue,
            };
            all.push((
                id.parse().map_err(|_| crate::store::conn_strange("an id is none"))?,
                version,
            ));
        }
        Ok(opened)
    }
}

/// These, without what they gave.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) ids: Vec<OperationId>,
}

impl Work for Shown {
    /// Those that there are, in no order.
    type Done = Vec<Operation>;
    const READS: bool = true;

    async fn run<C: Conn>(self, conn: &mut C) -> Result<Vec<Operation>, Error> {
        // It may be large, and is shown to who asks for that one.
        let columns = COLUMNS.replace(" output,", " CAST(NULL AS text),");
        let reads = format!("SELECT {columns} FROM desist_ops WHERE id IN {{any 1}}");
        let rows: Vec<Row> = conn.rows(&reads, values![listed(self.ids)]).await?;
        rows.into_iter().map(operation).collect()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use desist::Token;
    use desist_sql::sqlite::rusqlite;

    use crate::store::Dialect;
    use crate::{Operations, Sqlite};

    /// Many have ended, and a few are open.
    #[tokio::test]
    async fn on_sqlite_what_is_open_is_found_without_what_has_ended() {
        let store = Sqlite::open(":memory:").await.unwrap();
        let _operations = Operations::builder(store.clone()).open().await.unwrap();
        let explains = format!("EXPLAIN QUERY PLAN {}", Dialect::Sqlite.says(super::OPEN));
        let plan = store.pool().run(&Token::never(), move |conn| {
            let mut explains = conn.prepare(&explains)?;
            let steps = explains.query_map([1, 1, 1, 1], |row| row.get::<_, String>(3))?;
            steps.collect::<rusqlite::Result<Vec<_>>>()
        });
        let plan = plan.await.unwrap();
        let by = |index: &str| {
            let search = format!("SEARCH desist_ops USING INDEX {index} (");
            plan.iter().filter(|step| step.starts_with(&search)).count()
        };
        assert_eq!((by("desist_ops_state"), by("desist_ops_stopped")), (2, 1), "{plan:#?}");
        assert_eq!((by("desist_ops_stopping"), by("desist_ops_asked")), (1, 1), "{plan:#?}");
        let is_slow = |step: &&String| step.contains("SCAN desist_ops") || step.contains("B-TREE");
        assert_eq!(plan.iter().find(is_slow), None);
    }
}
