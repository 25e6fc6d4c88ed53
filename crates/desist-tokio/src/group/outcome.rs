//! How tasks end.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, PoisonError};

use desist::Cancelled;

/// The word for what was cancelled before it began.
pub(super) const NEVER_BEGUN: &str = "never begun";

/// An error of a task, of whatever type.
///
/// ```
/// let error: desist_tokio::BoxError = "no disk".into();
/// assert_eq!(error.to_string(), "no disk");
/// ```
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What a task of a [`TaskGroup<T>`](crate::TaskGroup) may give: a `T`, which
/// is no failure, a `Result<T, E>`, or nothing at all, as a loop without an end. A task of
/// which nothing is wanted may also end with the [`Cancelled`] that it waited for.
///
/// Which of them it is the compiler sees; `M` is never written.
///
/// ```
/// use desist_tokio::TaskGroup;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::new();
/// group.spawn("plain", |_| async {});
/// group.spawn("fallible", |_| async { std::fs::read("/nowhere").map(drop) });
/// group.spawn("endless", |_| async { loop { tokio::task::yield_now().await } });
/// group.spawn("idle", |stop| async move { stop.token().await });
/// group.next().await;
/// group.next().await;
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "work that is to give `{T}` cannot give `{Self}`",
    label = "it gives `{Self}`",
    note = "it gives `{T}`, or a `Result<{T}, E>` whose error is `Into<Box<dyn Error + Send + Sync>>`",
    note = "a `TaskGroup` whose tasks give another value is made with `.returning::<_>()`"
)]
pub trait TaskOutput<T, M>: sealed::Sealed<T, M> + Send {}

impl<T, M, R: sealed::Sealed<T, M> + Send> TaskOutput<T, M> for R {}

pub(super) mod sealed {
    use super::{BoxError, Cancelled};

    /// `into_result` is also for others of the house that take work from their callers.
    pub trait Sealed<T, M> {
        fn into_result(self) -> Result<T, BoxError>;
    }

    #[derive(Debug)]
    pub enum Plain {}
    #[derive(Debug)]
    pub enum Fallible {}
    #[derive(Debug)]
    pub enum Endless {}
    #[derive(Debug)]
    pub enum Asked {}

    impl<T> Sealed<T, Plain> for T {
        fn into_result(self) -> Result<T, BoxError> {
            Ok(self)
        }
    }

    impl<T, E: Into<BoxError>> Sealed<T, Fallible> for Result<T, E> {
        fn into_result(self) -> Result<T, BoxError> {
            self.map_err(Into::into)
        }
    }

    /// What it was asked by, passed on.
    impl Sealed<(), Asked> for Cancelled {
        fn into_result(self) -> Result<(), BoxError> {
            Err(self.into())
        }
    }

    /// The type `!`, which has no name of its own yet.
    type Never = <fn() -> ! as Returns>::Output;

    pub trait Returns {
        type Output;
    }

    impl<R> Returns for fn() -> R {
        type Output = R;
    }

    impl<T> Sealed<T, Endless> for Never {
        fn into_result(self) -> Result<T, BoxError> {
            self
        }
    }
}

/// How a task ended.
///
/// ```
/// use desist_tokio::{Outcome, TaskGroup};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let group = TaskGroup::new().returning::<u32>();
/// group.spawn("answer", |_| async { 42 });
/// let ended = group.next().await.unwrap();
/// assert!(matches!(ended.into_outcome(), Outcome::Finished(42)));
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<T> {
    /// It gave its value, asked to stop or not.
    Finished(T),
    /// It gave an error.
    Failed(BoxError),
    /// It panicked.
    Panicked(TaskPanic),
    /// It stopped because it was asked to: it gave an error in which is the
    /// [`Cancelled`] of its group, or of the token that was around it. Any other
    /// one, of a deadline below, is a failure.
    Cancelled(Cancelled),
    /// The group was cancelled before it began; nothing of it was run.
    CancelledBeforeStart(Cancelled),
    /// It was asked, did not stop within the grace, and was dropped in the
    /// middle of what it did.
    Aborted,
    /// Its runtime was shut down, and dropped it.
    RuntimeGone,
    /// A [shield](crate::shield()) that nobody awaits: its bound was over before it
    /// was done.
    Overdue,
    /// It cannot be dropped, for it blocks its thread, and it runs on.
    StillRunning,
}

