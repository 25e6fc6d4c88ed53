//! What closures are given.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use ::sqlx::{Connection, PgConnection, Postgres};

use super::lease::{Owned, Slot};

/// A connection, for one closure: sqlx' own [`PgConnection`], by dereference.
///
/// It goes back when it is dropped, which is at the end of the closure's future, or where
/// that is dropped. Who keeps it for longer has a connection whose backend was terminated,
/// and whose place in the pool is free again when it is dropped, and its backend gone.
///
/// ```no_run
/// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
/// let sum = pool.run(&token, async |mut conn| {
///     sqlx::query_scalar::<_, i64>("SELECT sum(n) FROM generate_series(1, 10) n")
///         .fetch_one(&mut *conn)
///         .await
/// });
/// assert_eq!(sum.await.unwrap(), 55);
/// # }
/// ```
pub struct Conn {
    /// `None`: it is dropped.
    owned: Option<Box<Owned>>,
    slot: Arc<Slot>,
}

impl Conn {
    pub(super) fn new((owned, slot): (Box<Owned>, Arc<Slot>)) -> Self {
        Self { owned: Some(owned), slot }
    }

    /// The pid of its backend, as in `pg_stat_activity`.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// let pid = pool.run(&token, async |conn| Ok::<_, sqlx::Error>(conn.pid())).await.unwrap();
    /// assert!(pid > 0);
    /// # }
    /// ```
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.owned.as_ref().and_then(|owned| owned.backend).map_or(0, |backend| backend.pid)
    }
}

impl Deref for Conn {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.owned.as_ref().expect("it is not dropped").conn()
    }
}

impl DerefMut for Conn {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.owned.as_mut().expect("it is not dropped").conn_mut()
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.take() {
            self.slot.give_back(owned);
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

/// A connection in a transaction, for one closure: sqlx' own [`PgConnection`], by dereference.
///
/// The transaction is committed when the closure has said `Ok`, and rolled back otherwise.
/// What sqlx itself begins on it is a savepoint.
///
/// ```no_run
/// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
/// let done = pool.transaction(&token, async |mut tx| {
///     sqlx::query("UPDATE accounts SET sum = sum - 5 WHERE id = 1").execute(&mut *tx).await?;
///     sqlx::query("UPDATE accounts SET sum = sum + 5 WHERE id = 2").execute(&mut *tx).await
/// });
/// assert_eq!(done.await.unwrap().rows_affected(), 1);
/// # }
/// ```
pub struct Tx(Conn);

impl Tx {
    pub(super) fn new(conn: Conn) -> Self {
        Self(conn)
    }

    /// The pid of its backend, as in `pg_stat_activity`.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// let pid = pool.transaction(&token, async |tx| Ok::<_, sqlx::Error>(tx.pid())).await;
    /// assert!(pid.unwrap() > 0);
    /// # }
    /// ```
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// A savepoint: sqlx' own, which is rolled back to unless it is committed, and in which
    /// there may be others.
    ///
    /// # Errors
    ///
    /// As of a statement.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// let kept = pool.transaction(&token, async |mut tx| {
    ///     let mut tried = tx.savepoint().await?;
    ///     let failed = sqlx::query("INSERT INTO t VALUES (1 / 0)").execute(&mut *tried).await;
    ///     assert!(failed.is_err());
    ///     tried.rollback().await?;
    ///     sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await
    /// });
    /// assert_eq!(kept.await.unwrap().rows_affected(), 1);
    /// # }
    /// ```
    pub async fn savepoint(&mut self) -> ::sqlx::Result<::sqlx::Transaction<'_, Postgres>> {
        self.0.begin().await
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("pid", &self.pid()).finish_non_exhaustive()
    }
}
