//! How tasks get into a group.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::blocking::Job;
use super::ended::TaskId;
use super::outcome::TaskOutput;
use super::settings::Settings;
use super::shared::Shared;
use super::slots::Kind;
use super::task::{Task, not_begun};
use super::ticket::Ticket;
use crate::clock;
use crate::stop::Stop;

/// Spawns into a [`TaskGroup`](crate::TaskGroup), from wherever it is: its tasks
/// have it to spawn others. It does not keep the group: once that is gone, what
/// it spawns is never begun.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = desist_tokio::TaskGroup::new();
/// let spawner = group.spawner();
/// drop(group);
/// spawner.spawn("late", |_stop| async { unreachable!("never begun") });
/// # }
/// ```
pub struct Spawner<T: Send + 'static = ()> {
    pub(super) shared: Arc<Shared<T>>,
    /// Where the group was made.
    pub(super) runtime: Option<Handle>,
    pub(super) settings: Settings,
}

impl<T: Send + 'static> Spawner<T> {
    /// The stop that the tasks are given.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.cancel();
    /// assert!(group.spawner().signal().is_cancelled());
    /// # }
    /// ```
    #[must_use]
    pub fn signal(&self) -> &Stop {
        self.shared.stop()
    }

    /// As [`TaskGroup::spawn`](crate::TaskGroup::spawn).
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawner().spawn("hello", |_stop| async {});
    /// assert_eq!(group.len(), 1);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F, W, R, M>(&self, name: impl Into<Cow<'static, str>>, begin: F) -> TaskId
    where
        F: FnOnce(Stop) -> W + Send + 'static,
        W: Future<Output = R> + Send + 'static,
        R: TaskOutput<T, M> + 'static,
        M: 'static,
    {
        let runtime = self.runtime();
        let ticket = self.shared.enter(name.into(), Location::caller(), Kind::Async);
        let id = ticket.id;
        let Some((ticket, begin)) = self.admit(ticket, begin) else { return id };
        let task = Task::new(ticket, self.shared.ambient_here(), begin);
        match &self.shared.permits {
            None => drop(runtime.spawn(task)),
            Some(permits) => {
                let permits = Arc::clone(permits);
                let token = self.signal().token().clone();
                drop(runtime.spawn(async move {
                    // Cancelled meanwhile, the task itself says that it never began.
                    let permit = token.run(permits.acquire_owned()).await;
                    task.await;
                    drop(permit);
                }));
            }
        }
        id
    }

    /// As [`TaskGroup::spawn_blocking`](crate::TaskGroup::spawn_blocking).
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new().returning::<u32>();
    /// group.spawner().spawn_blocking("sum", |_stop| (1..=100).sum::<u32>());
    /// assert_eq!(group.next().await.unwrap().into_outcome().finished(), Some(5050));
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F, R, M>(&self, name: impl Into<Cow<'static, str>>, work: F) -> TaskId
    where
        F: FnOnce(Stop) -> R + Send + 'static,
        R: TaskOutput<T, M> + 'static,
        M: 'static,
    {
        let runtime = self.runtime();
        self.shared.strikes_queued();
        let ticket = self.shared.enter(name.into(), Location::caller(), Kind::Queued);
        let id = ticket.id;
        let Some((ticket, work)) = self.admit(ticket, work) else { return id };
        let mut job =
            Job { work, stop: self.signal().clone(), ambient: self.shared.ambient_here(), ticket };
        if clock::is_paused() {
            // Tokio's time stands while blocking work runs: a wait for it in there
            // would have no end.
            job.stop = job.stop.on_system_time();
            job.ambient = job.ambient.on_system_time();
        }
        match &self.shared.permits {
            None => drop(runtime.spawn_blocking(move || job.run())),
            Some(permits) => {
                let permits = Arc::clone(permits);
                let token = self.signal().token().clone();
                let threads = runtime.clone();
                drop(runtime.spawn(async move {
                    let Ok(permit) = token.run(permits.acquire_owned()).await else {
                        // It is over without a thread.
                        return job.run();
                    };
                    drop(threads.spawn_blocking(move || {
                        job.run();
                        drop(permit);
                    }));
                }));
            }
        }
        id
    }

    /// In a group that is cancelled the task is over, and what it captured goes first.
    fn admit<W>(&self, ticket: Ticket<T>, work: W) -> Option<(Ticket<T>, W)> {
        let Some(cancelled) = self.signal().cancellation() else { return Some((ticket, work)) };
        ticket.end(not_begun(work, cancelled));
        None
    }

    #[track_caller]
    fn runtime(&self) -> Handle {
        match (Handle::try_current(), &self.runtime) {
            (Ok(here), _) => here,
            (_, Some(home)) => home.clone(),
            (Err(_), None) => panic!(
                "a task is spawned outside a tokio runtime, into a group that was made outside \
                 one; spawn from a task, or inside Runtime::enter()"
            ),
        }
    }
}

impl<T: Send + 'static> Clone for Spawner<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            runtime: self.runtime.clone(),
            settings: self.settings,
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Spawner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("stop", self.signal()).finish_non_exhaustive()
    }
}
