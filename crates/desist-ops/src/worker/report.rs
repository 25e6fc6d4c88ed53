//! What was done.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{OperationId, Outcome};

/// What a process did with operations, from its start until it was asked to stop.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// use desist_ops::{Operations, Sqlite};
/// use desist_tokio::StopSource;
///
/// let operations = Operations::builder(Sqlite::open(":memory:").await?).open().await?;
/// let stop = StopSource::new();
/// stop.drain();
/// let report = operations.run(&stop.stop()).await?;
/// assert!(report.is_clean());
/// assert_eq!(report.to_string(), "0 succeeded, 0 failed, 0 cancelled, 0 given back, 0 lost");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    again: u64,
    given_back: u64,
    lost: u64,
    stragglers: Vec<(OperationId, String)>,
}

impl Report {
    /// How many succeeded.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// How many failed for good.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many were cancelled, of those that had begun.
    #[must_use]
    pub fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// How many attempts failed that were not the last.
    #[must_use]
    pub fn tried_again(&self) -> u64 {
        self.again
    }

    /// How many went back to be begun by somebody else.
    #[must_use]
    pub fn given_back(&self) -> u64 {
        self.given_back
    }

    /// How many this process had lost to others, having been cut off or stopped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Those that did not stop, and their kinds. Somebody else has them when the lease is over.
    #[must_use]
    pub fn stragglers(&self) -> &[(OperationId, String)] {
        &self.stragglers
    }

    /// Whether nothing was lost, and nothing still ran in the end.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.stragglers.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} succeeded, {} failed, {} cancelled, {} given back, {} lost",
            self.succeeded, self.failed, self.cancelled, self.given_back, self.lost
        )?;
        for (id, kind) in &self.stragglers {
            write!(f, "; {id} of kind {kind} did not stop")?;
        }
        Ok(())
    }
}

/// Counted while it is done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    again: AtomicU64,
    given_back: AtomicU64,
    lost: AtomicU64,
}

impl Counts {
    fn one(counter: &AtomicU64) {
        // Ordering: it only counts.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        Self::one(match outcome {
            Outcome::Succeeded => &self.succeeded,
            Outcome::Failed => &self.failed,
            Outcome::Cancelled => &self.cancelled,
        });
    }

    pub(crate) fn again(&self) {
        Self::one(&self.again);
    }

    pub(crate) fn given_back(&self) {
        Self::one(&self.given_back);
    }

    pub(crate) fn lost(&self) {
        Self::one(&self.lost);
    }

    pub(crate) fn report(&self, stragglers: Vec<(OperationId, String)>) -> Report {
        // Ordering: it only counts.
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            succeeded: count(&self.succeeded),
            failed: count(&self.failed),
            cancelled: count(&self.cancelled),
            again: count(&self.again),
            given_back: count(&self.given_back),
            lost: count(&self.lost),
            stragglers,
        }
    }
}
