//! Tasks that belong together: none outlives the group, and how each ended is
//! known.

mod blocking;
mod ended;
mod nested;
mod outcome;
mod report;
mod running;
mod settings;
mod shared;
mod slots;
mod spawner;
mod stopping;
mod task;
mod ticket;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use desist::{Cause, Reason};
use tokio::runtime::Handle;

pub use self::ended::{Ended, TaskFailed, TaskId};
use self::nested::Outers;
pub(crate) use self::nested::{Keeper, Lost};
pub use self::outcome::{BoxError, Outcome, TaskOutput, TaskPanic};
pub use self::report::{Grace, Report, Straggler};
pub use self::running::RunningTask;
pub use self::settings::OnFailure;
use self::settings::Settings;
use self::shared::Shared;
pub use self::spawner::Spawner;
pub(crate) use self::task::caught;
use crate::clock;
use crate::current::{Ambient, ambient};
use crate::stop::{Stop, StopSource};

/// Tasks that begin under one stop, and end before the group does.
///
/// A task is a name and a closure that is given the group's [`Stop`] and makes a
/// future. How each task ended is kept until somebody asks:
/// [`join`](Self::join) waits for all, [`next`](Self::next) for one,
/// [`stop`](Self::stop) ends them within a grace and reports who did not, and
/// [`wait`](Self::wait) is for whoever wants nothing but that all went well.
///
/// Made inside a task that has a [`current`](crate::current) token, the group is a child of it.
/// That is a token, and says nothing of draining: a group that shall drain with
/// another is made [`under`](Self::under) the [`Stop`] of that.
///
/// Dropping the group asks its tasks to stop, with [`Reason::Dropped`], and
/// aborts them: each is dropped when its runtime comes to it. Only a future can
/// be aborted: blocking work that ignores its token runs on, and so does a task
/// that blocks its thread. Outcomes that nobody asked for are lost with it; but a
/// group that was made in a task of another leaves to that one who is left in it,
/// and what failed.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::{Outcome, TaskGroup, sleep};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("heartbeat", |stop| async move {
///     loop {
///         sleep(Duration::from_secs(1), &stop).await?;
///     }
///     #[allow(unreachable_code)]
///     Ok::<(), desist::Cancelled>(())
/// });
/// group.spawn("importer", |_stop| async { Err("the file has no header") });
///
/// // The importer fails, so the heartbeat is asked to stop.
/// let ended = group.join().await;
/// let (importer, heartbeat) = (&ended[0], &ended[1]);
/// assert_eq!(importer.to_string(), "task `importer` failed: the file has no header");
/// let Outcome::Cancelled(cancelled) = heartbeat.outcome() else { panic!() };
/// assert_eq!(cancelled.reason(), Reason::SiblingFailed);
/// # }
/// ```
///
/// # Comparison to `JoinSet`
///
/// `tokio::task::JoinSet` aborts: its tasks are dropped at an await, and have no
/// say. It keeps no names, asks nobody, and has no bound for those that do not
/// end. A group asks first, and tells what came of it.
///
/// # Runtimes
///
/// A task runs on the runtime that is current where it is spawned, or else on
/// that where the group was made. A group may have tasks on several; the end of a
/// runtime is the end of its tasks ([`Outcome::Aborted`]).
pub struct TaskGroup<T: Send + 'static = ()> {
    spawner: Spawner<T>,
    /// Its drop ends the tasks.
    ends: bool,
}

impl TaskGroup<()> {
    /// A group below the [`current`](crate::current) token, or on its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("hello", |_stop| async {});
    /// assert_eq!(group.join().await.len(), 1);
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        match ambient() {
            Some(base) if base.token.can_be_cancelled() => {
                Self::first(Stop::from(&base.token).child(), Some(base))
            }
            _ => Self::first(StopSource::with_clock(clock::root_clock()), None),
        }
    }

    /// A group below a token or a [`Stop`].
    ///
    /// ```
    /// use desist::Source;
    /// use desist_tokio::TaskGroup;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let request = Source::new();
    /// let group = TaskGroup::under(&request.token());
    /// group.spawn("fetch", |stop| async move { stop.token().await; });
    /// request.cancel();
    /// group.join().await;
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn under(stop: impl Into<Stop>) -> Self {
        Self::first(stop.into().child(), None)
    }
}

