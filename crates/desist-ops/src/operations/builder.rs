//! How they are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Operations, Settings, Shared};
use crate::error::Kind as Why;
use crate::hints::Hints;
use crate::policy::FOR_EVER;
use crate::protocol::Fence;
use crate::store::Store;
use crate::{Error, Kind, text};

/// [`Operations`] that are about to be opened.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// use std::time::Duration;
///
/// let builder = Operations::builder(Sqlite::open(":memory:").await?)
///     .kind(Kind::new("export", export))
///     .lease(Duration::from_secs(10))
///     .keep_finished(Duration::from_secs(7 * 24 * 3600));
/// assert!(builder.open().await?.kinds().eq(["export"]));
/// # drop(operations);
/// # Ok(())
/// # }
/// ```
#[must_use = "they are opened by `open`"]
pub struct OperationsBuilder<S> {
    store: S,
    kinds: Vec<Kind<S>>,
    settings: Settings,
}

impl<S: Store> OperationsBuilder<S> {
    pub(super) fn new(store: S) -> Self {
        let name = std::env::var("HOSTNAME").unwrap_or_default();
        let id = std::process::id();
        let label = if name.is_empty() { format!("process {id}") } else { format!("{name}:{id}") };
        let settings = Settings {
            lease: Duration::from_secs(15),
            look_every: Duration::from_secs(5),
            drain_for: Duration::from_secs(10),
            max_input: 256 * 1024,
            max_output: 64 * 1024,
            keep: Some(Duration::from_secs(30 * 24 * 3600)),
            label,
            fence: Fence::Up,
        };
        Self { store, kinds: Vec::new(), settings }
    }

    /// With operations of this kind.
    pub fn kind(mut self, kind: Kind<S>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// How long a process that is not heard of keeps its operations; 15 s, if nothing is said,
    /// half a second at least. All processes on one database should say the same.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(Duration::from_millis(500), FOR_EVER);
        self
    }

    /// How often it is looked for work and for requests to stop that no push has told of; 5 s, if
    /// nothing is said. A third of the lease is the most for the latter.
    pub fn look_every(mut self, time: Duration) -> Self {
        self.settings.look_every = time.clamp(Duration::from_millis(10), FOR_EVER);
        self
    }

    /// How long what runs may take to come to its end when its process drains; 10 s, if nothing is
    /// said. Then it is asked to stop, and goes back.
    pub fn drain_for(mut self, time: Duration) -> Self {
        self.settings.drain_for = time.min(FOR_EVER);
        self
    }

    /// How many bytes an input has at most, as JSON; 256 KiB, if nothing is said.
    pub fn max_input(mut self, bytes: usize) -> Self {
        self.settings.max_input = bytes;
        self
    }

    /// How many bytes an output has at most, as JSON; 64 KiB, if nothing is said. Of a greater
    /// one nothing is kept, and the operation says so.
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.settings.max_output = bytes;
        self
    }

    /// How long operations are kept that have ended; 30 days, if nothing is said. `None`: for
    /// ever.
    pub fn keep_finished(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.keep = time.into();
        self
    }

    /// What this process calls itself, for people; its host's name and its number, if nothing is
    /// said.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.settings.label = text::kept(label, text::NAME);
        self
    }

    /// Without the check that a run still has its operation. It is there to show that the check
    /// is needed.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn without_the_fence(mut self) -> Self {
        self.settings.fence = Fence::Down;
        self
    }

    /// Opens them; the tables are made that are missing.
    ///
    /// # Errors
    ///
    /// Two kinds have one name, or one has none; the database is away, or its tables are those of
    /// a newer release.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// let builder = Operations::builder(Sqlite::open(":memory:").await?);
    /// let twice = builder.kind(Kind::new("export", export)).kind(Kind::new("export", export));
    /// assert_eq!(
    ///     twice.open().await.unwrap_err().to_string(),
    ///     "there are two kinds of operations named `export`; each needs a name of its own",
    /// );
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(self) -> Result<Operations<S>, Error> {
        let mut kinds = BTreeMap::new();
        for kind in self.kinds {
            text::indexed("the name of a kind of operations", &kind.name)?;
            let name = kind.name.clone();
            if kinds.insert(kind.name.clone(), kind).is_some() {
                let said = format!(
                    "there are two kinds of operations named `{name}`; each needs a name of its own"
                );
                return Err(Error::new(Why::Built, said));
            }
        }
        self.store.migrate().await?;
        let hints = Arc::new(Hints::default());
        self.store.local().joins(&hints);
        Ok(Operations::new(Shared {
            store: self.store,
            kinds,
            settings: self.settings,
            hints,
            running: AtomicBool::new(false),
            told: super::start::Told::default(),
            worker: Mutex::default(),
        }))
    }
}

impl<S> fmt::Debug for OperationsBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationsBuilder")
            .field("kinds", &self.kinds)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
