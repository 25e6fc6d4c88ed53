//! What a group says when it was stopped.

use std::collections::HashSet;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use desist::Cancelled;

use super::ended::{Ended, TaskId};
use super::outcome::Outcome;
use super::running::RunningTask;
use super::shared::LateEnd;

/// How long the tasks of a group are given by
/// [`TaskGroup::stop`](crate::TaskGroup::stop). A plain [`Duration`] is the time
/// between the request to stop and the abort.
///
/// ```
/// use desist_tokio::{Grace, TaskGroup};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("server", |stop| async move {
///     stop.draining().await;
///     // What is in hand goes on for a while, and nobody asks to stop yet.
///     desist_tokio::sleep(Duration::from_secs(3), &stop).await
/// });
/// let grace = Grace::new(Duration::from_secs(5)).drain_for(Duration::from_secs(10));
/// assert!(group.stop(grace).await.is_clean());
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    pub(super) drain: Duration,
    pub(super) stop: Duration,
}

impl Grace {
    /// So long between the request to stop and the abort. Zero: each task is
    /// polled once more, and is aborted if that does not end it.
    ///
    /// ```
    /// use desist_tokio::Grace;
    /// use std::time::Duration;
    ///
    /// let five = Duration::from_secs(5);
    /// assert_eq!(Grace::new(five), Grace::from(five));
    /// ```
    #[must_use]
    pub const fn new(stop: Duration) -> Self {
        Self { drain: Duration::ZERO, stop }
    }

    /// So long for draining before that, at most. As it is made: none.
    ///
    /// ```
    /// use desist_tokio::Grace;
    /// use std::time::Duration;
    ///
    /// let grace = Grace::new(Duration::from_secs(5));
    /// assert_ne!(grace, grace.drain_for(Duration::from_secs(1)));
    /// ```
    #[must_use]
    pub const fn drain_for(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// How long it drains, at most.
    ///
    /// ```
    /// use desist_tokio::Grace;
    /// use std::time::Duration;
    ///
    /// let grace = Grace::new(Duration::from_secs(5));
    /// assert_eq!(grace.draining(), Duration::ZERO);
    /// assert_eq!(grace.drain_for(Duration::from_secs(1)).draining(), Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn draining(&self) -> Duration {
        self.drain
    }

    /// How long is between the request to stop and the abort.
    ///
    /// ```
    /// use desist_tokio::Grace;
    /// use std::time::Duration;
    ///
    /// let grace = Grace::new(Duration::from_secs(5)).drain_for(Duration::from_secs(1));
    /// assert_eq!(grace.stopping(), Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn stopping(&self) -> Duration {
        self.stop
    }
}

impl From<Duration> for Grace {
    fn from(stop: Duration) -> Self {
        Self::new(stop)
    }
}

/// What a group's [`stop`](crate::TaskGroup::stop) came to: how every task
/// ended, and who did not stop in time.
///
/// Its `Display` is a list to log.
///
/// ```
/// use desist_tokio::TaskGroup;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("deaf", |_stop| std::future::pending::<()>());
/// tokio::task::yield_now().await; // it begins
/// let report = group.stop(Duration::from_secs(5)).await;
///
/// let straggler = &report.stragglers()[0];
/// assert_eq!(straggler.name(), "deaf");
/// assert!(straggler.ended_after().unwrap() >= Duration::from_secs(5));
/// assert!(report.to_string().contains("`deaf`"));
/// # }
/// ```
#[must_use = "it tells who did not stop"]
#[derive(Debug)]
pub struct Report<T> {
    pub(super) asked: Cancelled,
    pub(super) outcomes: Vec<Ended<T>>,
    pub(super) stragglers: Vec<Straggler>,
}

impl<T> Report<T> {
    /// Why, when and by whom the group was asked to stop.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.asked().reason(), desist::Reason::Shutdown);
    /// # }
    /// ```
    #[must_use]
    pub fn asked(&self) -> &Cancelled {
        &self.asked
    }

