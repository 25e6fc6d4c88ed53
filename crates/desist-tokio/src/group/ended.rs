//! Tasks that ended: which, where from, and how.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::iter;
use std::panic::Location;
use std::time::Duration;

use super::outcome::{BoxError, Outcome};
use super::task::caught;

/// Which task of its group.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = desist_tokio::TaskGroup::new();
/// let first = group.spawn("first", |_stop| async {});
/// assert!(first < group.spawn("second", |_stop| async {}), "in the order of the spawns");
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(super) u64);

/// A task that ended, and how.
///
/// ```
/// use desist_tokio::TaskGroup;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("indexer", |stop| async move { stop.token().await; });
/// group.cancel();
/// let ended = &group.join().await[0];
/// assert_eq!(ended.name(), "indexer");
/// assert!(ended.place().file().ends_with(".rs"));
/// # }
/// ```
#[derive(Debug)]
pub struct Ended<T> {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    pub(super) place: &'static Location<'static>,
    pub(super) after: Option<Duration>,
    pub(super) outcome: Outcome<T>,
}

impl<T> Ended<T> {
    /// What `spawn` gave for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let id = group.spawn("one", |_stop| async {});
    /// assert_eq!(group.next().await.unwrap().id(), id);
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The name it was spawned with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(group.next().await.unwrap().name(), "one");
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was spawned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let line = line!() + 1;
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(group.next().await.unwrap().place().line(), line);
    /// # }
    /// ```
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// How long after the group was asked to stop; `None` if it was not asked.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert!(group.next().await.unwrap().after().is_none(), "nobody was asked");
    /// group.cancel();
    /// group.spawn("late", |_stop| async {});
    /// assert!(group.next().await.unwrap().after().is_some());
    /// # }
    /// ```
    #[must_use]
    pub fn after(&self) -> Option<Duration> {
        self.after
    }

    /// How it ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert!(!group.next().await.unwrap().outcome().is_failure());
    /// # }
    /// ```
    #[must_use]
    pub fn outcome(&self) -> &Outcome<T> {
        &self.outcome
    }

    /// How it ended, with its value or error.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new().returning::<u8>();
    /// group.spawn("one", |_stop| async { 7 });
    /// assert_eq!(group.next().await.unwrap().into_outcome().finished(), Some(7));
    /// # }
    /// ```
    #[must_use]
    pub fn into_outcome(self) -> Outcome<T> {
        self.outcome
    }
}

impl<T> fmt::Display for Ended<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` {}", self.name, self.outcome)
    }
}

/// A task of the group failed: the error of [`TaskGroup::wait`](crate::TaskGroup::wait).
///
/// ```
/// use desist_tokio::TaskGroup;
/// use std::error::Error;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("importer", |_| async { Err("the file has no header") });
/// let failed = group.wait().await.unwrap_err();
/// assert_eq!(failed.to_string(), "task `importer` failed");
/// assert_eq!(failed.source().unwrap().to_string(), "the file has no header");
/// # }
/// ```
#[derive(Debug)]
pub struct TaskFailed {
    pub(super) name: Cow<'static, str>,
    pub(super) place: &'static Location<'static>,
    pub(super) error: BoxError,
}

impl TaskFailed {
    /// The name of the task.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("importer", |_stop| async { Err("no header") });
    /// let failed = group.wait().await.unwrap_err();
    /// assert_eq!(failed.name(), "importer");
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it was spawned.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("importer", |_stop| async { Err("no header") });
    /// let failed = group.wait().await.unwrap_err();
    /// assert!(failed.place().file().ends_with(".rs"));
    /// # }
    /// ```
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// What it failed with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("importer", |_stop| async { Err("no header") });
    /// let failed = group.wait().await.unwrap_err();
    /// assert_eq!(failed.into_error().to_string(), "no header");
    /// # }
    /// ```
    #[must_use]
    pub fn into_error(self) -> BoxError {
        self.error
    }
}

impl fmt::Display for TaskFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` failed", self.name)
    }
}

impl Error for TaskFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// The detail of a [`SiblingFailed`](desist::Reason::SiblingFailed). The error
/// itself is its task's outcome, so this has what it said, level by level.
#[derive(Debug)]
pub(super) struct Sibling {
    name: Cow<'static, str>,
    how: &'static str,
    why: Option<Retold>,
}

impl Sibling {
    pub(super) fn new<T>(name: Cow<'static, str>, outcome: &Outcome<T>) -> Self {
        let why = match outcome {
            // Foreign code runs in here; what panics there is not told, but is
            // a failure all the same.
            Outcome::Failed(error) => caught(|| Retold::of(&**error)).ok(),
            Outcome::Panicked(panic) => {
                Some(Retold { said: panic.message().to_owned(), source: None })
            }
            _ => None,
        };
        Self { name, how: outcome.word(), why }
    }
}

impl fmt::Display for Sibling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` {}", self.name, self.how)
    }
}

impl Error for Sibling {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.as_ref().map(|why| why as _)
    }
}

/// What an error said, and its sources.
#[derive(Debug)]
struct Retold {
    said: String,
    source: Option<Box<Self>>,
}

impl Retold {
    /// A chain may be long, or be without an end by mistake.
    const MOST: usize = 32;

    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut levels: Vec<_> = iter::successors(error.source(), |&error| error.source())
            .take(Self::MOST)
            .map(ToString::to_string)
            .collect();
        let mut source = None;
        while let Some(said) = levels.pop() {
            source = Some(Box::new(Self { said, source }));
        }
        Self { said: error.to_string(), source }
    }
}

impl fmt::Display for Retold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl Error for Retold {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
