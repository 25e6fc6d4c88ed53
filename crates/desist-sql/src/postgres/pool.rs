use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, PoolError};
use desist::Token;
use tokio_postgres::Config;

use super::BuildError;
use super::connector::BoxError;
use super::counts::{Counts, DATABASE, Out};
use super::handle::Held;
use super::lease::Lease;
use super::manager::Manager;
use super::pool_builder::PoolBuilder;
use crate::counted::{self, Unless};
use crate::{Error, Wait};

/// Connections to a Postgres server, and work with them that really stops.
///
/// ```no_run
/// use desist_sql::postgres::Pool;
///
/// # async fn orders(token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::new("postgres://shop@localhost/shop")?;
/// let rows = pool
///     .run(&token, |conn| async move { conn.query("SELECT id FROM orders", &[]).await })
///     .await?;
/// assert!(rows.iter().all(|row| row.get::<_, i32>("id") > 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// What all leases of a pool have in common.
pub(super) struct Shared {
    pub(super) connections: managed::Pool<Manager>,
    pub(super) counts: Counts,
    pub(super) settle_within: Duration,
    pub(super) commit_within: Duration,
    pub(super) wait: Wait,
    pub(super) statement_timeout: bool,
    /// What is done at the end of each lease.
    pub(super) reset: Option<String>,
}

impl Shared {
    pub(super) fn manager(&self) -> &Manager {
        self.connections.manager()
    }
}

impl Pool {
    pub(super) fn of(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// For that server, without TLS and with what is usual otherwise. Nothing is connected
    /// yet.
    ///
    /// # Errors
    ///
    /// It is no address of a server.
    ///
    /// ```
    /// use desist_sql::postgres::Pool;
    ///
    /// assert!(Pool::new("postgres://shop@localhost/shop").is_ok());
    /// let error = Pool::new("postgres//shop").unwrap_err();
    /// assert!(error.to_string().contains("postgres://user@host/database"));
    /// ```
    pub fn new(address: &str) -> Result<Self, BuildError> {
        Self::builder(address.parse().map_err(|error| BuildError::address(&error))?).build()
    }

    /// One with settings of its own.
    ///
    /// ```
    /// use desist_sql::postgres::Pool;
    ///
    /// let config = "postgres://shop@localhost/shop".parse().unwrap();
    /// assert!(Pool::builder(config).size(4).build().is_ok());
    /// ```
    pub fn builder(config: Config) -> PoolBuilder {
        PoolBuilder::new(config)
    }

    /// A connection, as soon as there is one; nothing is done for a token that is cancelled.
    pub(super) async fn lease<E>(&self, token: &Token) -> Result<(Lease, Held), Error<E>> {
        let shared = &self.shared;
        let unless = Unless::stopped(DATABASE);
        token.check()?;
        let mut out = Out::of(shared);
        let taken = {
            let _waits = counted::waiting(DATABASE);
            let gets = pin!(shared.connections.get());
            token.run(gets).await?
        };
        match taken {
            Ok(taken) => {
                // It may have been closed while this one was being made.
                if shared.connections.is_closed() {
                    unless.told();
                    return Err(no_connection(PoolError::Closed));
                }
                out.has_it();
                let (lease, held) = Lease::new(taken, out);
                if let Err(why) = token.check() {
                    drop(held);
                    lease.ended();
                    return Err(why.into());
                }
                unless.told();
                Ok((lease, held))
            }
            Err(error) => {
                token.check()?;
                unless.told();
                Err(no_connection(error))
            }
        }
    }

    pub(super) fn wait(&self) -> Wait {
        self.shared.wait
    }

    pub(super) fn statement_timeout(&self) -> bool {
        self.shared.statement_timeout
    }

    pub(super) fn commit_within(&self) -> Duration {
        self.shared.commit_within
    }

    /// No more work begins, and what runs is waited for, so long at most; whether all of it
    /// has ended. What has not goes on, and its connections are closed after it.
    ///
    /// ```no_run
    /// # async fn ends(pool: desist_sql::postgres::Pool) {
    /// let all_ended = pool.close_within(std::time::Duration::from_secs(10)).await;
    /// assert!(all_ended);
    /// # }
    /// ```
    pub async fn close_within(&self, time: Duration) -> bool {
        self.shared.connections.close();
        tokio::time::timeout(time, self.shared.counts.none_leased()).await.is_ok()
    }
}

fn no_connection<E>(error: PoolError<BoxError>) -> Error<E> {
    match error {
        PoolError::Closed => {
            Error::no_connection("the pool is closed, and no more work begins", "it was closed")
        }
        PoolError::Backend(error) => Error::no_connection(
            "no connection to the database; is the server up, and are its address and password \
             right?",
            error,
        ),
        other => Error::no_connection("the pool has no connection", other.to_string()),
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.shared.connections.status().max_size)
            .field("in_use", &self.shared.counts.leases())
            .finish_non_exhaustive()
    }
}
