//! What the host starts and stops.

mod database;
mod http;
mod indexer;
mod operations;
mod queue;

use desist_ops::Operations;
use desist_queue::Nats;

pub(crate) use self::database::{Backend, Database, OnPostgres, OnSqlite};
pub(crate) use self::http::Http;
pub(crate) use self::indexer::index;
pub(crate) use self::operations::run;
pub(crate) use self::queue::{Connection, consume};
use crate::config::Config;
use crate::data::Shared;
use crate::log::Log;
use crate::slot::Slot;
use crate::uploads::Shelf;

/// What services have for each other: who fills a slot starts before who takes from it.
pub(crate) struct House<S> {
    pub(crate) config: Config,
    pub(crate) log: Log,
    /// Of `http`, for `sweeper`.
    pub(crate) shelf: Shelf,
    /// Of `database`.
    pub(crate) documents: Slot<Shared>,
    /// Of `database`.
    pub(crate) operations: Slot<Operations<S>>,
    /// Of `nats`.
    pub(crate) nats: Slot<Nats>,
}

impl<S> House<S> {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            log: Log::new(),
            shelf: Shelf::default(),
            documents: Slot::default(),
            operations: Slot::default(),
            nats: Slot::default(),
        }
    }
}

impl<S> Clone for House<S> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            log: self.log.clone(),
            shelf: self.shelf.clone(),
            documents: self.documents.clone(),
            operations: self.operations.clone(),
            nats: self.nats.clone(),
        }
    }
}
