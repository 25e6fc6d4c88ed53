//! Who is in a group now.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

use super::TaskGroup;
use super::ended::TaskId;
use super::shared::Shared;
use super::slots::{Kind, Task};
use super::spawner::Spawner;

/// A task that had not ended when [`TaskGroup::running`] looked.
///
/// It is what was seen then, and keeps neither the task nor its group.
///
/// ```
/// use desist_tokio::TaskGroup;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("poller", |stop| async move { stop.token().await; });
/// let running = group.running();
/// assert!(running[0].to_string().starts_with("task `poller` (spawned at "));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RunningTask {
    pub(super) id: TaskId,
    pub(super) name: Cow<'static, str>,
    place: &'static Location<'static>,
    blocking: bool,
}

impl RunningTask {
    pub(super) fn of(task: &Task) -> Self {
        Self {
            id: task.id,
            name: task.label(),
            place: task.place,
            blocking: matches!(task.kind, Kind::Queued) || task.is_blocking(),
        }
    }

    /// What `spawn` gave for it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let id = group.spawn("one", |_stop| async {});
    /// assert_eq!(group.running()[0].id(), id);
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The name it was spawned with. A shield is called that; a group that was left by
    /// a task is called `group of` those who are in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(group.running()[0].name(), "one");
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
    /// assert_eq!(group.running()[0].place().line(), line);
    /// # }
    /// ```
    #[must_use]
    pub fn place(&self) -> &'static Location<'static> {
        self.place
    }

    /// Whether it is of `spawn_blocking`, which nothing can abort once it has a thread.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert!(!group.running()[0].is_blocking());
    /// # }
    /// ```
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        self.blocking
    }
}

impl fmt::Display for RunningTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}` (spawned at {})", self.name, self.place)
    }
}

impl<T: Send + 'static> TaskGroup<T> {
    /// The tasks that have not ended, the oldest first: as many as [`len`](Self::len).
    /// One that waits for its turn, or for a thread, is among them.
    ///
    /// It holds the group's lock while it copies the names: for a page that somebody
    /// looks at, and not for each request.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("poller", |stop| async move { stop.token().await; });
    /// group.spawn("importer", |stop| async move { stop.token().await; });
    /// let names: Vec<_> = group.running().iter().map(|task| task.name().to_owned()).collect();
    /// assert_eq!(names, ["poller", "importer"]);
    /// group.cancel();
    /// group.join().await;
    /// assert!(group.running().is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn running(&self) -> Vec<RunningTask> {
        self.shared().running()
    }
}

impl<T: Send + 'static> Spawner<T> {
    /// As [`TaskGroup::running`](crate::TaskGroup::running). Once the group is gone: those
    /// that it could not end, for as long as they run.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let spawner = group.spawner();
    /// group.spawn("poller", |stop| async move { stop.token().await; });
    /// assert_eq!(spawner.running()[0].name(), "poller");
    /// # }
    /// ```
    #[must_use]
    pub fn running(&self) -> Vec<RunningTask> {
        self.shared.running()
    }

    /// As [`TaskGroup::len`](crate::TaskGroup::len).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let spawner = group.spawner();
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(spawner.len(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.live()
    }

    /// As [`TaskGroup::is_empty`](crate::TaskGroup::is_empty).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// assert!(group.spawner().is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send + 'static> Shared<T> {
    fn running(&self) -> Vec<RunningTask> {
        let mut running = self.survey(|task| Some(RunningTask::of(task)));
        // Slots are taken again; numbers are not.
        running.sort_unstable_by_key(|task| task.id);
        running
    }
}
