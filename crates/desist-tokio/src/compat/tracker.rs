//! tokio-util's `TaskTracker`.
//!
//! One number holds twice the count of what is tracked, and 1 if it is closed. It
//! becomes 1 by the end of the last or by a close, and whoever brings that about
//! tells those who wait; [`Notify`] tells also those who have not been polled
//! yet, so that a moment in which it was 1 is missed by nobody.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::{JoinHandle, LocalSet};

const CLOSED: usize = 1;
const ONE: usize = 2;

/// tokio-util's `TaskTracker`: counts tasks, so that one can wait for their end.
///
/// It keeps no outcome and aborts nothing; a [`TaskGroup`](crate::TaskGroup) does.
///
/// ```
/// use desist_tokio::compat::TaskTracker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tracker = TaskTracker::new();
/// for _ in 0..10 {
///     tracker.spawn(async {});
/// }
/// tracker.close();
/// tracker.wait().await;
/// assert!(tracker.is_empty());
/// # }
/// ```
pub struct TaskTracker {
    inner: Arc<Inner>,
}

struct Inner {
    state: AtomicUsize,
    over: Notify,
}

impl Inner {
    fn state(&self) -> usize {
        // Ordering: with the release in `leave`: who sees none left sees what they did.
        self.state.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.state() == CLOSED
    }

    fn leave(&self) {
        // Ordering: release, with the acquire in `state`; acquire, for the one who
        // tells does so on behalf of all.
        if self.state.fetch_sub(ONE, Ordering::AcqRel) == ONE | CLOSED {
            self.over.notify_waiters();
        }
    }
}

impl TaskTracker {
    /// A tracker that is open and has no task.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// assert!(tracker.is_empty() && !tracker.is_closed());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { state: AtomicUsize::new(0), over: Notify::new() }) }
    }

    /// Waits until it is closed and empty. A moment in which it was both, after
    /// this call, is enough, whether or not the future was polled in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let wait = tracker.wait();
    /// tracker.close();
    /// tracker.reopen();
    /// wait.await;
    /// # }
    /// ```
    pub fn wait(&self) -> TaskTrackerWaitFuture<'_> {
        // It listens before it looks.
        let over = self.inner.over.notified();
        let inner = if self.inner.is_over() { None } else { Some(&*self.inner) };
        TaskTrackerWaitFuture { over, inner }
    }

    /// Lets waits end; tasks can be spawned all the same. True if this call did it.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// assert!(tracker.close());
    /// assert!(!tracker.close());
    /// ```
    pub fn close(&self) -> bool {
        // Ordering: acquire, with the release in `leave`, for those that are told here.
        let before = self.inner.state.fetch_or(CLOSED, Ordering::AcqRel);
        if before == 0 {
            self.inner.over.notify_waiters();
        }
        before & CLOSED == 0
    }

    /// Lets no wait end any more. True if this call did it.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// tracker.close();
    /// assert!(tracker.reopen());
    /// ```
    pub fn reopen(&self) -> bool {
        // Ordering: a release so that who sees it open sees what was before.
        self.inner.state.fetch_and(!CLOSED, Ordering::AcqRel) & CLOSED != 0
    }

    /// Whether it is closed.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// tracker.close();
    /// assert!(tracker.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.state() & CLOSED != 0
    }

    /// How many are tracked.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let _one = tracker.token();
    /// assert_eq!(tracker.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.state() / ONE
    }

    /// Whether none is.
    ///
    /// ```
    /// assert!(desist_tokio::compat::TaskTracker::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Spawns on the current runtime, and tracks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// assert_eq!(tracker.spawn(async { 7 }).await.unwrap(), 7);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.track_future(task))
    }

    /// Spawns on that runtime, and tracks.
    ///
    /// ```
    /// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let task = tracker.spawn_on(async { 7 }, runtime.handle());
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn spawn_on<F>(&self, task: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.spawn(self.track_future(task))
    }

    /// Spawns on the current [`LocalSet`], and tracks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let local = tokio::task::LocalSet::new();
    /// let seven = local.run_until(async { tracker.spawn_local(async { 7 }).await });
    /// assert_eq!(seven.await.unwrap(), 7);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        tokio::task::spawn_local(self.track_future(task))
    }

    /// Spawns on that [`LocalSet`], and tracks.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let local = tokio::task::LocalSet::new();
    /// let task = tracker.spawn_local_on(async { 7 }, &local);
    /// assert_eq!(local.run_until(task).await.unwrap(), 7);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_local_on<F>(&self, task: F, local_set: &LocalSet) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        local_set.spawn_local(self.track_future(task))
    }

    /// Spawns blocking work on the current runtime, and tracks it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// assert_eq!(tracker.spawn_blocking(|| 7).await.unwrap(), 7);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, task: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let token = self.token();
        tokio::task::spawn_blocking(move || tracked(task, token))
    }

    /// Spawns blocking work on that runtime, and tracks it.
    ///
    /// ```
    /// let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let task = tracker.spawn_blocking_on(|| 7, runtime.handle());
    /// assert_eq!(runtime.block_on(task).unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn spawn_blocking_on<F, T>(&self, task: F, handle: &Handle) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let token = self.token();
        handle.spawn_blocking(move || tracked(task, token))
    }

    /// Tracks a future until it is dropped.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let tracked = tracker.track_future(async {});
    /// assert_eq!(tracker.len(), 1);
    /// drop(tracked);
    /// assert!(tracker.is_empty());
    /// ```
    pub fn track_future<F: Future>(&self, future: F) -> TrackedFuture<F> {
        TrackedFuture { future, token: self.token() }
    }

    /// Tracks whatever holds the token, until that is dropped.
    ///
    /// ```
    /// let tracker = desist_tokio::compat::TaskTracker::new();
    /// let token = tracker.token();
    /// assert_eq!(tracker.len(), 1);
    /// # drop(token);
    /// ```
    pub fn token(&self) -> TaskTrackerToken {
        // Ordering: it counts; who looks at the count pairs with `leave`.
        self.inner.state.fetch_add(ONE, Ordering::Relaxed);
        TaskTrackerToken { tracker: self.clone() }
    }

    /// Whether both are the same tracker.
    ///
    /// ```
    /// use desist_tokio::compat::TaskTracker;
    ///
    /// let tracker = TaskTracker::new();
    /// assert!(TaskTracker::ptr_eq(&tracker, &tracker.clone()));
    /// assert!(!TaskTracker::ptr_eq(&tracker, &TaskTracker::new()));
    /// ```
    #[must_use]
    pub fn ptr_eq(left: &Self, right: &Self) -> bool {
        Arc::ptr_eq(&left.inner, &right.inner)
    }
}

