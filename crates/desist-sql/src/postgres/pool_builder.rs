use std::fmt;
use std::time::Duration;

use deadpool::managed;
use tokio_postgres::Config;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};

use super::BuildError;
use super::connector::{Connect, Plain, RawStream, Tls};
use super::counts::Counts;
use super::manager::{Manager, Settings};
use super::pool::{Pool, Shared};
use super::socket::Named;
use crate::Wait;

/// More than any server has.
const MOST: usize = 1 << 18;

/// A [`Pool`] that is not built yet.
#[must_use = "it is no pool until it is built"]
pub struct PoolBuilder {
    config: Config,
    connect: Box<dyn Connect>,
    size: usize,
    settings: Settings,
    settle_within: Duration,
    commit_within: Duration,
    wait: Wait,
    statement_timeout: bool,
    reset: Option<String>,
}

impl PoolBuilder {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            connect: Box::new(Plain),
            size: 16,
            settings: Settings {
                check_interval: Some(Duration::from_secs(5)),
                connect_within: Duration::from_secs(15),
                setup: None,
            },
            settle_within: Duration::from_secs(5),
            commit_within: Duration::from_secs(30),
            wait: Wait::default(),
            statement_timeout: false,
            reset: None,
        }
    }

    /// At most so many connections; 16 if nothing is said.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// let error = desist_sql::postgres::Pool::builder(config).size(0).build().unwrap_err();
    /// assert_eq!(error.to_string(), "a pool of no connections can do nothing; give it one at least");
    /// ```
    pub fn size(mut self, connections: usize) -> Self {
        self.size = connections;
        self
    }

    /// With TLS, where the address asks for it (`sslmode`) or the server speaks it: whatever
    /// connector the driver takes.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// # let connector = tokio_postgres::NoTls;
    /// assert!(desist_sql::postgres::Pool::builder(config).tls(connector).build().is_ok());
    /// ```
    pub fn tls<T>(mut self, connector: T) -> Self
    where
        T: MakeTlsConnect<RawStream> + Clone + Send + Sync + 'static,
        T::TlsConnect: Send,
        T::Stream: Send + 'static,
        <T::TlsConnect as TlsConnect<RawStream>>::Future: Send + 'static,
    {
        self.connect = Box::new(Tls(connector));
        self
    }

    /// Whether the caller of work that was stopped waits until the server has confirmed it.
    ///
    /// ```
    /// use desist_sql::Wait;
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// assert!(desist_sql::postgres::Pool::builder(config).wait(Wait::AtOnce).build().is_ok());
    /// ```
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Whether the server is told of a deadline also outside of a transaction
    /// (`statement_timeout`), so that a statement ends in time there though nobody can be reached
    /// here. It costs a round trip before the work, and one after it, for which nobody waits; the
    /// work's own `SET statement_timeout` ends with it. Behind a pooler, which may give the
    /// server's process to others meanwhile, it is not done. Not, if nothing is said.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// assert!(desist_sql::postgres::Pool::builder(config).statement_timeout(true).build().is_ok());
    /// ```
    pub fn statement_timeout(mut self, whether: bool) -> Self {
        self.statement_timeout = whether;
        self
    }

    /// Done on every new connection, before it is anybody's. One on which it fails is none.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// assert!(desist_sql::postgres::Pool::builder(config).setup("SET search_path = shop").build().is_ok());
    /// ```
    pub fn setup(mut self, sql: impl Into<String>) -> Self {
        self.settings.setup = Some(sql.into());
        self
    }

    /// Done at the end of all work, before anybody else has its connection, for what a session
    /// keeps otherwise: settings, roles, temporary tables, advisory locks, `LISTEN`. It costs a
    /// round trip for which nobody waits but who comes next. One on which it fails is thrown
    /// away. Not `DISCARD ALL`, which takes the statements that are prepared, too; nor `RESET
    /// ALL`, which takes what [`setup`](Self::setup) and
    /// [`check_interval`](Self::check_interval) have set.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// let forgets = "RESET search_path; RESET ROLE; SELECT pg_advisory_unlock_all(); UNLISTEN *";
    /// assert!(desist_sql::postgres::Pool::builder(config).reset(forgets).build().is_ok());
    /// ```
    pub fn reset(mut self, sql: impl Into<String>) -> Self {
        // More follows it.
        self.reset = Some(format!("{};", sql.into().trim_end().trim_end_matches(';')));
        self
    }

    /// How often the server looks whether the client of a statement that runs is still there,
    /// so that it ends what nobody waits for, as when this process was killed; five seconds
    /// if nothing is said. `None` leaves it as the server has it, which is never.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// assert!(desist_sql::postgres::Pool::builder(config).check_interval(None).build().is_ok());
    /// ```
    pub fn check_interval(mut self, interval: Option<Duration>) -> Self {
        self.settings.check_interval = interval;
        self
    }

    /// A new connection has so long, 15 seconds if nothing is said.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// # use std::time::Duration;
    /// assert!(desist_sql::postgres::Pool::builder(config).connect_within(Duration::from_secs(3)).build().is_ok());
    /// ```
    pub fn connect_within(mut self, time: Duration) -> Self {
        self.settings.connect_within = time;
        self
    }

    /// The server has so long to stop what it was asked to, five seconds if nothing is said;
    /// after that its process is ended, and the connection with it.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// # use std::time::Duration;
    /// assert!(desist_sql::postgres::Pool::builder(config).settle_within(Duration::from_secs(1)).build().is_ok());
    /// ```
    pub fn settle_within(mut self, time: Duration) -> Self {
        self.settle_within = time;
        self
    }

    /// A commit has so long, 30 seconds if nothing is said: it is not stopped by any token.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// # use std::time::Duration;
    /// assert!(desist_sql::postgres::Pool::builder(config).commit_within(Duration::from_secs(5)).build().is_ok());
    /// ```
    pub fn commit_within(mut self, time: Duration) -> Self {
        self.commit_within = time;
        self
    }

    /// The pool. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// It would have no connections, or the configuration names no host, or not as many ports as
    /// hosts.
    ///
    /// ```
    /// # let config = "host=localhost user=shop".parse().unwrap();
    /// assert!(desist_sql::postgres::Pool::builder(config).build().is_ok());
    /// ```
    pub fn build(self) -> Result<Pool, BuildError> {
        if self.size == 0 {
            return Err(BuildError::nothing());
        }
        Named::all(&self.config).map_err(BuildError::places)?;
        let Self { config, connect, size, settings, .. } = self;
        let Self { settle_within, commit_within, wait, statement_timeout, reset, .. } = self;
        let manager = Manager { config, connect, settings };
        let connections = managed::Pool::builder(manager).max_size(size.min(MOST)).build();
        let connections = connections.map_err(BuildError::pool)?;
        let counts = Counts::default();
        Ok(Pool::of(Shared {
            connections,
            counts,
            settle_within,
            commit_within,
            wait,
            statement_timeout,
            reset,
        }))
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("size", &self.size).finish_non_exhaustive()
    }
}
