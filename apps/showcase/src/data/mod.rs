//! What is kept: documents, and an index of their words; in SQLite or in Postgres.

mod made_up;
mod postgres;
mod sqlite;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use desist::Token;
use desist_host::BoxError;
use serde::Serialize;

pub(crate) use self::made_up::made_up;
pub(crate) use self::postgres::{PostgresDocuments, is_away};
pub(crate) use self::sqlite::SqliteDocuments;

/// So many are there from the beginning: enough that comparing each with each takes its time.
const FIRST: u32 = 2000;

/// One that is to be kept. Of two with one key the first is.
#[derive(Clone)]
pub(crate) struct New {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) text: String,
}

#[derive(Serialize)]
pub(crate) struct Document {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// One that has the word that was looked for.
#[derive(Serialize)]
pub(crate) struct Found {
    pub(crate) id: i64,
    pub(crate) title: String,
    /// How often the first ones say the same.
    pub(crate) alike: i64,
}

/// Each of these stops within the database when its token is cancelled.
#[async_trait]
pub(crate) trait Documents: Send + Sync {
    /// Makes its tables, and what is in them at first.
    async fn prepare(&self, stop: &Token) -> Result<(), BoxError>;

    /// Those that are new, all or none. Gives how many were.
    async fn add(&self, stop: &Token, documents: Vec<New>) -> Result<u64, BoxError>;

    /// Indexes the words of so many that are not yet. Gives how many there were.
    async fn index(&self, stop: &Token, most: u32) -> Result<u64, BoxError>;

    async fn count(&self, stop: &Token) -> Result<i64, BoxError>;

    /// The next so many after this one, in the order of their numbers.
    async fn after(&self, stop: &Token, id: i64, most: u32) -> Result<Vec<Document>, BoxError>;

    /// The ones with this word that are most like the first: some seconds of work for a database.
    async fn search(&self, stop: &Token, word: String) -> Result<Vec<Found>, BoxError>;

    /// Compares each of the first with each: how many passages of one are in another. A minute of
    /// work, and more.
    async fn report(&self, stop: &Token) -> Result<i64, BoxError>;
}

/// For whoever has nothing to import.
async fn fill(documents: &dyn Documents, stop: &Token) -> Result<(), BoxError> {
    if documents.count(stop).await? == 0 {
        let first = (1..=u64::from(FIRST)).map(|number| made_up("first", number)).collect();
        documents.add(stop, first).await?;
    }
    Ok(())
}

pub(crate) type Shared = Arc<dyn Documents>;