    /// How each task ended that nobody had asked about before; tasks that still
    /// run are among them.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.outcomes()[0].to_string(), "task `deaf` aborted");
    /// # }
    /// ```
    #[must_use]
    pub fn outcomes(&self) -> &[Ended<T>] {
        &self.outcomes
    }

    /// The same, with the values and errors.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.into_outcomes().len(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn into_outcomes(self) -> Vec<Ended<T>> {
        self.outcomes
    }

    /// Who did not stop within the grace.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.stragglers()[0].name(), "deaf");
    /// # }
    /// ```
    #[must_use]
    pub fn stragglers(&self) -> &[Straggler] {
        &self.stragglers
    }

    /// Nothing failed, nothing panicked, everything stopped in time, and no shield
    /// was overdue.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(!report.is_clean());
    /// # }
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.stragglers.is_empty() && self.troubles().next().is_none()
    }

    /// What is to be said beside the stragglers.
    fn troubles(&self) -> impl Iterator<Item = &Ended<T>> {
        let said: HashSet<_> = self.stragglers.iter().map(Straggler::id).collect();
        self.outcomes.iter().filter(move |ended| {
            let cut_short = matches!(ended.outcome, Outcome::Aborted | Outcome::StillRunning);
            ended.outcome.is_failure() || cut_short && !said.contains(&ended.id)
        })
    }
}

impl<T> fmt::Display for Report<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let troubles: Vec<_> = self.troubles().collect();
        write!(
            f,
            "outcomes: {}, stragglers: {}, other troubles: {}",
            self.outcomes.len(),
            self.stragglers.len(),
            troubles.len(),
        )?;
        for ended in troubles {
            write!(f, "\n  {ended} (spawned at {})", ended.place)?;
        }
        for straggler in &self.stragglers {
            write!(f, "\n  {straggler}")?;
        }
        Ok(())
    }
}

/// A task that did not stop within the grace.
///
/// Its `Display` is a sentence to log.
///
/// ```
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let group = desist_tokio::TaskGroup::new();
/// group.spawn("deaf", |_stop| std::future::pending::<()>());
/// tokio::task::yield_now().await; // it begins
/// let report = group.stop(Duration::from_secs(5)).await;
/// assert!(report.stragglers()[0].to_string().starts_with("task `deaf` (spawned at "));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Straggler {
    pub(super) task: RunningTask,
    pub(super) is_group: bool,
    pub(super) end: Option<LateEnd>,
    pub(super) waited: Duration,
}

impl Straggler {
    /// What `spawn` gave for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// let id = group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.stragglers()[0].id(), id);
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// The name it was spawned with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert_eq!(report.stragglers()[0].name(), "deaf");
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        self.task.name()
    }

    /// Where it was spawned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(report.stragglers()[0].place().file().ends_with(".rs"));
    /// # }
    /// ```
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.task.place()
    }

    /// Whether it is of `spawn_blocking`, which nothing can abort.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(!report.stragglers()[0].is_blocking());
    /// # }
    /// ```
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        self.task.is_blocking()
    }

    /// How long after the request it ended; `None`: it still runs.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(report.stragglers()[0].ended_after().unwrap() >= Duration::from_secs(5));
    /// # }
    /// ```
    #[must_use]
    pub fn ended_after(&self) -> Option<Duration> {
        self.end.and_then(|(after, _)| after)
    }

    /// How long after the request this was written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("deaf", |_stop| std::future::pending::<()>());
    /// tokio::task::yield_now().await; // it begins
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(report.stragglers()[0].waited() >= Duration::from_secs(5));
    /// # }
    /// ```
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.task)?;
        match (self.end, self.is_blocking()) {
            (Some((after, how)), _) => {
                let after = after.unwrap_or(self.waited);
                write!(f, "{how} only {after:.3?} after it was asked to stop")
            }
            (None, true) => write!(
                f,
                "still runs, {:.3?} after it was asked to stop; it is blocking work, which has to \
                 look at its token",
                self.waited
            ),
            (None, false) => write!(
                f,
                "still runs, {:.3?} after it was asked to stop; it blocks its thread, or waits \
                 behind what does; that belongs into spawn_blocking",
                self.waited
            ),
        }
    }
}
