//! Waiting for tasks, and ending them.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use desist::{Reason, Source};

use super::TaskGroup;
use super::ended::{Ended, TaskFailed};
use super::nested::Nested;
use super::outcome::{NEVER_BEGUN, Outcome};
use super::report::{Grace, Report, Straggler};
use super::running::RunningTask;
use super::shared::Shared;
use super::slots::{Kind, Task};
use crate::{clock, trace};

/// How long aborted tasks are waited for: each needs one poll. One that does not
/// get it sits behind something that blocks.
const SETTLE: Duration = Duration::from_secs(1);

/// So many shields are waited for of which each was raised by the one before.
const DEEPEST: u32 = 8;

impl<T: Send + 'static> TaskGroup<T> {
    /// Waits for every task, also those that are spawned meanwhile, and gives how
    /// each ended, in that order.
    ///
    /// # Panics
    ///
    /// In a task of the group, which would wait for itself. (So may a task of a group
    /// in such a task; that is not seen.)
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing: the tasks go on, and the next one who asks is
    /// told.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// group.spawn("two", |_stop| async { Err("no") });
    /// let said: Vec<_> = group.join().await.iter().map(ToString::to_string).collect();
    /// assert_eq!(said, ["task `one` finished", "task `two` failed: no"]);
    /// # }
    /// ```
    pub async fn join(&self) -> Vec<Ended<T>> {
        self.shared().until_empty().await;
        self.shared().take_ended()
    }

    /// Waits for the next task to end; `None` when there is none left.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("one", |_stop| async {});
    /// assert_eq!(group.next().await.unwrap().name(), "one");
    /// assert!(group.next().await.is_none());
    /// # }
    /// ```
    pub async fn next(&self) -> Option<Ended<T>> {
        self.shared().next().await
    }

    /// Waits for every task, for whoever wants nothing but that all went well.
    ///
    /// # Errors
    ///
    /// The first failure: see [`Outcome::is_failure`]. What ended because it was
    /// asked to stop is none.
    ///
    /// # Panics
    ///
    /// With the first panic of a task, which goes on here; and as
    /// [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = desist_tokio::TaskGroup::new();
    /// group.spawn("importer", |_stop| async { Ok::<_, std::io::Error>(()) });
    /// group.wait().await.unwrap();
    /// # }
    /// ```
    pub async fn wait(&self) -> Result<(), TaskFailed> {
        let mut failed = Ok(());
        for ended in self.join().await {
            let Ended { name, place, outcome, .. } = ended;
            let error = match outcome {
                Outcome::Panicked(panic) => panic.resume(),
                Outcome::Failed(error) => error,
                Outcome::RuntimeGone => "its runtime was shut down".into(),
                Outcome::Overdue => "its bound was over before it was done".into(),
                _ => continue,
            };
            if failed.is_ok() {
                failed = Err(TaskFailed { name, place, error });
            }
        }
        failed
    }

    /// Ends the group: asks the tasks to drain, asks them to stop, waits for
    /// `grace`, aborts those that are left, and reports.
    ///
    /// The cause is [`Reason::Shutdown`], if the group was not asked before. It is
    /// asked when this is called, and not at the first poll. A
    /// [`shield`](crate::shield()) is waited for until its own bound, and so is one
    /// that is raised by a shield, eight deep at most. Blocking work is not waited for after the grace,
    /// and neither is a task that blocks its thread: it is named in the report as
    /// still running. So this ends, whatever the tasks do: after the grace, the
    /// bounds of the shields, and a second each for those that are aborted, and for
    /// shields that are over, to go. Only whoever waits here must get a thread to do
    /// so: on a runtime of one thread that a task blocks, or as a task that was woken
    /// by the one that blocks, it waits for that. And where time is paused, tokio
    /// does not let it pass while blocking work runs.
    ///
    /// A group that a task made and dropped is waited for, and reported, with its
    /// own tasks: as `group of` those who are left in it.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, or before its first poll, it leaves what was asked
    /// asked, and aborts nothing more; call it again, or drop the group.
    ///
    /// ```
    /// use desist::Reason;
    /// use desist_tokio::{TaskGroup, sleep};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new();
    /// group.spawn("poller", |stop| async move {
    ///     sleep(Duration::from_secs(3600), &stop).await
    /// });
    /// let report = group.stop(Duration::from_secs(5)).await;
    /// assert!(report.is_clean());
    /// assert_eq!(report.asked().reason(), Reason::Shutdown);
    /// # }
    /// ```
    #[track_caller]
    pub fn stop(&self, grace: impl Into<Grace>) -> impl Future<Output = Report<T>> + Send + '_ {
        let grace = grace.into();
        let shared = self.shared();
        // Here and not at the first poll: the place is the caller's.
        if grace.drain.is_zero() {
            // Which is to drain as well: both at once.
            shared.source.cancel_with(Reason::Shutdown);
        } else {
            shared.source.drain();
        }
        async move {
            if !grace.drain.is_zero() {
                let drained = shared.stop().token().run(shared.until_empty());
                within(grace.drain, drained).await;
                shared.source.cancel_with(Reason::Shutdown);
            }
            shared.end_within(grace.stop).await
        }
    }
}

