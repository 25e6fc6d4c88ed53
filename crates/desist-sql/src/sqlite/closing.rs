use std::fmt;
use std::panic::Location;
use std::time::Duration;

use desist::{Reason, Source};

use super::pool::Pool;

impl Pool {
    /// Closes the pool: refuses what waits and whatever comes, waits for what runs, however
    /// long that takes, and for the threads to close their connections. One on which a closure
    /// forgot a statement is not among them; it stays open until the process ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is closed all the same, and not waited for.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_sql::sqlite::{Pool, rusqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = Pool::open(":memory:").await.unwrap();
    /// pool.close().await;
    /// let late = pool.run(&Token::never(), |_| Ok::<_, rusqlite::Error>(())).await.unwrap_err();
    /// assert!(late.to_string().starts_with("the pool is closed"));
    /// # }
    /// ```
    pub async fn close(&self) {
        self.refuse();
        self.crew().gone().await;
    }

    /// The same, with a bound: what still runs then is stopped, with
    /// [`Shutdown`](Reason::Shutdown), and is not waited for.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
    /// let closed = pool.close_within(std::time::Duration::from_secs(5)).await;
    /// assert!(closed.is_clean());
    /// # }
    /// ```
    pub async fn close_within(&self, bound: Duration) -> Closed {
        self.refuse();
        let bound = Source::with_timeout(bound).token();
        if bound.run(self.crew().gone()).await.is_ok() {
            return Closed { still_running: Vec::new(), is_clean: true };
        }
        let mut still_running = Vec::new();
        for is_write in [true, false] {
            for job in self.lane(is_write).running() {
                let lease = job.lease();
                let before = lease.running_since();
                // Also one that has its turn, and waits for its connection to be opened.
                lease.source.cancel_with(Reason::Shutdown);
                // From here on none begins, but one may have before it was stopped.
                if let Some(since) = before.or_else(|| lease.running_since()) {
                    let (caller, running_for) = (lease.caller, since.elapsed());
                    still_running.push(StillRunning { caller, is_write, running_for });
                }
            }
        }
        Closed { still_running, is_clean: false }
    }

    fn refuse(&self) {
        self.lane(false).close();
        self.lane(true).close();
    }
}

/// What [`Pool::close_within`] has come to.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
/// let closed = pool.close_within(std::time::Duration::from_secs(5)).await;
/// assert!(closed.still_running().is_empty());
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it says what still runs"]
pub struct Closed {
    still_running: Vec<StillRunning>,
    is_clean: bool,
}

impl Closed {
    /// Whether every thread had ended within the bound, and closed its connection.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
    /// assert!(pool.close_within(std::time::Duration::from_secs(5)).await.is_clean());
    /// # }
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// What ran when the bound was over. It was stopped then, and so was, unnamed, what had
    /// its turn and had not begun.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = desist_sql::sqlite::Pool::open(":memory:").await.unwrap();
    /// let closed = pool.close_within(std::time::Duration::from_secs(5)).await;
    /// assert_eq!(closed.still_running().len(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn still_running(&self) -> &[StillRunning] {
        &self.still_running
    }
}

/// A call that ran when the time to close the pool was over. It prints as a line of a report.
///
/// ```
/// use desist::Token;
/// use desist_sql::sqlite::{Pool, rusqlite};
/// use std::sync::mpsc;
///
/// # #[tokio::main]
/// # async fn main() {
/// let pool = Pool::open(":memory:").await.unwrap();
/// let (begun, begins) = tokio::sync::oneshot::channel();
/// let (go_on, goes_on) = mpsc::channel::<()>();
/// let deaf = tokio::spawn(pool.write(&Token::never(), move |_| {
///     begun.send(()).unwrap();
///     goes_on.recv().unwrap(); // Heeds nothing.
///     Ok::<_, rusqlite::Error>(())
/// }));
/// begins.await.unwrap();
/// let closed = pool.close_within(std::time::Duration::from_millis(10)).await;
/// let deaf_one = &closed.still_running()[0];
/// assert!(deaf_one.is_write() && deaf_one.caller().line() > 0);
/// assert!(deaf_one.to_string().starts_with("a write, called at "));
/// # go_on.send(()).unwrap();
/// # deaf.await.unwrap().unwrap();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct StillRunning {
    caller: &'static Location<'static>,
    is_write: bool,
    running_for: Duration,
}

impl StillRunning {
    /// Where `run`, `write` or `transaction` was called.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() {
    /// # use desist::Token;
    /// # use desist_sql::sqlite::{Pool, rusqlite};
    /// # let pool = Pool::open(":memory:").await.unwrap();
    /// # let (begun, begins) = tokio::sync::oneshot::channel();
    /// # let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    /// # let deaf = tokio::spawn(pool.run(&Token::never(), move |_| {
    /// #     begun.send(()).unwrap();
    /// #     goes_on.recv().unwrap();
    /// #     Ok::<_, rusqlite::Error>(())
    /// # }));
    /// # begins.await.unwrap();
    /// let closed = pool.close_within(std::time::Duration::from_millis(10)).await;
    /// assert!(closed.still_running()[0].caller().file().ends_with(".rs"));
    /// # go_on.send(()).unwrap();
    /// # deaf.await.unwrap().unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn caller(&self) -> &'static Location<'static> {
        self.caller
    }

    /// Whether it has the connection that writes.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() {
    /// # use desist::Token;
    /// # use desist_sql::sqlite::{Pool, rusqlite};
    /// # let pool = Pool::open(":memory:").await.unwrap();
    /// # let (begun, begins) = tokio::sync::oneshot::channel();
    /// # let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    /// # let deaf = tokio::spawn(pool.run(&Token::never(), move |_| {
    /// #     begun.send(()).unwrap();
    /// #     goes_on.recv().unwrap();
    /// #     Ok::<_, rusqlite::Error>(())
    /// # }));
    /// # begins.await.unwrap();
    /// let closed = pool.close_within(std::time::Duration::from_millis(10)).await;
    /// assert!(!closed.still_running()[0].is_write());
    /// # go_on.send(()).unwrap();
    /// # deaf.await.unwrap().unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.is_write
    }

    /// For how long it had run.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() {
    /// # use desist::Token;
    /// # use desist_sql::sqlite::{Pool, rusqlite};
    /// # let pool = Pool::open(":memory:").await.unwrap();
    /// # let (begun, begins) = tokio::sync::oneshot::channel();
    /// # let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    /// # let deaf = tokio::spawn(pool.run(&Token::never(), move |_| {
    /// #     begun.send(()).unwrap();
    /// #     goes_on.recv().unwrap();
    /// #     Ok::<_, rusqlite::Error>(())
    /// # }));
    /// # begins.await.unwrap();
    /// let closed = pool.close_within(std::time::Duration::from_millis(10)).await;
    /// assert!(closed.still_running()[0].running_for().as_millis() > 0);
    /// # go_on.send(()).unwrap();
    /// # deaf.await.unwrap().unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn running_for(&self) -> Duration {
        self.running_for
    }
}

impl fmt::Display for StillRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_write { "a write" } else { "a read" };
        write!(f, "{what}, called at {}, which has run for {:?}", self.caller, self.running_for)
    }
}
