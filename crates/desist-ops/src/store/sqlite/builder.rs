//! How one is made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use desist::Token;
use desist_sql::sqlite::Pool;

use super::{Shared, Sqlite, error};
use crate::Error;
use crate::store::Local;

/// A [`Sqlite`] that is about to be made.
#[derive(Debug)]
#[must_use = "it is made by `open`"]
pub struct SqliteBuilder {
    pool: Pool,
    look_every: Duration,
}

impl SqliteBuilder {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, look_every: Duration::from_millis(25) }
    }

    /// How often it is looked whether another process has written; 25 ms, if nothing is said.
    /// A look reads a counter and nothing else.
    pub fn look_every(mut self, time: Duration) -> Self {
        self.look_every = time.max(Duration::from_millis(1));
        self
    }

    /// Makes it.
    ///
    /// # Errors
    ///
    /// Its file cannot be opened a second time.
    pub async fn open(self) -> Result<Sqlite, Error> {
        let asks = self.pool.run(&Token::never(), |conn| {
            conn.query_row("SELECT file FROM pragma_database_list WHERE name = 'main'", [], |row| {
                row.get::<_, Option<String>>(0)
            })
        });
        let path = asks.await.map_err(error)?.filter(|path| !path.is_empty()).map(PathBuf::from);
        let looker = match &path {
            Some(path) => {
                let opens = Pool::builder().path(path.clone()).readers(1).open();
                Some(opens.await.map_err(error)?)
            }
            None => None,
        };
        let (pool, look_every) = (self.pool, self.look_every);
        let shared = Shared { pool, looker, path, look_every, local: Arc::new(Local::default()) };
        Ok(Sqlite { shared: Arc::new(shared) })
    }
}
