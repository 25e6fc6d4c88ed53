use std::fmt;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::opening::{Callback, NotOpened, Place, Plan};
use super::pool::{Inner, Pool};
use super::worker;
use crate::{Error, Wait};

const READERS: usize = 4;
const MOST_READERS: usize = 1000;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a [`Pool`] is to be: from [`Pool::builder`].
///
/// ```
/// use desist::Token;
/// use desist_sql::sqlite::{Pool, rusqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
/// let pool = Pool::builder()
///     .in_memory()
///     .readers(2)
///     .setup(|conn| conn.pragma_update(None, "foreign_keys", true))
///     .open()
///     .await?;
/// let is_on = pool.run(&Token::never(), |conn| {
///     conn.pragma_query_value(None, "foreign_keys", |row| row.get::<_, bool>(0))
/// });
/// assert!(is_on.await?);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    place: Option<Place>,
    readers: usize,
    busy_timeout: Duration,
    wal: bool,
    synchronous: Option<Synchronous>,
    setup: Option<Callback>,
    reset: Option<Callback>,
    wait: Wait,
    queue: usize,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            place: None,
            readers: READERS,
            busy_timeout: BUSY_TIMEOUT,
            wal: true,
            synchronous: None,
            setup: None,
            reset: None,
            wait: Wait::default(),
            queue: usize::MAX,
        }
    }

    /// The file, which is made if it is not there. `:memory:` is [`in_memory`](Self::in_memory);
    /// anything else is a path, and no URI, also where it begins with `file:`.
    ///
    /// ```
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = Pool::builder().path("/no/such/folder/file.db").open().await.unwrap_err();
    /// assert!(error.to_string().contains("its folder does not exist; make that first"));
    /// # }
    /// ```
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        if path.as_os_str() == ":memory:" {
            return self.in_memory();
        }
        // SQLite may be built to take this for a URI, but not after a folder.
        let is_like_uri = path.as_os_str().as_encoded_bytes().starts_with(b"file:");
        self.place = Some(Place::File(if is_like_uri { Path::new(".").join(path) } else { path }));
        self
    }

    /// A database of its own in memory, which all connections of the pool share, and which
    /// goes with them. It has no write-ahead log: readers and the writer wait for each other,
    /// at most for the [`busy_timeout`](Self::busy_timeout).
    ///
    /// ```
    /// use desist::Token;
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
    /// let (pool, never) = (Pool::builder().in_memory().open().await?, Token::never());
    /// pool.write(&never, |conn| conn.execute_batch("CREATE TABLE t (x)")).await?;
    /// let count = pool.run(&never, |conn| {
    ///     conn.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
    /// });
    /// assert_eq!(count.await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_memory(mut self) -> Self {
        // Ordering: it only has to be another one for each.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Ordering: Relaxed, for nothing is handed over by it.
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        self.place = Some(Place::Memory(format!("desist-{}-{next}", process::id())));
        self
    }

    /// How many connections read, each with a thread: 4, unless this says otherwise. There
    /// is one that writes in any case, because SQLite has no room for a second. 1,000 are the
    /// most.
    ///
    /// ```
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = Pool::builder().in_memory().readers(0).open().await.unwrap_err();
    /// assert!(error.to_string().contains("say `readers(1)` or more"));
    /// # }
    /// ```
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// How long a statement waits for a lock that somebody else has, another process above
    /// all: 5 s, unless this says otherwise. A stop ends it at once.
    ///
    /// ```
    /// # use desist_sql::sqlite::Pool;
    /// let builder = Pool::builder().busy_timeout(std::time::Duration::from_secs(1));
    /// assert!(format!("{builder:?}").contains("busy_timeout: 1s"));
    /// ```
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Whether the database is put in the mode with a write-ahead log, in which nobody who
    /// reads waits for who writes: so it is, unless this says otherwise; then it keeps the
    /// mode that it has. It is kept in the file. Without it, readers are held back by
    /// `query_only` alone: they have to roll back what a process that was killed has left.
    ///
    /// ```
    /// # use desist_sql::sqlite::Pool;
    /// assert!(format!("{:?}", Pool::builder().wal(false)).contains("wal: false"));
    /// ```
    pub fn wal(mut self, wal: bool) -> Self {
        self.wal = wal;
        self
    }

    /// What a commit waits for: SQLite's own default, unless this says otherwise.
    ///
    /// ```
    /// # use desist_sql::sqlite::{Pool, Synchronous};
    /// let builder = Pool::builder().synchronous(Synchronous::Normal);
    /// assert!(format!("{builder:?}").contains("Some(Normal)"));
    /// ```
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = Some(synchronous);
        self
    }

    /// Called with each connection before anything is read from it, also with one that later
    /// takes the place of one that was thrown away: for pragmas, also those that a database
    /// is made with (`page_size`) or read with (`key`), for functions and collations.
    /// Readers cannot write, and know it from `is_readonly`; tables are made with
    /// [`Pool::write`].
    ///
    /// ```
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = Pool::builder().in_memory().setup(|conn| conn.execute_batch("no sql"));
    /// let error = pool.open().await.unwrap_err();
    /// assert_eq!(error.to_string(), "the connection was opened, but its setup failed");
    /// # }
    /// ```
    pub fn setup<F>(mut self, setup: F) -> Self
    where
        F: Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        self.setup = Some(Arc::new(setup));
        self
    }

    /// Called with a connection after each call, before its caller has the answer and the next
    /// has the connection: to take back what a closure may have set on it, as pragmas, and
    /// temporary tables. No stop ends it, so it should be short. Where it fails or panics, the
    /// connection is thrown away.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
    /// let pool = Pool::builder()
    ///     .in_memory()
    ///     .reset(|conn| conn.pragma_update(None, "case_sensitive_like", false))
    ///     .readers(1)
    ///     .open()
    ///     .await?;
    /// let never = Token::never();
    /// pool.run(&never, |conn| conn.pragma_update(None, "case_sensitive_like", true)).await?;
    /// let is_like = pool.run(&never, |conn| {
    ///     conn.query_row("SELECT 'a' LIKE 'A'", [], |row| row.get::<_, bool>(0))
    /// });
    /// assert!(is_like.await?, "it is nothing to the next");
    /// # Ok(())
    /// # }
    /// ```
    pub fn reset<F>(mut self, reset: F) -> Self
    where
        F: Fn(&mut Connection) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        self.reset = Some(Arc::new(reset));
        self
    }

    /// When a call that is stopped answers: once nothing of it runs any more, however long
    /// that takes, unless this says otherwise.
    ///
    /// ```
    /// # use desist_sql::{Wait, sqlite::Pool};
    /// assert!(format!("{:?}", Pool::builder().wait(Wait::AtOnce)).contains("AtOnce"));
    /// ```
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// How many may wait for a reader, and how many for the writer: any number, unless this
    /// says otherwise. One more is stopped with [`Overload`](desist::Reason::Overload). With 0
    /// nobody waits.
    ///
    /// ```
    /// # use desist_sql::sqlite::Pool;
    /// assert!(format!("{:?}", Pool::builder().queue(100)).contains("queue: 100"));
    /// ```
    pub fn queue(mut self, most: usize) -> Self {
        self.queue = most;
        self
    }

    /// Opens all connections, each on its thread. The future may be dropped: then they are
    /// closed.
    ///
    /// # Errors
    ///
    /// There are to be no readers or too many, no path was named, or a connection cannot be
    /// opened: the message says what to do, and the source is rusqlite's error.
    ///
    /// # Panics
    ///
    /// If `setup` does.
    ///
    /// ```
    /// use desist_sql::sqlite::Pool;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = Pool::builder().open().await.unwrap_err();
    /// assert!(error.to_string().contains("name its `path`"));
    /// # }
    /// ```
    pub async fn open(self) -> Result<Pool, Error<rusqlite::Error>> {
        let Some(place) = self.place else {
            return Err(Error::no_connection(
                "it is not said which database; name its `path`, or say `in_memory()`",
                "no path",
            ));
        };
        if self.readers == 0 {
            return Err(Error::no_connection(
                "a pool without readers reads nothing; say `readers(1)` or more",
                "0 readers",
            ));
        }
        if self.readers > MOST_READERS {
            return Err(Error::no_connection(
                "each reader is a thread, and 1000 are the most; say `readers` with fewer",
                format!("{} readers", self.readers),
            ));
        }
        if matches!(&place, Place::File(path) if path.as_os_str().is_empty()) {
            return Err(Error::no_connection(
                "the path of the database is empty; name its file, or say `in_memory()`",
                "an empty path",
            ));
        }
        let plan = Plan {
            place,
            busy_timeout: self.busy_timeout,
            wal: self.wal,
            synchronous: self.synchronous,
            setup: self.setup,
            reset: self.reset,
        };
        // From here on dropping it ends the threads.
        let pool = Pool::new(Inner::new(self.queue, self.wait));
        let plan = Arc::new(plan);
        // The writer makes what readers find.
        pool.begin(0..=0, &plan, true).await?;
        pool.begin(1..=self.readers, &plan, false).await?;
        Ok(pool)
    }
}

