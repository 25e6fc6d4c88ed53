//! SQLite: one machine.
//!
//! The steps of the protocol are futures, and SQLite's connection is on a thread that waits for
//! nobody. So a step asks through a slot: it lays its statement there and waits; the thread
//! that has the connection takes it, does it, lays down what it gave, and polls the step again.
//! Nothing else ever makes it wait.

mod asked;
mod builder;
mod context;
mod start;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use desist::{Source, Token};
use desist_sql::Error as SqlError;
use desist_sql::sqlite::{Closed, Pool, rusqlite};

pub use self::builder::SqliteBuilder;

use self::asked::drive;
use super::{Keeps, Local, Store, Within, Work};
use crate::error::Kind;
use crate::hints::{Hints, Push};
use crate::protocol::Migrate;
use crate::{BoxError, CancelAnswer, CancelRequest, Error, OperationId};

/// How long a step may take before it is given up: the write lock is somebody else's.
const STEP: Duration = Duration::from_secs(10);
/// And one over a whole tree.
const LARGE: Duration = Duration::from_secs(60);

/// Operations in a SQLite file. Several processes of one machine may share it.
///
/// ```
/// use desist_ops::Sqlite;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # let folder = std::env::temp_dir().join(format!("desist-ops-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let store = Sqlite::open(folder.join("operations.db")).await?;
/// assert!(format!("{store:?}").contains("operations.db"));
/// # drop(store);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sqlite {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    /// One reader, that of another pool: what it sees changes with each commit of anybody.
    looker: Option<Pool>,
    path: Option<PathBuf>,
    look_every: Duration,
    local: Arc<Local>,
}

impl Sqlite {
    /// In that file, which is made if it is not there. `:memory:` keeps them until this and all
    /// clones of it are dropped.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or made.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let pool = Pool::open(path).await.map_err(error)?;
        Self::new(pool).await
    }

    /// Beside what else is in that database, so that [`commit`] reaches both.
    ///
    /// # Errors
    ///
    /// It cannot be opened a second time, to look for what others write.
    ///
    /// ```
    /// use desist_ops::Sqlite;
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let shop = Pool::open(":memory:").await.unwrap();
    /// assert!(Sqlite::new(shop).await.is_ok());
    /// # }
    /// ```
    ///
    /// [`commit`]: crate::Context::commit
    pub async fn new(pool: Pool) -> Result<Self, Error> {
        Self::builder(pool).open().await
    }

    /// One with settings of its own.
    ///
    /// ```
    /// use desist_ops::Sqlite;
    /// use desist_sql::sqlite::Pool;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = Pool::open(":memory:").await.unwrap();
    /// let store = Sqlite::builder(pool).look_every(Duration::from_millis(20)).open().await;
    /// assert!(store.is_ok());
    /// # }
    /// ```
    pub fn builder(pool: Pool) -> SqliteBuilder {
        SqliteBuilder::new(pool)
    }

    /// Closes the database: the pool, as [`Pool::close_within`] does, and the connection that
    /// looks for what others write. SQLite takes its write-ahead log along with the last.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_ops::Sqlite;
    /// use desist_sql::sqlite::rusqlite;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = Sqlite::open(":memory:").await.unwrap();
    /// assert!(store.close_within(Duration::from_secs(5)).await.is_clean());
    /// let late = store.pool().run(&Token::never(), |_| Ok::<_, rusqlite::Error>(())).await;
    /// assert!(late.is_err());
    /// # }
    /// ```
    pub async fn close_within(&self, bound: Duration) -> Closed {
        if let Some(looker) = &self.shared.looker {
            let _ = looker.close_within(bound).await;
        }
        self.shared.pool.close_within(bound).await
    }

    /// The database itself. To close it alone is not enough: [`close_within`](Self::close_within).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let store = desist_ops::Sqlite::open(":memory:").await.unwrap();
    /// assert_eq!(store.pool().in_use(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Asks an operation to stop, in a transaction of one's own: it is asked when that is
    /// committed, and not if it is not. One that has read before it writes may find the database
    /// locked; those of [`Pool::transaction`] write from their beginning.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```
    /// use desist_ops::{CancelAnswer, CancelRequest, Context, Kind, OperationId, Operations, Sqlite};
    /// use desist::Token;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::BoxError> {
    /// let store = Sqlite::open(":memory:").await?;
    /// # let kind = Kind::new("export", |_: Context<Sqlite>, _: ()| async { Ok::<_, desist_ops::BoxError>(()) });
    /// # let operations = Operations::builder(store.clone()).kind(kind).open().await?;
    /// # let id = operations.start("export", &()).await?.id();
    /// let asks = store.pool().transaction(&Token::never(), move |tx| {
    ///     // … and what else belongs to it …
    ///     Sqlite::cancel_in(tx, id, &CancelRequest::new().actor("ada"))
    /// });
    /// assert_eq!(asks.await?, CancelAnswer::CancelledBeforeStart);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel_in(
        tx: &rusqlite::Connection,
        id: OperationId,
        request: &CancelRequest,
    ) -> Result<CancelAnswer, Error> {
        let target = crate::protocol::Target::One(id);
        let done = drive(tx, crate::protocol::Cancel { target, request: request.clone() })?;
        Ok(done.answers.into_iter().next().map_or(CancelAnswer::NotFound, |(_, answer)| answer))
    }

    async fn version(&self) -> Option<i64> {
        let looker = self.shared.looker.as_ref()?;
        let looks = looker.run(&Token::never(), |conn| {
            conn.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0))
        });
        looks.await.ok()
    }
}

impl Store for Sqlite {}

impl Keeps for Sqlite {
    const ONE_WRITES: bool = true;

    async fn transact<W: Work>(&self, _: Within, work: W) -> Result<W::Done, Error> {
        let bound = Source::with_timeout(if work.is_large() { LARGE } else { STEP });
        let (pool, token) = (&self.shared.pool, bound.token());
        let does = if W::READS {
            pool.run(&token, move |conn| drive(conn, work))
        } else {
            pool.transaction(&token, move |tx| drive(tx, work))
        };
        does.await.map_err(of_step)
    }

    async fn migrate(&self) -> Result<(), Error> {
        self.transact(Within::Control, Migrate).await
    }

    async fn listen(&self, _: String, hints: Arc<Hints>) {
        if self.shared.looker.is_none() {
            // Nobody else has it.
            hints.push_is(Push::Works);
            std::future::pending::<()>().await;
        }
        let mut seen = None;
        loop {
            let version = self.version().await;
            hints.push_is(if version.is_some() { Push::Works } else { Push::Connecting });
            if version != seen {
                seen = version;
                hints.everything();
            }
            tokio::time::sleep(self.shared.look_every).await;
        }
    }

    async fn work_is_there(&self) {}

    fn local(&self) -> &Arc<Local> {
        &self.shared.local
    }
}

/// Of a transaction whose work fails with an error of ours.
fn of_step(error: SqlError<Error>) -> Error {
    match error.into_failure() {
        Ok(error) => error,
        Err(error) => {
            let in_doubt = error.is_in_doubt();
            let kind = if in_doubt { Kind::InDoubt } else { Kind::Database };
            let said = match error.cancelled() {
                Some(_) => {
                    "the database of operations did not answer within 10 s; does somebody hold \
                     its write lock?"
                }
                None => "the database of operations failed",
            };
            Error::new(kind, said).because(error.into_boxed())
        }
    }
}

fn error(error: SqlError<rusqlite::Error>) -> Error {
    let error: BoxError = error.into_boxed();
    // What to do about it depends on that.
    Error::new(Kind::Database, "the database of operations cannot be opened").because(error)
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
