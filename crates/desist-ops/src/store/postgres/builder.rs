//! How one is made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use desist_sql::Wait;
use desist_sql::postgres::{BuildError, Pool, PoolBuilder, RawStream};
use tokio::sync::Semaphore;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use super::listener::Listener;
use super::{Postgres, STEP, Shared};
use crate::Error;
use crate::error::Kind;
use crate::store::Local;

/// Connections of its own for what keeps operations going.
const CONTROL: usize = 4;
/// And for those who start and cancel, and those who ask.
const REQUESTS: usize = 4;
const READS: usize = 4;
/// So many of the former may be over whole trees.
const LARGE: usize = 2;
/// And for the lease, and for hearing what was asked for.
const LEASE: usize = 2;

/// A [`Postgres`] that is about to be made.
#[must_use = "it is made by `build`"]
pub struct PostgresBuilder {
    config: Config,
    direct: Option<Config>,
    pool: Option<Pool>,
    push: bool,
    make: Box<dyn Make>,
}

/// What needs to know how TLS is spoken.
trait Make: Send + Sync {
    fn pool(&self, config: Config, size: usize, is_ours: bool) -> Result<Pool, BuildError>;
    fn listener(&self, config: Config) -> Listener;
}

struct With<T>(T);

impl<T> Make for With<T>
where
    T: MakeTlsConnect<Socket> + MakeTlsConnect<RawStream> + Clone + Send + Sync + 'static,
    <T as MakeTlsConnect<Socket>>::Stream: Send + Sync + 'static,
    <T as MakeTlsConnect<Socket>>::TlsConnect: Send + Sync,
    <<T as MakeTlsConnect<Socket>>::TlsConnect as TlsConnect<Socket>>::Future: Send,
    <T as MakeTlsConnect<RawStream>>::Stream: Send + Sync + 'static,
    <T as MakeTlsConnect<RawStream>>::TlsConnect: Send + Sync,
    <<T as MakeTlsConnect<RawStream>>::TlsConnect as TlsConnect<RawStream>>::Future: Send,
{
    fn pool(&self, config: Config, size: usize, is_ours: bool) -> Result<Pool, BuildError> {
        patient(Pool::builder(config).size(size), is_ours).tls(self.0.clone()).build()
    }

    fn listener(&self, config: Config) -> Listener {
        Listener::new(config, self.0.clone())
    }
}

/// Whatever is done in steps may be done again, so it gives up soon: it does not wait for a server
/// that may be away, and not long for whether it was committed.
fn patient(pool: PoolBuilder, is_ours: bool) -> PoolBuilder {
    if is_ours { pool.wait(Wait::AtOnce).commit_within(STEP) } else { pool }
}

/// The pool knows best how it connects without TLS.
struct Plain;

impl Make for Plain {
    fn pool(&self, config: Config, size: usize, is_ours: bool) -> Result<Pool, BuildError> {
        patient(Pool::builder(config).size(size), is_ours).build()
    }

    fn listener(&self, config: Config) -> Listener {
        Listener::new(config, NoTls)
    }
}

impl PostgresBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self { config, direct: None, pool: None, push: true, make: Box::new(Plain) }
    }

    /// The pool of one's own that [`commit`](crate::Context::commit) writes with. What keeps
    /// operations going has connections of its own, and so have those who start and cancel.
    ///
    /// ```
    /// use desist_ops::Postgres;
    /// use desist_sql::postgres::Pool;
    ///
    /// let config: tokio_postgres::Config = "postgres://shop@localhost/shop".parse().unwrap();
    /// let shop = Pool::builder(config.clone()).size(32).build().unwrap();
    /// assert!(Postgres::builder(config).pool(shop).build().is_ok());
    /// ```
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Where it listens, if the other address leads through a pooler: one that gives each
    /// transaction another connection lets nobody listen.
    ///
    /// ```
    /// use desist_ops::Postgres;
    ///
    /// let pooled = "postgres://shop@bouncer:6432/shop".parse().unwrap();
    /// let direct = "postgres://shop@database/shop".parse().unwrap();
    /// assert!(Postgres::builder(pooled).listen_at(direct).build().is_ok());
    /// ```
    pub fn listen_at(mut self, config: Config) -> Self {
        self.direct = Some(config);
        self
    }

    /// Without pushes: what is asked for is found by looking, every few seconds.
    ///
    /// ```
    /// use desist_ops::Postgres;
    ///
    /// let config = "postgres://shop@bouncer:6432/shop".parse().unwrap();
    /// let store = Postgres::builder(config).without_push().build().unwrap();
    /// assert!(format!("{store:?}").contains("listens: false"));
    /// ```
    pub fn without_push(mut self) -> Self {
        self.push = false;
        self
    }

    /// With TLS, where the address asks for it or the server speaks it: whatever connector the
    /// driver takes.
    ///
    /// ```
    /// # let connector = tokio_postgres::NoTls;
    /// use desist_ops::Postgres;
    ///
    /// let config = "postgres://shop@localhost/shop".parse().unwrap();
    /// assert!(Postgres::builder(config).tls(connector).build().is_ok());
    /// ```
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: MakeTlsConnect<Socket> + MakeTlsConnect<RawStream> + Clone + Send + Sync + 'static,
        <T as MakeTlsConnect<Socket>>::Stream: Send + Sync + 'static,
        <T as MakeTlsConnect<Socket>>::TlsConnect: Send + Sync,
        <<T as MakeTlsConnect<Socket>>::TlsConnect as TlsConnect<Socket>>::Future: Send,
        <T as MakeTlsConnect<RawStream>>::Stream: Send + Sync + 'static,
        <T as MakeTlsConnect<RawStream>>::TlsConnect: Send + Sync,
        <<T as MakeTlsConnect<RawStream>>::TlsConnect as TlsConnect<RawStream>>::Future: Send,
    {
        self.make = Box::new(With(connector));
        self
    }

    /// Makes it. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The address is no good.
    pub fn build(self) -> Result<Postgres, Error> {
        let built = |error: BuildError| {
            Error::new(Kind::Built, "no database of operations is to be found there").because(error)
        };
        let pool = match self.pool {
            Some(pool) => pool,
            None => self.make.pool(self.config.clone(), 16, false).map_err(built)?,
        };
        let own = |size| self.make.pool(self.config.clone(), size, true).map_err(built);
        let (control, requests) = (own(CONTROL)?, own(REQUESTS)?);
        let (reads, lease) = (own(READS)?, own(LEASE)?);
        let large = Semaphore::new(LARGE);
        let mut direct = self.direct.unwrap_or(self.config);
        // A listener sends nothing, so nothing else tells that it is cut off.
        direct.keepalives(true).keepalives_idle(Duration::from_secs(10));
        direct.keepalives_interval(Duration::from_secs(5)).keepalives_retries(2);
        let listener = self.push.then(|| self.make.listener(direct));
        let local = Arc::new(Local::default());
        Ok(Postgres {
            shared: Arc::new(Shared {
                pool,
                requests,
                large,
                reads,
                control,
                lease,
                listener,
                local,
            }),
        })
    }
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder").field("push", &self.push).finish_non_exhaustive()
    }
}
