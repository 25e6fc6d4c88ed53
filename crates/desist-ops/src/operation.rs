//! An operation, as it is kept.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::{CancelRequest, OperationId};

/// How an operation ended.
///
/// ```
/// assert_eq!(desist_ops::Outcome::Cancelled.as_str(), "cancelled");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It has done its work; also if it was asked to stop meanwhile.
    Succeeded,
    /// It has not, and is not tried again.
    Failed,
    /// It was asked to stop, and did not do its work.
    Cancelled,
}

impl Outcome {
    /// A name that never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where an operation is.
///
/// ```
/// use desist_ops::{Outcome, State};
///
/// assert_eq!(State::Finished(Outcome::Failed).as_str(), "failed");
/// assert_eq!(State::parse("failed"), Some(State::Finished(Outcome::Failed)));
/// assert!(!State::Waiting.is_finished());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// For somebody to run it, the first time or again.
    Waiting,
    /// Somebody runs it; also if it was asked to stop.
    Running,
    /// So it ended.
    Finished(Outcome),
}

impl State {
    /// A name that never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished(outcome) => outcome.as_str(),
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const ALL: [State; 5] = [
            State::Waiting,
            State::Running,
            State::Finished(Outcome::Succeeded),
            State::Finished(Outcome::Failed),
            State::Finished(Outcome::Cancelled),
        ];
        ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Finished(_))
    }

    /// How it has ended.
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Finished(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far an operation has come.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let id = operations.start("export", "orders").await?.id();
/// let progress = operations.get(id).await?.unwrap().progress;
/// let percent = progress.and_then(|progress| progress.fraction()).map(|done| done * 100.0);
/// assert_eq!(percent, None, "it has not begun");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// So much of it is done.
    pub done: u64,
    /// Of so much, where that is known.
    pub total: Option<u64>,
    /// What it does.
    pub message: String,
    /// When it said so.
    pub at: SystemTime,
}

impl Progress {
    /// From 0 to 1, where it is known how much there is.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|&total| total > 0)?;
        #[allow(clippy::cast_precision_loss)] // It is a bar on a screen.
        Some((self.done as f64 / total as f64).min(1.0))
    }
}

/// An operation, as it was when it was read. All times are of the database's clock.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// use desist_ops::Outcome;
///
/// let id = operations.start("export", "orders").actor("ada").await?.id();
/// operations.cancel(id, CancelRequest::new().message("enough")).await?;
/// let operation = operations.get(id).await?.unwrap();
/// assert_eq!(operation.state, State::Finished(Outcome::Cancelled));
/// assert!(operation.cancelled_before_start() && !operation.is_overdue());
/// assert_eq!(operation.cancel.unwrap().told(), Some("enough"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Operation {
    /// What it is called.
    pub id: OperationId,
    /// Which was started first.
    pub sequence: i64,
    /// What kind it is of.
    pub kind: String,
    /// Where it is.
    pub state: State,
    /// Each change raises it.
    pub version: i64,
    /// Each claim raises it; a write of an older one is refused.
    pub generation: i64,
    /// Below which operation it was started.
    pub parent: Option<OperationId>,
    /// What makes it a duplicate.
    pub key: Option<String>,
    /// What it can be found by.
    pub tags: Vec<String>,
    /// Who started it.
    pub actor: Option<String>,
    /// The trace that it belongs to, as W3C writes it.
    pub traceparent: Option<String>,
    /// How often it was begun; a stop of its process does not count.
    pub attempt: u32,
    /// How often it may be.
    pub attempts: u32,
    /// How long it may take to stop.
    pub grace: Duration,
    /// Which process has run it last, as that calls itself.
    pub ran_on: Option<String>,
    /// What it gave, as JSON.
    pub output: Option<String>,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was started by whoever wanted it.
    pub created_at: SystemTime,
    /// When it may be run, the first time or again.
    pub run_at: SystemTime,
    /// When it was run first.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub finished_at: Option<SystemTime>,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// The first request to stop it, with the mode of the one that went furthest.
    pub cancel: Option<CancelRequest>,
    /// When its process had heard of that.
    pub heard_at: Option<SystemTime>,
    /// When its token was cancelled, or the one that drains.
    pub seen_at: Option<SystemTime>,
    /// When it was to stop: since its token is cancelled, by whoever asked, by its kind's time, or by
    /// the end of its process, as far as that is known.
    pub stop_at: Option<SystemTime>,
    /// What the database's clock said as this was read.
    pub read_at: SystemTime,
}

impl Operation {
    /// Whether it was asked to stop and has succeeded all the same.
    #[must_use]
    pub fn succeeded_in_spite_of_a_cancel(&self) -> bool {
        self.state == State::Finished(Outcome::Succeeded) && self.cancel.is_some()
    }

    /// Whether it was cancelled and had never run.
    #[must_use]
    pub fn cancelled_before_start(&self) -> bool {
        self.state == State::Finished(Outcome::Cancelled) && self.started_at.is_none()
    }

    /// How long ago it was told to stop, if it still runs. One that only drains is not.
    #[must_use]
    pub fn stopping_for(&self) -> Option<Duration> {
        let asked = self.stop_at.filter(|_| self.state == State::Running)?;
        Some(self.read_at.duration_since(asked).unwrap_or_default())
    }

    /// Whether it was told to stop longer ago than it may take.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.stopping_for().is_some_and(|time| time > self.grace)
    }
}
