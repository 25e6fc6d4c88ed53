//! Postgres: many replicas.

mod asked;
mod builder;
mod context;
mod listener;
mod start;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use desist::Source;
use desist_sql::Error as SqlError;
use desist_sql::postgres::Pool;
use tokio::sync::Semaphore;
use tokio_postgres::GenericClient;
use tokio_postgres::error::SqlState;

pub use self::builder::PostgresBuilder;

use self::asked::{Asked, step};
use self::listener::Listener;
use super::{Conn, Keeps, Local, Store, Within, Work};
use crate::error::Kind;
use crate::hints::{Hints, Push};
use crate::protocol::{Cancel, Migrate, Target};
use crate::{CancelAnswer, CancelRequest, Error, OperationId};

/// How long a step may take before it is given up.
const STEP: Duration = Duration::from_secs(5);
/// And one over a whole tree.
const LARGE: Duration = Duration::from_secs(60);
/// And the tables may take to be made.
const MIGRATION: Duration = Duration::from_secs(60);
/// Before one is done again that needs what somebody holds, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(500));
/// So often one is done again that met another one.
const AGAIN: u32 = 5;

/// Operations in a Postgres database, which replicas share.
///
/// ```no_run
/// use desist_ops::Postgres;
///
/// # async fn opens() -> Result<(), desist_ops::Error> {
/// let store = Postgres::open("postgres://shop@localhost/shop")?;
/// # let _ = store;
/// # Ok(())
/// # }
/// # let _ = opens;
/// ```
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    /// For what users do, [`Context::commit`](crate::Context::commit) among it, which may take all of
    /// it for long.
    pool: Pool,
    /// For who starts and cancels: also those who want such a commit to stop.
    requests: Pool,
    /// How many of those may be over whole trees at a time: these wait in their connections.
    large: Semaphore,
    /// For who asks, and watches: many of them keep no cancel waiting.
    reads: Pool,
    /// For what keeps operations going: it waits for nobody's work.
    control: Pool,
    /// For the lease: it waits for no lock of an operation, which may be held for long.
    lease: Pool,
    /// `None`: nobody listens.
    listener: Option<Listener>,
    local: Arc<Local>,
}

impl Postgres {
    /// In that database. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// It is no address of a server.
    ///
    /// ```
    /// use desist_ops::Postgres;
    ///
    /// assert!(Postgres::open("postgres://shop@localhost/shop").is_ok());
    /// let error = Postgres::open("postgres//shop").unwrap_err();
    /// assert_eq!(error.to_string(), "this is no address; give one as postgres://user@host/database");
    /// ```
    pub fn open(address: &str) -> Result<Self, Error> {
        let config = address.parse().map_err(|error| {
            Error::new(Kind::Built, "this is no address; give one as postgres://user@host/database")
                .because(Box::new(error) as crate::BoxError)
        })?;
        Self::builder(config).build()
    }

    /// One with settings of its own.
    ///
    /// ```
    /// use desist_ops::Postgres;
    ///
    /// let config = "postgres://shop@localhost/shop".parse().unwrap();
    /// assert!(Postgres::builder(config).build().is_ok());
    /// ```
    pub fn builder(config: tokio_postgres::Config) -> PostgresBuilder {
        PostgresBuilder::new(config)
    }

    /// The database itself.
    ///
    /// ```no_run
    /// # async fn asks(store: desist_ops::Postgres, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// let asks = |conn: desist_sql::postgres::Conn| async move { conn.query("SELECT 1", &[]).await };
    /// assert_eq!(store.pool().run(&token, asks).await?.len(), 1);
    /// # Ok(())
    /// # }
    /// # let _ = asks;
    /// ```
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Asks an operation to stop, in a transaction of one's own: it is asked when that is
    /// committed, and not if it is not. Takes the driver's client within a transaction, or its
    /// transaction.
    ///
    /// # Errors
    ///
    /// The database failed.
    ///
    /// ```no_run
    /// use desist_ops::{BoxError, CancelRequest, Postgres};
    ///
    /// # async fn asks(store: Postgres, id: desist_ops::OperationId, token: desist::Token) -> Result<(), BoxError> {
    /// let asks = store.pool().transaction(&token, |tx| async move {
    ///     tx.execute("DELETE FROM customers WHERE id = 7", &[]).await?;
    ///     let answer = Postgres::cancel_in(&**tx, id, &CancelRequest::new().actor("ada")).await?;
    ///     Ok::<_, BoxError>(answer)
    /// });
    /// assert!(asks.await.map_err(|error| error.into_boxed())?.is_requested());
    /// # Ok(())
    /// # }
    /// # let _ = asks;
    /// ```
    pub async fn cancel_in<C: GenericClient + Sync>(
        tx: &C,
        id: OperationId,
        request: &CancelRequest,
    ) -> Result<CancelAnswer, Error> {
        let (target, request) = (Target::One(id), request.clone());
        let done = Cancel { target, request }.run(&mut Asked::within(tx)).await?;
        Ok(done.answers.into_iter().next().map_or(CancelAnswer::NotFound, |(_, answer)| answer))
    }

