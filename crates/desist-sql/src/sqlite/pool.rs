use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use desist::Token;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::builder::Builder;
use super::crew::Crew;
use super::current;
use super::lane::Lane;
use super::running::Running;
use crate::{Error, Wait};

const NOT_BEGUN: &str = "the transaction could not begin";
const LOCKED: &str = "the transaction could not begin, for another process has the lock; try \
                      again, or wait longer with `busy_timeout`";
const READ_ONLY: &str = "the transaction could not begin, for its connection may not write; look at \
                         the file's permissions, and at what closures set, as `query_only`";
const ROLLED_BACK: &str = "it was rolled back before its end, by its closure or by SQLite; look at \
                           the errors of its statements";

/// Connections to one SQLite database, each with its thread: one that writes, and several that
/// read.
///
/// It is a handle: a clone is the same pool. When the last is dropped, and nobody waits for a
/// call, the threads end with what they do.
///
/// ```
/// use desist::{Reason, Source, Token};
/// use desist_sql::sqlite::{Pool, rusqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
/// let pool = Pool::open(":memory:").await?;
/// pool.write(&Token::never(), |conn| conn.execute_batch("CREATE TABLE t (x)")).await?;
///
/// let request = Source::with_timeout(std::time::Duration::from_millis(50));
/// let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
///                SELECT count(*) FROM n";
/// let stopped = pool.run(&request.token(), move |conn| {
///     conn.query_row(endless, [], |row| row.get::<_, i64>(0))
/// });
/// let error = stopped.await.unwrap_err();
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

pub(super) struct Inner {
    pub(super) readers: Arc<Lane>,
    pub(super) writer: Arc<Lane>,
    pub(super) crew: Arc<Crew>,
    wait: Wait,
}

impl Inner {
    pub(super) fn new(queue: usize, wait: Wait) -> Self {
        Self {
            readers: Arc::new(Lane::new(false, queue)),
            writer: Arc::new(Lane::new(true, queue)),
            crew: Arc::default(),
            wait,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.close();
        self.writer.close();
    }
}

impl Pool {
    /// Opens the database in that file, or makes it, with everything as [`Builder`] has it.
    ///
    /// # Errors
    ///
    /// It cannot be opened: the message says what to do about it.
    ///
    /// ```
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = Pool::open("/").await.unwrap_err();
    /// assert!(error.to_string().contains("its path is that of a folder"));
    /// # }
    /// ```
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error<rusqlite::Error>> {
        Self::builder().path(path).open().await
    }

    /// A pool that is to be otherwise.
    ///
    /// ```
    /// let builder = desist_sql::sqlite::Pool::builder();
    /// assert!(format!("{builder:?}").contains("readers: 4"));
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs `work` with a connection that reads, when its turn has come. Several statements of
    /// it see different states of the data, unless it begins a transaction, which may be left to
    /// end by itself.
    ///
    /// It cannot write: the connection is opened for reading only, or, in memory and without a
    /// write-ahead log, held back by `query_only`, for each call anew.
    ///
    /// # Errors
    ///
    /// It was stopped, before or while it ran; `work` failed; there is no connection.
    ///
    /// # Fairness
    ///
    /// First come, first served; and so is [`write`](Self::write), in a queue of its own.
    ///
    /// ```
    /// use desist::{Source, Token};
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
    /// let pool = Pool::open(":memory:").await?;
    /// let one = pool.run(&Token::never(), |conn| {
    ///     let mut statement = conn.prepare("VALUES (1), (2)")?;
    ///     statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
    /// });
    /// assert_eq!(one.await?, [1, 2]);
    ///
    /// let source = Source::new();
    /// source.cancel();
    /// let never_run = pool.run(&source.token(), |_| -> rusqlite::Result<()> { unreachable!() });
    /// assert!(never_run.await.unwrap_err().cancelled().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn run<T, E, F>(&self, token: &Token, work: F) -> Running<T, E>
    where
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        Running::new(self, token, false, Box::new(|conn| work(conn).map_err(Error::failed)))
    }

