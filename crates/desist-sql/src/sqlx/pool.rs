//! The pool, and how it is set up.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::sqlx::{Execute, PgPool, Postgres, SqlSafeStr};
use desist::Token;
use tokio::time::timeout;

use super::begin::{BEGIN, Kind};
use super::builder::{Builder, Settings};
use super::handle::{Conn, Tx};
use super::rows::Rows;
use super::run::Run;
use super::side::Sides;

/// A [`PgPool`] whose statements heed a token. A clone is the same pool.
///
/// ```no_run
/// # async fn run(token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
/// use desist_sql::sqlx::Pool;
/// use sqlx::postgres::PgPoolOptions;
///
/// let options = PgPoolOptions::new().max_connections(20).test_before_acquire(false);
/// let pool = Pool::new(options.connect("postgres://app@localhost/app").await?);
/// let one = pool.run(&token, async |mut conn| {
///     sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *conn).await
/// });
/// assert_eq!(one.await?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pool(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) sides: Sides,
    pub(super) settings: Settings,
    cannot_watch: AtomicBool,
    is_pooled: AtomicBool,
}

impl Shared {
    pub(super) fn new(pool: PgPool, settings: Settings) -> Self {
        let sides = Sides::new(settings.sides, settings.side_ready);
        let is_pooled = AtomicBool::new(settings.is_pooled);
        Self { pool, sides, settings, cannot_watch: AtomicBool::new(false), is_pooled }
    }

    /// Whether a connection may be another backend's with each transaction.
    pub(super) fn is_pooled(&self) -> bool {
        // Ordering: alone; it guards nothing that `found_pooler` would have to hand over.
        self.is_pooled.load(Ordering::Relaxed)
    }

    pub(super) fn found_pooler(&self) {
        // Ordering: as in `is_pooled`.
        self.is_pooled.store(true, Ordering::Relaxed);
    }

    /// How often the server is to look whether its client is there.
    pub(super) fn watch(&self) -> Option<Duration> {
        // Ordering: alone; at worst the server is asked once more, and refuses again.
        self.settings.watch.filter(|_| !self.cannot_watch.load(Ordering::Relaxed))
    }

    pub(super) fn refuses_watch(&self) {
        // Ordering: as in `watch`.
        self.cannot_watch.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    /// With the settings that [`builder`](Self::builder) begins with.
    ///
    /// ```
    /// # let _runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _guard = _runtime.enter();
    /// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/app").unwrap();
    /// let pool = desist_sql::sqlx::Pool::new(pool);
    /// assert_eq!(pool.get_ref().size(), 0);
    /// ```
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::builder(pool).build()
    }

    /// Settings, and then a pool.
    ///
    /// ```
    /// use desist_sql::{Wait, sqlx::Pool};
    /// # let _runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _guard = _runtime.enter();
    ///
    /// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/app").unwrap();
    /// let pool = Pool::builder(pool).wait(Wait::AtOnce).build();
    /// assert!(!pool.get_ref().is_closed());
    /// ```
    pub fn builder(pool: PgPool) -> Builder {
        Builder::new(pool)
    }

    /// sqlx' own pool, for what needs no token. Its connections are the same.
    ///
    /// ```
    /// # let _runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _guard = _runtime.enter();
    /// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/app").unwrap();
    /// assert_eq!(desist_sql::sqlx::Pool::new(pool).get_ref().num_idle(), 0);
    /// ```
    #[must_use]
    pub fn get_ref(&self) -> &PgPool {
        &self.0.pool
    }