impl<T: Send + 'static> TaskGroup<T> {
    #[track_caller]
    fn first(source: StopSource, base: Option<Arc<Ambient>>) -> Self {
        let settings = Settings::default();
        let around = ambient();
        let keeper = around.as_ref().and_then(|around| around.keeper.as_ref());
        let outers = keeper.map(Outers::from);
        let shared = Shared::new(source, base, outers, Location::caller(), settings);
        let runtime = Handle::try_current().ok();
        Self { spawner: Spawner { shared, runtime, settings }, ends: true }
    }

    /// The same group, which has no task yet, with other settings.
    #[track_caller]
    fn remade<U: Send + 'static>(mut self, settings: Settings) -> TaskGroup<U> {
        let shared = self.shared();
        assert!(shared.is_new(), "a group is set up before its first task, and its first spawner");
        let (source, base, outers) =
            (shared.source.clone(), shared.base.clone(), shared.outers.clone());
        let shared = Shared::new(source, base, outers, shared.place, settings);
        let runtime = self.spawner.runtime.clone();
        self.ends = false;
        TaskGroup { spawner: Spawner { shared, runtime, settings }, ends: true }
    }

    fn settings(&self) -> Settings {
        self.spawner.settings
    }

    fn shared(&self) -> &Arc<Shared<T>> {
        &self.spawner.shared
    }

    /// Tasks that give a value: `Finished` then carries it.
    ///
    /// # Panics
    ///
    /// As the other settings, if the group had a task already, or gave a spawner.
    ///
    /// ```
    /// use desist_tokio::TaskGroup;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let squares = TaskGroup::new().returning::<u64>();
    /// for number in 1..=3 {
    ///     squares.spawn("square", move |_stop| async move { number * number });
    /// }
    /// let ended = squares.join().await;
    /// let sum: u64 = ended.into_iter().filter_map(|end| end.into_outcome().finished()).sum();
    /// assert_eq!(sum, 14);
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn returning<U: Send + 'static>(self) -> TaskGroup<U> {
        let settings = self.settings();
        self.remade(settings)
    }

    /// What a task's failure does to the others; as it is made, they are asked to
    /// stop.
    ///
    /// ```
    /// use desist_tokio::{OnFailure, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new().on_failure(OnFailure::Continue);
    /// group.spawn("first", |_stop| async { Err("no") });
    /// group.spawn("second", |stop| async move { stop.check() });
    /// let ended = group.join().await;
    /// assert_eq!(ended.iter().filter(|end| end.outcome().is_failure()).count(), 1);
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        let settings = Settings { on_failure, ..self.settings() };
        self.remade(settings)
    }

    /// So many tasks run at once at most; the others wait, and are never begun if
    /// the group is cancelled meanwhile.
    ///
    /// # Panics
    ///
    /// If it is zero: nothing would ever begin.
    ///
    /// ```
    /// use desist_tokio::TaskGroup;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new().max_concurrent(2);
    /// let running = Arc::new(AtomicU32::new(0));
    /// for _ in 0..10 {
    ///     let running = Arc::clone(&running);
    ///     group.spawn("download", move |_stop| async move {
    ///         assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
    ///         tokio::task::yield_now().await;
    ///         running.fetch_sub(1, Ordering::SeqCst);
    ///     });
    /// }
    /// group.wait().await.unwrap();
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn max_concurrent(self, most: usize) -> Self {
        assert!(most > 0, "max_concurrent(0) would let no task begin; give it at least 1");
        let settings = Settings { max_concurrent: Some(most), ..self.settings() };
        self.remade(settings)
    }

    /// Forgets tasks that finished: for a group that lives long and has many.
    /// Those that failed, panicked or were cancelled are kept.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let connections = desist_tokio::TaskGroup::new().forget_finished();
    /// connections.spawn("connection", |_stop| async {});
    /// assert!(connections.join().await.is_empty());
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn forget_finished(self) -> Self {
        let settings = Settings { keep_finished: false, ..self.settings() };
        self.remade(settings)
    }

    /// Spawns a task: `begin` is called in it, on its first poll, and makes what
    /// it does. In a group that is cancelled nothing of it is run, and its
    /// outcome is [`Outcome::CancelledBeforeStart`].
    ///
    /// Inside, [`current`](crate::current) is the group's token, joined with whatever token is
    /// current here.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, if the group was made outside one, too.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let id = group.spawn("hello", |_stop| async { println!("hello") });
    /// assert_eq!(group.next().await.unwrap().id(), id);
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
        self.spawner.spawn(name, begin)
    }

    /// Spawns blocking work on a thread of its own. It cannot be aborted: it has
    /// to look at the token that it is given, `stop.check()?`, and work that does
    /// not is reported by [`stop`](Self::stop) and not waited for any longer.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    ///
    /// ```
    /// use desist::Cancelled;
    /// use desist_tokio::{Outcome, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new();
    /// group.spawn_blocking("counter", |stop| -> Result<(), Cancelled> {
    ///     loop {
    ///         stop.check()?;
    ///         std::thread::yield_now();
    ///     }
    /// });
    /// group.cancel();
    /// let ended = group.next().await.unwrap().into_outcome();
    /// assert!(matches!(ended, Outcome::Cancelled(_) | Outcome::CancelledBeforeStart(_)));
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F, R, M>(&self, name: impl Into<Cow<'static, str>>, work: F) -> TaskId
    where
        F: FnOnce(Stop) -> R + Send + 'static,
        R: TaskOutput<T, M> + 'static,
        M: 'static,
    {
        self.spawner.spawn_blocking(name, work)
    }

    /// A handle that spawns into this group, for tasks that spawn others.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// let spawner = group.spawner();
    /// group.spawn("acceptor", move |_stop| async move {
    ///     spawner.spawn("connection", |_stop| async {});
    /// });
    /// assert_eq!(group.join().await.len(), 2);
    /// # }
    /// ```
    #[must_use]
    pub fn spawner(&self) -> Spawner<T> {
        self.spawner.clone()
    }

    /// How many tasks have not ended; shields that such tasks left are counted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(group.len(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().live()
    }

    /// Whether every task has ended.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert!(desist_tokio::TaskGroup::new().is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stop that the tasks are given.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.drain();
    /// assert!(group.signal().draining().is_cancelled());
    /// # }
    /// ```
    #[must_use]
    pub fn signal(&self) -> &Stop {
        self.shared().stop()
    }

    /// Asks the tasks to begin nothing new. True to the one call that did it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// assert!(group.drain());
    /// assert!(!group.signal().is_cancelled());
    /// # }
    /// ```
    #[track_caller]
    pub fn drain(&self) -> bool {
        self.shared().source.drain()
    }

    /// Asks the tasks to stop, with [`Reason::Requested`]. True to the one call
    /// that did it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// assert!(group.cancel());
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.cancel_with(Reason::Requested)
    }

    /// The same with a cause of one's own.
    ///
    /// ```
    /// use desist::Reason;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.cancel_with(Reason::Overload);
    /// assert_eq!(group.signal().reason(), Some(Reason::Overload));
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, cause: impl Into<Cause>) -> bool {
        self.shared().source.cancel_with(cause)
    }
}

impl Default for TaskGroup {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + 'static> Drop for TaskGroup<T> {
    fn drop(&mut self) {
        if self.ends {
            self.shared().desert();
        }
    }
}

impl<T: Send + 'static> fmt::Debug for TaskGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup").field("stop", self.signal()).finish_non_exhaustive()
    }
}
