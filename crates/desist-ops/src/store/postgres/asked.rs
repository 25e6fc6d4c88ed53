//! The driver, as the protocol speaks to it. No statement is prepared under a name, so that it
//! works behind any pooler.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{GenericClient, Row as PgRow};

use crate::Error;
use crate::error::Kind;
use crate::store::{Conn, Dialect, Row, Value, Within, Work, conn_strange as strange, values};

/// The channel of calls to everybody.
pub(super) const ALL: &str = "desist_ops";

/// For the transaction that it is said in, whatever is between here and the server.
const BOUND: &str = "SET LOCAL idle_in_transaction_session_timeout = '5s'";
/// And for one that is nothing but a step: each statement sees what was committed before it, whatever
/// is usual there.
pub(super) const FRESH: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// The driver's client, within a transaction.
pub(super) struct Asked<'a, C> {
    client: &'a C,
    /// Whether the transaction ends with this step, and is not somebody else's to go on with.
    is_last: bool,
}

impl<'a, C: GenericClient + Sync> Asked<'a, C> {
    /// In the middle of a transaction of somebody else's, or without any.
    pub(super) fn within(client: &'a C) -> Self {
        Self { client, is_last: false }
    }

    /// What a call waits for as it is committed is waited for: it is everybody's, and short.
    async fn is_patient(&mut self) -> Result<(), Error> {
        if self.is_last {
            let patient = "SELECT set_config('lock_timeout', '0', true)";
            self.rows(patient, Vec::new()).await?;
        }
        Ok(())
    }
}

/// And for one that nobody is to wait behind: it does not wait for what somebody holds, and gives its
/// connection back before it asks again.
const BRIEF: &str = "SET LOCAL lock_timeout = '50ms'";

/// Does the step, within a transaction that the server ends if nothing more is said in it: who is
/// cut off or stopped in its middle would keep its locks for as long as the server takes it for
/// alive, which may be hours, and nobody could take over from it.
pub(super) async fn step<C, W>(client: &C, within: Within, work: W) -> Result<W::Done, Error>
where
    C: GenericClient + Sync,
    W: Work,
{
    // What is over a whole tree stays in the row for it, or those who pass it never end.
    let brief = if within == Within::Lease || work.is_large() { "" } else { BRIEF };
    after(&format!("{FRESH}; {BOUND}; {brief}"), client, work).await
}

/// The same as the last step of a transaction of somebody else's.
pub(super) async fn last_step<C, W>(client: &C, work: W) -> Result<W::Done, Error>
where
    C: GenericClient + Sync,
    W: Work,
{
    after(BOUND, client, work).await
}

async fn after<C, W>(says: &str, client: &C, work: W) -> Result<W::Done, Error>
where
    C: GenericClient + Sync,
    W: Work,
{
    // In the same flush as the first statement.
    let (said, done) = tokio::join!(client.batch_execute(says), async {
        work.run(&mut Asked { client, is_last: true }).await
    });
    said.map_err(failed)?;
    done
}

impl<C: GenericClient + Sync> Conn for Asked<'_, C> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn rows(&mut self, statement: &str, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        let statement = Dialect::Postgres.says(statement);
        let values: Vec<(&(dyn ToSql + Sync), Type)> = values
            .iter()
            .map(|value| match value {
                Value::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
                Value::Int(number) => (number as &(dyn ToSql + Sync), Type::INT8),
            })
            .collect();
        let rows = self.client.query_typed(&statement, &values).await.map_err(failed)?;
        rows.iter().map(row).collect()
    }

    async fn hold(&mut self, key: &str) -> Result<(), Error> {
        let holds = "SELECT CAST(NULL AS text) FROM \
                     (SELECT pg_advisory_xact_lock(hashtextextended($1, 3735928559))) held";
        self.rows(holds, values![key]).await.map(drop)
    }

    async fn hold_together(&mut self, key: &str) -> Result<(), Error> {
        let holds = "SELECT CAST(NULL AS text) FROM \
                     (SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 3735928559))) held";
        self.rows(holds, values![key]).await.map(drop)
    }

    async fn call_nodes(&mut self, ids: &str) -> Result<(), Error> {
        self.is_patient().await?;
        let calls = "SELECT count(pg_notify('desist_ops_' || node, 'cancel ' || id)) \
                     FROM desist_ops WHERE id IN {any 1} AND node IS NOT NULL";
        self.rows(calls, values![ids]).await.map(drop)
    }

    async fn call_changed(&mut self, ids: &str) -> Result<(), Error> {
        self.is_patient().await?;
        let calls =
            "SELECT count(pg_notify($1, 'changed ' || id)) FROM desist_ops WHERE id IN {any 2}";
        self.rows(calls, values![ALL, ids]).await.map(drop)
    }

    async fn call_workers(&mut self) -> Result<(), Error> {
        self.is_patient().await?;
        let calls = "SELECT count(pg_notify($1, 'work'))";
        self.rows(calls, values![ALL]).await.map(drop)
    }
}

fn row(row: &PgRow) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for (n, column) in row.columns().iter().enumerate() {
        let value = if *column.type_() == Type::INT8 {
            row.try_get(n).map(Value::Int)
        } else if *column.type_() == Type::INT4 {
            row.try_get::<_, Option<i32>>(n).map(|number| Value::Int(number.map(i64::from)))
        } else {
            row.try_get(n).map(Value::Text)
        };
        values.push(value.map_err(|error| strange("its types are others").because(error))?);
    }
    Ok(Row::new(values))
}

pub(super) fn failed(error: tokio_postgres::Error) -> Error {
    use tokio_postgres::error::SqlState;

    let said = match error.code() {
        Some(&SqlState::UNDEFINED_TABLE) => {
            "the tables of operations are not there; is it the right database and schema, and \
             was `Operations::builder(..).open()` called?"
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            "the user of the database may not do that; grant it the tables `desist_ops…` and, for \
             the first start, CREATE on the schema"
        }
        Some(&SqlState::DISK_FULL) => {
            "the disk of the database of operations is full; make room, and ask again"
        }
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => {
            "the database of operations is a standby, which cannot be written to; give the \
             address of the primary, as with target_session_attrs=read-write"
        }
        _ => "a statement of the database of operations failed",
    };
    Error::new(Kind::Database, said).because(error)
}
