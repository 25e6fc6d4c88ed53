//! A connection within a transaction, of whichever database.
//!
//! The statements of the protocol are written once. They use what both databases have (texts and
//! whole numbers, `RETURNING`), and these words for what differs:
//!
//! | word | Postgres | SQLite |
//! |---|---|---|
//! | `{now}` | its clock, in microseconds | the same, of milliseconds |
//! | `{lock}` | `FOR NO KEY UPDATE` | nothing: who writes is alone |
//! | `{whole}` | `FOR UPDATE`: against `{alive}`, too | nothing |
//! | `{alive}` | `FOR KEY SHARE`: changes do not wait for it | nothing |
//! | `{skip}` | `FOR UPDATE SKIP LOCKED` | nothing |
//! | `{any N}` | the texts in the JSON array `$N`, after `IN` | the same |
//! | `{once` … `}` | `= ANY(ARRAY(` … `))`: found once, before anything is changed | `IN (` … `)` |

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Error;
use crate::error::Kind;

/// What goes in and comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    Int(Option<i64>),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Int(Some(micros(time)))
    }
}

impl From<crate::OperationId> for Value {
    fn from(id: crate::OperationId) -> Self {
        id.to_string().into()
    }
}

/// As the database counts time.
pub(crate) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4)
}

pub(crate) fn time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// What a statement gives, column by column.
#[derive(Debug)]
pub struct Row(VecDeque<Value>);

impl Row {
    pub(crate) fn new(values: impl IntoIterator<Item = Value>) -> Self {
        Self(values.into_iter().collect())
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.0.pop_front().ok_or_else(|| strange("a column is missing"))
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<String>, Error> {
        match self.next()? {
            Value::Text(text) => Ok(text),
            Value::Int(None) => Ok(None),
            Value::Int(Some(_)) => Err(strange("a number is where a text should be")),
        }
    }

    pub(crate) fn maybe_int(&mut self) -> Result<Option<i64>, Error> {
        match self.next()? {
            Value::Int(number) => Ok(number),
            Value::Text(None) => Ok(None),
            Value::Text(Some(_)) => Err(strange("a text is where a number should be")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        self.maybe_text()?.ok_or_else(|| strange("a text is missing"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, Error> {
        self.maybe_int()?.ok_or_else(|| strange("a number is missing"))
    }

    pub(crate) fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        self.text()?.parse().map_err(|_| strange("a text does not say what it should"))
    }

    pub(crate) fn maybe_time(&mut self) -> Result<Option<SystemTime>, Error> {
        Ok(self.maybe_int()?.map(time))
    }
}

/// Somebody else has written there.
pub(crate) fn strange(what: &str) -> Error {
    let said = format!("a row of `desist_ops` cannot be read, {what}; has somebody changed it?");
    Error::new(Kind::Database, said)
}

/// Which words a database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    #[cfg_attr(not(feature = "postgres"), allow(dead_code))]
    Postgres,
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code))]
    Sqlite,
}

impl Dialect {
    /// The statement as it is said there.
    pub(crate) fn says(self, statement: &str) -> String {
        let mut said = String::with_capacity(statement.len() + 200);
        let mut rest = statement;
        // `{once` is closed by the next brace that closes nothing else.
        let mut open = 0;
        while let Some(at) = rest.find(['{', '}']) {
            said.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(left) = rest.strip_prefix('}') {
                assert!(open > 0, "nothing is open: {statement}");
                open -= 1;
                said.push_str(if self == Self::Postgres { "))" } else { ")" });
                rest = left;
            } else if let Some(left) = rest.strip_prefix("{once") {
                open += 1;
                said.push_str(if self == Self::Postgres { "= ANY(ARRAY(" } else { "IN (" });
                rest = left;
            } else {
                let end = rest.find('}').unwrap_or(rest.len() - 1);
                said.push_str(&self.word(&rest[1..end]));
                rest = &rest[end + 1..];
            }
        }
        said.push_str(rest);
        said
    }

    fn word(self, word: &str) -> String {
        let postgres = self == Self::Postgres;
        if let Some(n) = word.strip_prefix("any ") {
            return if postgres {
                format!("(SELECT json_array_elements_text(CAST(${n} AS json)))")
            } else {
                format!("(SELECT value FROM json_each(${n}))")
            };
        }
        match (word, postgres) {
            ("now", true) => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
            ("now", false) => {
                "(CAST(round((julianday('now') - 2440587.5) * 86400000) AS integer) * 1000)"
            }
            ("lock", true) => "FOR NO KEY UPDATE",
            ("whole", true) => "FOR UPDATE",
            ("alive", true) => "FOR KEY SHARE",
            ("skip", true) => "FOR UPDATE SKIP LOCKED",
            ("lock" | "whole" | "alive" | "skip", false) => "",
            _ => unreachable!("no such word: {word}"),
        }
        .to_owned()
    }
}

/// A connection within a transaction.
pub trait Conn: Send {
    /// Which one it is.
    fn dialect(&self) -> Dialect;

    /// What a statement gives. Its parameters are `$1`, `$2`, …, first named in that order.
    fn rows(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Holds that key until the transaction ends, where others could come in between.
    fn hold(&mut self, key: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Holds it together with others who do the same. Whoever waits to have it alone is let
    /// before those who come later.
    fn hold_together(&mut self, key: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Says to the nodes that run these, when the transaction is committed, to look at them.
    fn call_nodes(&mut self, ids: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Says to whoever watches these, when it is committed, that they have changed.
    fn call_changed(&mut self, ids: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Says to all, when it is committed, that there is work.
    fn call_workers(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Values of different types, one after the other.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::Value::from($value)),*] };
}
pub(crate) use values;

#[cfg(test)]
mod tests {
    use super::Dialect;

    #[test]
    fn each_database_is_spoken_to_in_its_own_words() {
        let statement = "UPDATE t SET at = {now} WHERE id {once SELECT id FROM t WHERE id IN {any 1} LIMIT 2 {skip}} RETURNING id";
        assert_eq!(
            Dialect::Postgres.says(statement),
            "UPDATE t SET at = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) \
             WHERE id = ANY(ARRAY( SELECT id FROM t WHERE id IN (SELECT \
             json_array_elements_text(CAST($1 AS json))) LIMIT 2 FOR UPDATE SKIP LOCKED)) RETURNING id"
        );
        assert_eq!(
            Dialect::Sqlite.says(statement),
            "UPDATE t SET at = (CAST(round((julianday('now') - 2440587.5) * 86400000) AS integer) \
             * 1000) WHERE id IN ( SELECT id FROM t WHERE id IN (SELECT value FROM json_each($1)) \
             LIMIT 2 ) RETURNING id"
        );
    }
}
