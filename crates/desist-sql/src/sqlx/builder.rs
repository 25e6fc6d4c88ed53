//! How a pool is set up.

use std::sync::Arc;
use std::time::Duration;

use ::sqlx::PgPool;

use super::pool::{Pool, Shared};
use crate::Wait;

/// Settings of a [`Pool`].
///
/// ```
/// use desist_sql::sqlx::Pool;
/// use std::time::Duration;
/// # let _runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _guard = _runtime.enter();
///
/// let pool = sqlx::PgPool::connect_lazy("postgres://app@localhost/app").unwrap();
/// let pool = Pool::builder(pool)
///     .clean_within(Duration::from_secs(2))
///     .commit_within(Duration::from_secs(10))
///     .side_connections(1)
///     .side_ready(false)
///     .check_interval(None)
///     .statement_timeout(true)
///     .behind_transaction_pooler()
///     .build();
/// assert!(!pool.get_ref().is_closed());
/// ```
#[derive(Debug)]
#[must_use = "settings do nothing without a pool"]
pub struct Builder {
    pool: PgPool,
    settings: Settings,
}

/// What they are.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) wait: Wait,
    pub(super) clean_within: Duration,
    pub(super) commit_within: Duration,
    pub(super) sides: usize,
    pub(super) side_ready: bool,
    pub(super) watch: Option<Duration>,
    pub(super) is_pooled: bool,
    pub(super) limits_statements: bool,
}

impl Builder {
    pub(super) fn new(pool: PgPool) -> Self {
        let settings = Settings {
            wait: Wait::default(),
            clean_within: Duration::from_secs(5),
            commit_within: Duration::from_secs(30),
            sides: 2,
            side_ready: true,
            watch: Some(Duration::from_secs(1)),
            is_pooled: false,
            limits_statements: false,
        };
        Self { pool, settings }
    }

    /// Whether who is stopped waits for the server; each [`Run`](super::Run) may choose for itself.
    pub fn wait(mut self, wait: Wait) -> Self {
        self.settings.wait = wait;
        self
    }

    /// How long a connection has to come clean after a stop, 5 s at first; then it is thrown
    /// away and its backend terminated.
    pub fn clean_within(mut self, within: Duration) -> Self {
        self.settings.clean_within = within;
        self
    }

    /// How long the answer to `COMMIT` is awaited, 30 s at first; then it is in doubt.
    pub fn commit_within(mut self, within: Duration) -> Self {
        self.settings.commit_within = within;
        self
    }

    /// How many connections beside the pool there may be for stopping statements, 2 at first
    /// and at least one. They are opened when they are needed, and kept; but for the
    /// [first](Self::side_ready).
    pub fn side_connections(mut self, most: usize) -> Self {
        self.settings.sides = most;
        self
    }

    /// Whether the first of these connections is opened along with the first work, in the
    /// background; yes at first. Else it is with the first stop, which may come when the server
    /// has no connection left: then it can only be hung up on, which it notices by
    /// [`check_interval`](Self::check_interval).
    pub fn side_ready(mut self, is_ready: bool) -> Self {
        self.settings.side_ready = is_ready;
        self
    }

    /// How often the server looks whether its client is still there while it works for it,
    /// 1 s at first: set once for each connection that has none of its own, with TCP
    /// keepalive, and only for its transactions if they are all that it is used for. `None`:
    /// left as it is.
    pub fn check_interval(mut self, every: Option<Duration>) -> Self {
        self.settings.watch = every;
        self
    }

    /// Whether the deadline of a token is the `statement_timeout` of [`run`](Pool::run) and
    /// [`stream`](Pool::stream) as well, so that the server ends their statements also when we
    /// are gone; no at first, for it is a round trip more at both ends. It is set for the
    /// session and set back before anybody else has the connection, unless `f` sets its own,
    /// and never behind a pooler in transaction mode, where those are refused. Transactions
    /// have it always.
    pub fn statement_timeout(mut self, is_set: bool) -> Self {
        self.settings.limits_statements = is_set;
        self
    }

    /// There is a pooler in transaction mode between here and the server, as PgBouncer. Then
    /// [`run`](Pool::run) and [`stream`](Pool::stream) are refused: the backend that works for
    /// a statement need not be the one that was asked for at first, so that a stop would hit a
    /// stranger's. [`transaction`](Pool::transaction) works.
    ///
    /// A pool that is not told finds out by itself when a connection has changed its backend,
    /// and refuses them from then on; but that is seen only when it has happened.
    pub fn behind_transaction_pooler(mut self) -> Self {
        self.settings.is_pooled = true;
        self
    }

    /// The pool.
    #[must_use]
    pub fn build(self) -> Pool {
        Pool(Arc::new(Shared::new(self.pool, self.settings)))
    }
}