    /// Works with a connection until the token is cancelled: then the future of `f` is
    /// dropped, and what the server does for it is stopped.
    ///
    /// Whoever is stopped waits until the server has confirmed, unless
    /// [`wait`](Run::wait) says otherwise. Each statement that ended before is done; for all
    /// or nothing take [`transaction`](Self::transaction).
    ///
    /// # Errors
    ///
    /// [`cancelled`](crate::Error::cancelled) after the stop, [`failure`](crate::Error::failure)
    /// with what `f` failed with, or there was no connection. When `f` ends with `Ok` and is
    /// stopped at the same time, it is `Ok`; when with an error, it is the stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a stop, too. Nobody waits for its end, and the connection is
    /// given back when the server has stopped all the same.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool) {
    /// let source = desist::Source::with_timeout(std::time::Duration::from_secs(1));
    /// let slept = pool.run(&source.token(), async |mut conn| {
    ///     sqlx::query("SELECT pg_sleep(10)").execute(&mut *conn).await
    /// });
    /// let stop = slept.await.unwrap_err();
    /// assert_eq!(stop.cancelled().unwrap().reason(), desist::Reason::Deadline);
    /// # }
    /// ```
    pub fn run<F, Fut, T, E>(&self, token: &Token, f: F) -> Run<F, Fut>
    where
        F: FnOnce(Conn) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        Run::new(&self.0, token, Kind::Plain, f, |f, conn| f(conn))
    }

    /// The same in a transaction: committed when `f` ends with `Ok`, and rolled back when it
    /// ends with an error or is stopped.
    ///
    /// With a deadline its statements have that as their `statement_timeout`, so that the
    /// server ends them also when we are gone. Once it is asked to commit nothing stops that,
    /// neither the token nor dropping the future: the answer is awaited.
    ///
    /// # Errors
    ///
    /// As of [`run`](Self::run). When a statement in it had failed and `f` said `Ok` all the
    /// same it was not committed, and the error says so. When the connection is lost while it
    /// is committed it is [in doubt](crate::Error::is_in_doubt); so it is when `f` has ended it
    /// by a `COMMIT` or `ROLLBACK` of its own, or keeps `tx`, with which it could.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back, unless it is being committed, which goes on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// let none = pool.transaction(&token, async |mut tx| {
    ///     sqlx::query("DELETE FROM accounts").execute(&mut *tx).await?;
    ///     Err::<(), _>(sqlx::Error::RowNotFound)
    /// });
    /// assert!(none.await.unwrap_err().failure().is_some()); // And nothing is deleted.
    /// # }
    /// ```
    pub fn transaction<F, Fut, T, E>(&self, token: &Token, f: F) -> Run<F, Fut>
    where
        F: FnOnce(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.transaction_with(token, BEGIN, f)
    }

    /// The same, begun by that statement: sqlx' `begin_with`, for another isolation level, or
    /// for one that only reads. Nothing may come between the `BEGIN` and `SET TRANSACTION`, so
    /// that it cannot be said in `f`.
    ///
    /// Of a serializable one that fails at its commit, [not
    /// committed](crate::Error::is_not_committed), the source says so, with the SQLSTATE 40001.
    /// One that is `DEFERRABLE` waits as it begins, for no longer than for a connection, and is
    /// stopped there as well.
    ///
    /// # Errors
    ///
    /// As of [`transaction`](Self::transaction), or the server does not understand it.
    ///
    /// # Cancel safety
    ///
    /// As of [`transaction`](Self::transaction).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    /// let level = pool.transaction_with(&token, begin, async |mut tx| {
    ///     sqlx::query_scalar::<_, String>("SHOW transaction_isolation").fetch_one(&mut *tx).await
    /// });
    /// assert_eq!(level.await.unwrap(), "repeatable read");
    /// # }
    /// ```
    pub fn transaction_with<F, Fut, T, E>(
        &self,
        token: &Token,
        begin: impl SqlSafeStr,
        f: F,
    ) -> Run<F, Fut>
    where
        F: FnOnce(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let kind = Kind::Transaction(begin.into_sql_str());
        Run::new(&self.0, token, kind, f, |f, conn| f(Tx::new(conn)))
    }

    /// The rows of a query, one by one, as a stream that has a connection until its end.
    /// When the token is cancelled, or it is dropped, the server stops.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// use sqlx::Row;
    ///
    /// let mut rows = pool.stream(&token, sqlx::query("SELECT generate_series(1, 1000000)"));
    /// let mut sum = 0;
    /// while let Some(row) = rows.next().await {
    ///     sum += row.unwrap().get::<i32, _>(0);
    ///     if sum > 5_000 {
    ///         break;
    ///     }
    /// }
    /// drop(rows); // The server does not go on to the million.
    /// assert_eq!(sum, 5_050);
    /// # }
    /// ```
    pub fn stream<Q>(&self, token: &Token, query: Q) -> Rows
    where
        Q: Execute<'static, Postgres> + 'static,
    {
        Rows::new(self.clone(), token, query)
    }

    /// Closes the pool, sqlx' own as well, and waits until all connections have been given
    /// back, the stopped ones by their owners: whether they have within that time. Those
    /// that have not are closed when they come.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/app").unwrap();
    /// let pool = desist_sql::sqlx::Pool::new(pool);
    /// assert!(pool.close_within(Duration::from_secs(5)).await);
    /// assert!(pool.get_ref().is_closed());
    /// # }
    /// ```
    pub async fn close_within(&self, within: Duration) -> bool {
        let shared = Arc::clone(&self.0);
        // It goes on when the time is over.
        let all = tokio::spawn(async move {
            shared.pool.close().await;
            // Until then they may be needed.
            shared.sides.close().await;
        });
        timeout(within, all).await.is_ok()
    }
}
