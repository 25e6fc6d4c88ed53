//! What became of one service.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::outcome::{Failure, Outcome};
use crate::supervisor::{How, Service, State};
use crate::table::{plain, span};

/// What became of one service.
///
/// ```
/// use desist_host::{Host, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let report = Host::builder().service("job", |_stop| async { Err("no disk") }).run().await;
/// let job = report.service("job").unwrap();
/// assert_eq!(job.outcome(), Outcome::Failed);
/// assert_eq!(job.asked_at(), None, "it failed before anybody asked it to stop");
/// assert!(job.ended_at() >= job.started_at());
/// # }
/// ```
#[derive(Debug)]
pub struct ServiceReport {
    name: Arc<str>,
    outcome: Outcome,
    started: Option<Instant>,
    asked: Option<Instant>,
    ended: Option<Instant>,
    drained_for: Option<Duration>,
    restarts: u32,
    failures: Vec<Failure>,
    words: Vec<Arc<str>>,
    earlier_failures: u64,
    is_counted: bool,
    is_straggler: bool,
    is_dirty: bool,
    /// The end of the host.
    until: Instant,
}

/// What went wrong with a service in all its lives; the last of it is kept.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    failures: VecDeque<(Failure, Arc<str>)>,
    forgotten: u64,
}

impl Ledger {
    /// A service that is restarted for a year must not fill the memory.
    const MOST: usize = 16;

    /// Gives the one that is forgotten for it.
    pub(crate) fn push(&mut self, failure: Failure, words: Arc<str>) -> Option<Failure> {
        let is_full = self.failures.len() == Self::MOST;
        let forgotten = if is_full { self.failures.pop_front() } else { None };
        self.forgotten += u64::from(is_full);
        self.failures.push_back((failure, words));
        forgotten.map(|(failure, _)| failure)
    }

    /// The last one's words.
    pub(crate) fn last(&self) -> Option<&str> {
        self.failures.back().map(|(_, words)| &**words)
    }
}

impl ServiceReport {
    pub(super) fn new(
        service: &Service,
        name: &Arc<str>,
        ledger: Ledger,
        began: Instant,
        took: Duration,
    ) -> Self {
        let times = &service.times;
        let asked = times.asked;
        let outcome = match (service.state, service.how) {
            (State::Lost, _) => Outcome::StillRunning,
            (_, None) => Outcome::NeverStarted,
            (_, Some(How::Done)) if asked.is_none() => Outcome::Finished,
            (_, Some(How::Done | How::Stopped)) => Outcome::Stopped,
            (_, Some(How::Failed)) => Outcome::Failed,
            (_, Some(How::Panicked)) => Outcome::Panicked,
            (_, Some(How::Aborted)) => Outcome::Aborted,
            (_, Some(How::Gone)) => Outcome::RuntimeGone,
        };
        let at = |time: Option<Duration>| time.map(|time| began + time);
        let drained = times.drained.map(|begin| {
            let end = times.stopped.or(times.ran).unwrap_or(begin);
            end.saturating_sub(begin)
        });
        let (failures, words) = ledger.failures.into_iter().unzip();
        Self {
            name: Arc::clone(name),
            outcome,
            started: at(times.started),
            asked: at(asked),
            ended: at(times.over),
            drained_for: drained,
            restarts: service.restarts,
            failures,
            words,
            earlier_failures: ledger.forgotten,
            is_counted: service.is_counted,
            is_straggler: service.is_straggler,
            is_dirty: service.is_dirty,
            until: began + took,
        }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.is_counted
    }

    pub(super) fn is_straggler(&self) -> bool {
        self.is_straggler
    }

    /// Its name.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.services()[0].name(), "a");
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, the last time.
    ///
    /// ```
    /// # use desist_host::Outcome;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.services()[0].outcome(), Outcome::Finished);
    /// # }
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When it had started, the last time; none if it never had.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert!(report.services()[0].started_at().is_some());
    /// # }
    /// ```
    #[must_use]
    pub fn started_at(&self) -> Option<Instant> {
        self.started
    }

    /// When it was first asked, to drain or to stop.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.services()[0].asked_at(), None, "it ended by itself");
    /// # }
    /// ```
    #[must_use]
    pub fn asked_at(&self) -> Option<Instant> {
        self.asked
    }

    /// When it was over, with its cleanup; none if it is still running.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert!(report.services()[0].ended_at().is_some());
    /// # }
    /// ```
    #[must_use]
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended
    }

    /// From the first request to its end, or to the host's if it is still running; none if it
    /// never was asked.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.services()[0].asked_for(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn asked_for(&self) -> Option<Duration> {
        Some(self.ended.unwrap_or(self.until).saturating_duration_since(self.asked?))
    }

    /// How often it was started again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.services()[0].restarts(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What went wrong, in its order; of a service that is restarted again and again the
    /// last 16.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = desist_host::Host::builder().service("a", |_stop| async { Err("no") });
    /// assert_eq!(host.run().await.services()[0].failures().len(), 1);
    /// # }
    /// ```
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// How it ended, in a line, and what more there is to say, in others.
    pub(super) fn how(&self) -> (String, Vec<String>) {
        // One failure of one line is how it ended, where it did.
        let alone = match (self.outcome, &self.words[..]) {
            (Outcome::Failed | Outcome::Panicked, [words]) if words.lines().count() < 2 => {
                Some(words)
            }
            _ => None,
        };
        let mut how = match (self.outcome, alone) {
            (Outcome::Failed, Some(words)) => format!("failed: {words}"),
            (_, Some(words)) => words.to_string(),
            (outcome, None) => outcome.to_string(),
        };
        if self.is_dirty {
            how += ", its cleanup was aborted";
        }
        if let (true, Some(time)) = (self.is_straggler, self.asked_for()) {
            how += &format!(", asked for {}", span(time));
        }
        if let Some(drained) = self.drained_for {
            how += &format!(", drained for {}", span(drained));
        }
        match self.restarts {
            0 => {}
            1 => how += ", restarted once",
            times => how += &format!(", restarted {times} times"),
        }
        let mut more = Vec::new();
        if self.earlier_failures > 0 {
            more.push(format!("{} failures before these:", self.earlier_failures));
        }
        if alone.is_none() {
            more.extend(self.words.iter().flat_map(|words| words.lines()).map(plain));
        }
        (plain(&how), more)
    }
}