/// What the work has captured goes before it counts as ended; so whoever calls this in a
/// closure mentions the work first.
fn tracked<T>(work: impl FnOnce() -> T, token: TaskTrackerToken) -> T {
    let _token = token;
    work()
}

impl Default for TaskTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// The same tracker.
impl Clone for TaskTracker {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl fmt::Debug for TaskTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state();
        f.debug_struct("TaskTracker")
            .field("len", &(state / ONE))
            .field("is_closed", &(state & CLOSED != 0))
            .finish_non_exhaustive()
    }
}

/// Something that a [`TaskTracker`] tracks, until it is dropped.
///
/// ```
/// use desist_tokio::compat::TaskTracker;
///
/// let tracker = TaskTracker::new();
/// let one = tracker.token();
/// let another = one.clone();
/// assert_eq!(one.task_tracker().len(), 2);
/// # drop(another);
/// ```
#[must_use]
#[derive(Debug)]
pub struct TaskTrackerToken {
    tracker: TaskTracker,
}

impl TaskTrackerToken {
    /// Who tracks it.
    ///
    /// ```
    /// use desist_tokio::compat::TaskTracker;
    ///
    /// let tracker = TaskTracker::new();
    /// assert!(TaskTracker::ptr_eq(tracker.token().task_tracker(), &tracker));
    /// ```
    #[must_use]
    pub fn task_tracker(&self) -> &TaskTracker {
        &self.tracker
    }
}

/// One more.
impl Clone for TaskTrackerToken {
    fn clone(&self) -> Self {
        self.tracker.token()
    }
}

impl Drop for TaskTrackerToken {
    fn drop(&mut self) {
        self.tracker.inner.leave();
    }
}

pin_project! {
    /// A future that a [`TaskTracker`] tracks, until it is dropped.
    #[must_use = "futures do nothing unless polled"]
    pub struct TrackedFuture<F> {
        #[pin]
        future: F,
        // After the future: that is gone when it counts as ended.
        token: TaskTrackerToken,
    }
}

impl<F: Future> Future for TrackedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

impl<F: fmt::Debug> fmt::Debug for TrackedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedFuture")
            .field("future", &self.future)
            .field("task_tracker", self.token.task_tracker())
            .finish()
    }
}

pin_project! {
    /// The future of [`TaskTracker::wait`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TaskTrackerWaitFuture<'a> {
        #[pin]
        over: Notified<'a>,
        // `None`: it was over.
        inner: Option<&'a Inner>,
    }
}

impl Future for TaskTrackerWaitFuture<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(()) };
        if inner.is_over() || this.over.poll(cx).is_ready() {
            *this.inner = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl fmt::Debug for TaskTrackerWaitFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTrackerWaitFuture")
            .field("is_over", &self.inner.is_none_or(Inner::is_over))
            .finish_non_exhaustive()
    }
}