impl Pool {
    /// Begins so many threads, and waits for their connections.
    async fn begin(
        &self,
        numbers: RangeInclusive<usize>,
        plan: &Arc<Plan>,
        is_writer: bool,
    ) -> Result<(), Error<rusqlite::Error>> {
        let lane = self.lane(is_writer);
        let mut begun = Vec::new();
        for number in numbers {
            let opened = worker::spawn(number, lane, plan, self.crew()).map_err(|error| {
                Error::no_connection("there is no thread for a connection; have fewer", error)
            })?;
            begun.push(opened);
        }
        for opened in begun {
            match poll_fn(|cx| opened.poll_take(cx)).await {
                Ok(Ok(())) => {}
                Ok(Err(NotOpened { doing, error })) => {
                    return Err(Error::no_connection(doing, error));
                }
                Err(panic) => resume_unwind(panic),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("readers", &self.readers)
            .field("busy_timeout", &self.busy_timeout)
            .field("wal", &self.wal)
            .field("synchronous", &self.synchronous)
            .field("wait", &self.wait)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// What a commit waits for: SQLite's `PRAGMA synchronous`.
///
/// ```
/// use desist_sql::sqlite::Synchronous;
///
/// assert!(Synchronous::Normal < Synchronous::Full);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Synchronous {
    /// Nothing: after a power cut the database may be broken.
    Off,
    /// With a write-ahead log nothing either, but the database stays whole: after a power cut, not
    /// after a kill, the last commits may be gone.
    Normal,
    /// The disk: what was committed is there after a power cut.
    Full,
}

impl Synchronous {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::Normal => "NORMAL",
            Self::Full => "FULL",
        }
    }
}