    /// Runs `work` with the connection that writes, when its turn has come. What it commits
    /// before a stop stays; to have everything or nothing, take
    /// [`transaction`](Self::transaction).
    ///
    /// # Errors
    ///
    /// It was stopped, before or while it ran; `work` failed, left a transaction or a
    /// statement open, or its last commit came to nothing, whether it knows of that or not;
    /// there is no connection.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
    /// let (pool, never) = (Pool::open(":memory:").await?, Token::never());
    /// pool.write(&never, |conn| conn.execute_batch("CREATE TABLE t (x)")).await?;
    /// let inserted = pool.write(&never, |conn| conn.execute("INSERT INTO t VALUES (1)", []));
    /// assert_eq!(inserted.await?, 1);
    ///
    /// let left = pool.write(&never, |conn| conn.execute_batch("BEGIN; DELETE FROM t")).await;
    /// assert_eq!(left.unwrap_err().to_string(), "the transaction was not committed");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn write<T, E, F>(&self, token: &Token, work: F) -> Running<T, E>
    where
        F: FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    {
        Running::new(self, token, true, Box::new(|conn| work(conn).map_err(Error::failed)))
    }

    /// Runs `work` in a transaction, which has the lock to write from its beginning (`BEGIN
    /// IMMEDIATE`). If `work` returns `Ok`, and no stop has come, it is committed;
    /// otherwise, and after a panic, it is rolled back. Savepoints are rusqlite's own,
    /// and nest.
    ///
    /// `work` cannot commit by itself: whatever tries to is rolled back. What was rolled back,
    /// by `work` or by SQLite, is not committed in part.
    ///
    /// # Errors
    ///
    /// It was stopped, and then nothing of it is there; `work` failed; it could not begin, was
    /// rolled back before its end, or could not be committed; there is no connection.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
    /// let (pool, never) = (Pool::open(":memory:").await?, Token::never());
    /// pool.write(&never, |conn| conn.execute_batch("CREATE TABLE t (x)")).await?;
    /// let count = pool.transaction(&never, |tx| {
    ///     tx.execute("INSERT INTO t VALUES (1)", [])?;
    ///     let inner = tx.savepoint()?;
    ///     inner.execute("INSERT INTO t VALUES (2)", [])?;
    ///     inner.finish()?; // Not committed, so it is rolled back.
    ///     tx.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
    /// });
    /// assert_eq!(count.await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn transaction<T, E, F>(&self, token: &Token, work: F) -> Running<T, E>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        Running::new(self, token, true, Box::new(|conn| in_transaction(conn, work)))
    }

    /// How many calls have a connection, in this moment.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
    /// assert_eq!(pool.in_use(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.0.readers.in_use() + self.0.writer.in_use()
    }

    /// How many calls wait for one, in this moment.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
    /// assert_eq!(pool.waiting(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.readers.waiting() + self.0.writer.waiting()
    }

    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(super) fn lane(&self, is_writer: bool) -> &Arc<Lane> {
        if is_writer { &self.0.writer } else { &self.0.readers }
    }

    pub(super) fn crew(&self) -> &Arc<Crew> {
        &self.0.crew
    }

    pub(super) fn wait(&self) -> Wait {
        self.0.wait
    }
}

/// Nothing of it is committed but here (S6).
fn in_transaction<T, E>(
    conn: &mut Connection,
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
) -> Result<T, Error<E>> {
    let lease = current::lease().expect("it runs in one");
    let begun = conn.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut tx = begun.map_err(not_begun)?;
    lease.keep_whole();
    let value = work(&mut tx).map_err(Error::failed)?;
    if !lease.end_whole() {
        return Err(Error::not_committed(ROLLED_BACK));
    }
    match tx.commit() {
        // A hook that SQLite asks after the commit may fail, and that is not undone by it.
        Err(error) if !(lease.has_committed() && conn.is_autocommit()) => {
            Err(Error::not_committed(error))
        }
        _ => Ok(value),
    }
}

fn not_begun<E>(error: rusqlite::Error) -> Error<E> {
    let doing = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LOCKED,
        Some(ErrorCode::ReadOnly) => READ_ONLY,
        _ => NOT_BEGUN,
    };
    Error::no_connection(doing, error)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("in_use", &self.in_use())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