/// Waits for `what`, but no longer than that, on the clock of whoever waits: that
/// of the runtime where the group was made may stand still, or be gone.
async fn within(time: Duration, what: impl Future) {
    let limit = Source::with_clock(clock::root_clock());
    limit.cancel_after(time);
    // Which of the two it was shows in what is there.
    let _ = limit.token().run(what).await;
}

impl<T: Send + 'static> Shared<T> {
    async fn end_within(&self, grace: Duration) -> Report<T> {
        let Some(asked) = self.stop().cancellation() else { unreachable!("it was asked") };
        // A zero grace leaves no time, not even for what would be quick.
        if !grace.is_zero() {
            within(grace, self.until_empty()).await;
        }
        let waited = self.since_asked().unwrap_or_default();
        let mut stragglers = self.survey_late(|task| late(task, waited));
        for straggler in &stragglers {
            trace::overdue(straggler.name(), straggler.place(), &asked, straggler.waited());
        }
        self.abort.cancel();
        self.strike_queued();
        within(SETTLE, self.until_only(|task| !task.can_be_aborted())).await;
        self.until_shields_are_over().await;

        let outcomes = self.take_all();
        let waited = self.since_asked().unwrap_or_default();
        for straggler in &mut stragglers {
            straggler.end = self.late_end(straggler.id());
            // Of a group in it, those who are left by now.
            if let Some(label) = self.label(straggler.id()).filter(|_| straggler.is_group) {
                straggler.task.name = label;
            }
            straggler.waited = waited;
        }
        // Nobody is late who had not begun.
        stragglers.retain(|late| late.end.is_none_or(|(_, how)| how != NEVER_BEGUN));
        Report { asked, outcomes, stragglers }
    }

    /// Waits once for each shield, for one may raise another, but not without an end.
    async fn until_shields_are_over(&self) {
        let mut seen = HashSet::new();
        for _ in 0..DEEPEST {
            let mut shields = Vec::new();
            self.shields(&mut shields);
            shields.retain(|shield| seen.insert(shield.which));
            let Some(last) = shields.iter().map(|shield| shield.left).max() else { return };
            let left = last.saturating_add(SETTLE);
            within(left, self.until_only(|task| !task.has_shields())).await;
        }
    }
}

/// Nobody is late who has a bound of his own, or has not begun.
fn late(task: &Task, waited: Duration) -> Option<Straggler> {
    if !(task.can_be_aborted() || task.is_blocking()) {
        return None;
    }
    Some(Straggler {
        task: RunningTask::of(task),
        is_group: matches!(task.kind, Kind::Group(_)),
        end: None,
        waited,
    })
}
