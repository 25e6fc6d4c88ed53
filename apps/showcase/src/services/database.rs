//! What is kept: opened before anybody needs it, closed when nobody does.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use desist::{Token, find_cancelled};
use desist_host::{BoxError, Service, Stop};
use desist_ops::{Postgres, Sqlite, Store};

use super::House;
use crate::config::Config;
use crate::data::{PostgresDocuments, Shared, SqliteDocuments};
use crate::mediator::and_behind_it;
use crate::operations::{self, Needs};

/// Which database it is.
pub(crate) trait Backend: Send + 'static {
    type Store: Store;

    /// Documents and operations, in one database.
    fn open(
        &self,
        config: &Config,
        stop: &Token,
    ) -> impl Future<Output = Result<(Shared, Self::Store), BoxError>> + Send;

    /// When nobody has anything to do there any more.
    fn close(store: Self::Store) -> impl Future<Output = ()> + Send;
}

/// How long what still runs there is waited for.
const CLOSES_WITHIN: Duration = Duration::from_secs(3);

pub(crate) struct OnSqlite;

impl Backend for OnSqlite {
    type Store = Sqlite;

    async fn open(&self, config: &Config, stop: &Token) -> Result<(Shared, Sqlite), BoxError> {
        let file = config.sqlite_file();
        let store = Sqlite::open(&file).await.map_err(|error| {
            let advice = "say --data with a folder for another";
            format!("{}: {}; {advice}", file.display(), and_behind_it(&error))
        })?;
        let documents: Shared = Arc::new(SqliteDocuments::new(store.pool().clone()));
        let advice = "is it that of another program? say --data with a folder for another";
        prepare(&documents, stop, file.display(), advice).await?;
        Ok((documents, store))
    }

    async fn close(store: Sqlite) {
        let _ = store.close_within(CLOSES_WITHIN).await;
    }
}

pub(crate) struct OnPostgres {
    pub(crate) address: String,
}

impl Backend for OnPostgres {
    type Store = Postgres;

    async fn open(&self, config: &Config, stop: &Token) -> Result<(Shared, Postgres), BoxError> {
        let mut address: tokio_postgres::Config = self.address.parse().map_err(|error| {
            let said = and_behind_it(&error);
            format!("--database {said}; say postgres://user@host/database, or nothing for a file of SQLite")
        })?;
        if address.get_application_name().is_none() {
            address.application_name(Config::instance());
        }
        let store = Postgres::builder(address).build()?;
        let documents: Shared = Arc::new(PostgresDocuments::new(store.pool().clone()));
        let advice = "without --database it takes a file of SQLite";
        prepare(&documents, stop, config.database_in_words(), advice).await?;
        Ok((documents, store))
    }

    async fn close(store: Postgres) {
        let _ = store.pool().close_within(CLOSES_WITHIN).await;
    }
}

/// What it fails with says which database it is, and what to do.
async fn prepare(
    documents: &Shared,
    stop: &Token,
    which: impl Display + Send,
    advice: &str,
) -> Result<(), BoxError> {
    documents.prepare(stop).await.map_err(|error| match find_cancelled(&*error) {
        Some(cancelled) => BoxError::from(cancelled.clone()),
        None => format!("{which}: {}; {advice}", and_behind_it(&*error)).into(),
    })
}

pub(crate) struct Database<B: Backend> {
    backend: B,
    house: House<B::Store>,
    open: Option<B::Store>,
}

impl<B: Backend> Database<B> {
    pub(crate) fn new(backend: B, house: House<B::Store>) -> Self {
        Self { backend, house, open: None }
    }
}

impl<B: Backend> Service for Database<B> {
    async fn start(&mut self, stop: &Stop) -> Result<(), BoxError> {
        let House { config, log, documents, operations, .. } = &self.house;
        let exports = config.exports();
        tokio::fs::create_dir_all(&exports).await.map_err(|error| {
            let folder = config.data.display();
            format!("no folder for data at {folder}: {error}; say --data FOLDER")
        })?;
        let (shared, store) = self.backend.open(config, stop.token()).await?;
        let needs = Needs { log: log.clone(), documents: Arc::clone(&shared), exports };
        operations.fill(operations::open(store.clone(), needs).await?);
        documents.fill(shared);
        self.open = Some(store);
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        stop.token().cancelled().await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        if let Some(store) = self.open.take() {
            B::close(store).await;
        }
        Ok(())
    }
}
