//! What operations do, and within which limits.

mod failed;
mod handler;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

pub(crate) use self::failed::inside;
pub(crate) use self::handler::Handles;

use crate::policy::{AfterDeath, Duplicates, FOR_EVER, WhenOverdue};
use crate::{BoxError, Context};

/// A kind of operation: its name, what it does, and its limits.
///
/// ```
/// use desist_ops::{BoxError, Context, Kind, Sqlite};
/// use std::time::Duration;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Export { table: String }
///
/// async fn export(ctx: Context<Sqlite>, export: Export) -> Result<u64, BoxError> {
///     for part in 0..10 {
///         ctx.token().check()?;
///         ctx.progress(part, 10, format!("part {part} of {}", export.table));
///     }
///     Ok(10)
/// }
///
/// let kind = Kind::new("export", export).concurrency(4).timeout(Duration::from_secs(600));
/// # let _ = kind;
/// ```
#[must_use = "it is given to `Operations::builder`"]
pub struct Kind<S> {
    pub(crate) name: String,
    pub(crate) handler: Arc<dyn Handles<S>>,
    pub(crate) settings: Settings,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    attempts: Option<u32>,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) after_death: AfterDeath,
    pub(crate) duplicates: Duplicates,
    pub(crate) when_overdue: WhenOverdue,
}

/// So often one is begun that may be begun again.
const RESTARTS: u32 = 10;

impl Settings {
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(match self.after_death {
            AfterDeath::Fail => 1,
            AfterDeath::Restart => RESTARTS,
        })
    }

    /// Before it is done again after so many attempts.
    pub(crate) fn again_after(&self, attempt: u32) -> Duration {
        let (first, longest) = self.backoff;
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1).min(30));
        let whole = first.saturating_mul(doubled).min(longest);
        // Those that failed together are not to come back together.
        let part = u32::from(crate::id::letters::<1>()[0]) % 32;
        whole / 2 + whole / 64 * part
    }
}

impl<S: 'static> Kind<S> {
    /// Of that name, which is kept with each operation: it is never to mean anything else. What it
    /// takes is kept as JSON, and so is what it gives, which others can read as its
    /// [output](crate::Operation::output).
    pub fn new<I, O, E, F, Fut>(name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context<S>, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        E: Into<BoxError> + 'static,
    {
        Self {
            name: name.into(),
            handler: Arc::new(handler::Closure::new(handler)),
            settings: Settings {
                concurrency: 8,
                timeout: None,
                grace: Duration::from_secs(5),
                attempts: None,
                backoff: (Duration::from_secs(1), Duration::from_secs(300)),
                after_death: AfterDeath::default(),
                duplicates: Duplicates::default(),
                when_overdue: WhenOverdue::default(),
            },
        }
    }

    /// How many run at a time in one process; 8, if nothing is said. None: operations of this
    /// kind are started here, and run by others.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.settings.concurrency = most;
        self
    }

    /// How long one attempt may take. Then it is asked to stop, and has failed if it does. Nothing
    /// said: as long as it takes.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = Some(limit.min(FOR_EVER));
        self
    }

    /// How long one may take to stop before it is overdue; 5 s, if nothing is said.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace.min(FOR_EVER);
        self
    }

    /// How often it is begun before it has failed: once, if nothing is said, and ten times where
    /// it is begun again [after a death](Self::after_death). Zero is one.
    pub fn attempts(mut self, most: u32) -> Self {
        self.settings.attempts = Some(most.max(1));
        self
    }

    /// The pause after a failure: this one after the first, doubled each time up to the longest,
    /// with some chance in it; from 1 s to 5 min, if nothing is said.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        let first = first.min(FOR_EVER);
        self.settings.backoff = (first, longest.clamp(first, FOR_EVER));
        self
    }

    /// What becomes of one whose process has died.
    pub fn after_death(mut self, policy: AfterDeath) -> Self {
        self.settings.after_death = policy;
        self
    }

    /// What becomes of one that is started with the key of another.
    pub fn duplicates(mut self, policy: Duplicates) -> Self {
        self.settings.duplicates = policy;
        self
    }

    /// What becomes of one that does not stop within its grace.
    pub fn when_overdue(mut self, policy: WhenOverdue) -> Self {
        self.settings.when_overdue = policy;
        self
    }
}

impl<S> fmt::Debug for Kind<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