impl<T> Outcome<T> {
    /// Whether it failed or panicked, or was lost: with its runtime, or because a
    /// shield's bound was over.
    ///
    /// ```
    /// use desist_tokio::Outcome;
    ///
    /// assert!(Outcome::<()>::Failed("no disk".into()).is_failure());
    /// assert!(!Outcome::Finished(()).is_failure());
    /// ```
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Panicked(_) | Self::RuntimeGone | Self::Overdue)
    }

    /// One word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Finished(_) => "finished",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Cancelled(_) => "stopped",
            Self::CancelledBeforeStart(_) => NEVER_BEGUN,
            Self::Aborted => "aborted",
            Self::RuntimeGone => "ended with its runtime",
            Self::Overdue => "was not done when its bound was over",
            Self::StillRunning => "still running",
        }
    }

    /// The value of a task that finished.
    ///
    /// ```
    /// use desist_tokio::Outcome;
    ///
    /// assert_eq!(Outcome::Finished(7).finished(), Some(7));
    /// ```
    #[must_use]
    pub fn finished(self) -> Option<T> {
        match self {
            Self::Finished(value) => Some(value),
            _ => None,
        }
    }
}

/// In words, one level: an error's causes are in its `source()`.
impl<T> fmt::Display for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::Cancelled(cancelled) => write!(f, "stopped: {cancelled}"),
            Self::CancelledBeforeStart(cancelled) => write!(f, "never begun: {cancelled}"),
            _ => f.write_str(self.word()),
        }
    }
}

/// The panic of a task: what [`std::thread::Result`] has in its error.
pub struct TaskPanic {
    message: Cow<'static, str>,
    // The lock is for Sync only. It is there until the drop.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

impl TaskPanic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            Cow::Borrowed(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Cow::Owned(text.clone())
        } else {
            Cow::Borrowed("a payload that is no text")
        };
        Self { message, payload: Mutex::new(Some(payload)) }
    }

    /// What it said.
    ///
    /// ```
    /// use desist_tokio::{Outcome, TaskGroup};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new();
    /// group.spawn("worker", |_| async { panic!("no more ink") });
    /// let Outcome::Panicked(panic) = group.next().await.unwrap().into_outcome() else {
    ///     unreachable!()
    /// };
    /// assert_eq!(panic.message(), "no more ink");
    /// # }
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it carried.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use desist_tokio::{Outcome, TaskGroup};
    ///
    /// let group = TaskGroup::new();
    /// group.spawn("worker", |_| async { std::panic::panic_any(7_u32) });
    /// let Outcome::Panicked(panic) = group.next().await.unwrap().into_outcome() else {
    ///     unreachable!()
    /// };
    /// assert_eq!(panic.into_payload().downcast_ref(), Some(&7_u32));
    /// # }
    /// ```
    #[must_use]
    pub fn into_payload(mut self) -> Box<dyn Any + Send> {
        let Some(payload) = self.take() else { unreachable!("it is taken once") };
        payload
    }

    fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        self.payload.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Goes on panicking here.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use desist_tokio::{Outcome, TaskGroup};
    ///
    /// let group = TaskGroup::new();
    /// group.spawn("worker", |_| async { panic!("no more ink") });
    /// let Outcome::Panicked(panic) = group.next().await.unwrap().into_outcome() else {
    ///     unreachable!()
    /// };
    /// assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panic.resume())).is_err());
    /// # }
    /// ```
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

/// A payload may panic when it is dropped; that is the panic of nobody who merely
/// held it.
impl Drop for TaskPanic {
    fn drop(&mut self) {
        let payload = self.take();
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(again);
        }
    }
}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPanic").field("message", &self.message).finish_non_exhaustive()
    }
}
