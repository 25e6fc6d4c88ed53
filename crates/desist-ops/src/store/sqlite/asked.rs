//! A step of the protocol, done on the thread that has the connection.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use desist_sql::sqlite::rusqlite::types::ValueRef;
use desist_sql::sqlite::rusqlite::{self, Connection};

use crate::Error;
use crate::error::Kind;
use crate::lock::lock;
use crate::store::{Conn, Dialect, Row, Value, Work};

/// Where a step lays its statement, and finds what it gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    slot: Arc<Mutex<Slot>>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Empty,
    Asks(String, Vec<Value>),
    Given(Result<Vec<Row>, Error>),
}

impl Asked {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        lock(&self.slot)
    }
}

impl Conn for Asked {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn rows(&mut self, statement: &str, values: Vec<Value>) -> Result<Vec<Row>, Error> {
        *self.slot() = Slot::Asks(Dialect::Sqlite.says(statement), values);
        std::future::poll_fn(|_| {
            let mut slot = self.slot();
            match std::mem::take(&mut *slot) {
                Slot::Given(given) => Poll::Ready(given),
                asks => {
                    *slot = asks;
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn hold(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn hold_together(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn call_nodes(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn call_changed(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn call_workers(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Does the step with that connection, here and now.
pub(super) fn drive<W: Work>(conn: &Connection, work: W) -> Result<W::Done, Error> {
    let asked = Asked::default();
    let mut lent = asked.clone();
    let mut step = pin!(work.run(&mut lent));
    loop {
        if let Poll::Ready(done) = step.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        let Slot::Asks(statement, values) = std::mem::take(&mut *asked.slot()) else {
            unreachable!("a step waits for nothing but its database")
        };
        let given = rows(conn, &statement, values).map_err(failed);
        *asked.slot() = Slot::Given(given);
    }
}

fn rows(conn: &Connection, statement: &str, values: Vec<Value>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = conn.prepare_cached(statement)?;
    for (n, value) in values.into_iter().enumerate() {
        let Some(index) = statement.parameter_index(&format!("${}", n + 1))? else { continue };
        match value {
            Value::Text(text) => statement.raw_bind_parameter(index, text)?,
            Value::Int(number) => statement.raw_bind_parameter(index, number)?,
        }
    }
    let columns = statement.column_count();
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let value = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Text(None),
                ValueRef::Integer(number) => Value::Int(Some(number)),
                #[allow(clippy::cast_possible_truncation)] // None is kept; it may be computed.
                ValueRef::Real(number) => Value::Int(Some(number as i64)),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    Value::Text(Some(String::from_utf8_lossy(text).into_owned()))
                }
            })
        };
        found.push(Row::new((0..columns).map(value).collect::<rusqlite::Result<Vec<_>>>()?));
    }
    Ok(found)
}

pub(super) fn failed(error: rusqlite::Error) -> Error {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let said = if full {
        "the disk that the operations are on is full; make room, and ask again"
    } else {
        "a statement of the database of operations failed"
    };
    Error::new(Kind::Database, said).because(error)
}