    async fn once<W: Work>(
        &self,
        within: Within,
        bound: Duration,
        work: W,
    ) -> Result<W::Done, SqlError<Error>> {
        let pool = match within {
            Within::Lease => &self.shared.lease,
            Within::Control => &self.shared.control,
            Within::Request if W::READS => &self.shared.reads,
            Within::Request | Within::Change => &self.shared.requests,
        };
        let token = Source::with_timeout(bound).token();
        if W::READS {
            return pool
                .run(&token, |conn| async move { work.run(&mut Asked::within(&**conn)).await })
                .await;
        }
        pool.transaction(&token, |tx| async move { step(&**tx, within, work).await }).await
    }

    async fn step<W: Work>(
        &self,
        within: Within,
        bound: Duration,
        work: W,
    ) -> Result<W::Done, Error> {
        let (mut tries, mut pause, begin) = (0, PAUSE.0, Instant::now());
        let _place = if work.is_large() {
            let place = tokio::time::timeout(bound, self.shared.large.acquire()).await;
            Some(place.map_err(|late| {
                let said = "others cancel whole trees already, and wait for what somebody holds; ask \
                            again in a moment";
                Error::new(Kind::Database, said).because(late)
            })?)
        } else {
            None
        };
        loop {
            let left = bound.saturating_sub(begin.elapsed());
            match self.once(within, left, work.clone()).await {
                Err(error) if tries < AGAIN && is_met(&error) => tries += 1,
                // Somebody holds what it needs. Others are served meanwhile.
                Err(error) if within.is_waited_for() && left > pause && is_held(&error) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                done => return done.map_err(|error| of_step(error, bound)),
            }
        }
    }
}

impl Store for Postgres {}

impl Keeps for Postgres {
    const ONE_WRITES: bool = false;

    fn transact<W: Work>(
        &self,
        within: Within,
        work: W,
    ) -> impl Future<Output = Result<W::Done, Error>> + Send {
        let bound = if work.is_large() { LARGE } else { STEP };
        self.step(within, bound, work)
    }

    async fn migrate(&self) -> Result<(), Error> {
        self.step(Within::Request, MIGRATION, Migrate).await
    }

    async fn listen(&self, node: String, hints: Arc<Hints>) {
        match &self.shared.listener {
            Some(listener) => listener.listen(node, hints).await,
            None => {
                hints.push_is(Push::Off);
                std::future::pending().await
            }
        }
    }

    async fn work_is_there(&self) {
        if self.shared.listener.is_some() {
            // It is a hint.
            let _ = self.transact(Within::Control, CallWorkers).await;
        }
    }

    fn local(&self) -> &Arc<Local> {
        &self.shared.local
    }
}

/// A call to all, in a transaction that does nothing else: who starts operations in a hurry
/// does not wait for the lock that a call takes as it is committed.
#[derive(Debug, Clone)]
struct CallWorkers;

impl Work for CallWorkers {
    type Done = ();

    async fn run<C: Conn>(self, conn: &mut C) -> Result<(), Error> {
        conn.call_workers().await
    }
}

/// Whether it met another one, and may be done again at once.
fn is_met(error: &SqlError<Error>) -> bool {
    is_one_of(error, &[SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED])
}

/// Whether somebody holds what it needs.
fn is_held(error: &SqlError<Error>) -> bool {
    is_one_of(error, &[SqlState::LOCK_NOT_AVAILABLE])
}

fn is_one_of(error: &SqlError<Error>, codes: &[SqlState]) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return error.code().is_some_and(|code| codes.contains(code));
        }
        next = error.source();
    }
    false
}

fn of_step(error: SqlError<Error>, bound: Duration) -> Error {
    match error.into_failure() {
        Ok(error) => error,
        Err(error) => {
            let kind = if error.is_in_doubt() { Kind::InDoubt } else { Kind::Database };
            let said = if error.cancelled().is_some() {
                format!(
                    "the database of operations did not answer within {bound:?}; is it up, and \
                     does somebody lock its tables?"
                )
            } else {
                "the database of operations failed".to_owned()
            };
            Error::new(kind, said).because(error.into_boxed())
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("pool", &self.shared.pool)
            .field("listens", &self.shared.listener.is_some())
            .finish_non_exhaustive()
    }
}
