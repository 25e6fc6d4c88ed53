//! What became of a host.

mod service;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use desist::Cancelled;
use desist_tokio::Signal;

pub(crate) use self::service::Ledger;
pub use self::service::ServiceReport;
use crate::error::BuildError;
use crate::supervisor::{Supervisor, Why};
use crate::table::{short, span, table};

/// What became of a host and of each of its services: when it was asked, when it was over,
/// how, and why.
///
/// Its `Display` is a table to log; [`Host::main`](crate::Host::main) prints it on standard
/// error when the stop was slow, or not clean.
///
/// ```
/// use desist_host::Host;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let report = Host::builder()
///     .service("ticker", |stop| async move { stop.token().await; })
///     .service("job", |_stop| async { Err("no disk") })
///     .run()
///     .await;
/// assert!(!report.is_clean());
/// let table = report.to_string();
/// let first = table.lines().next().unwrap();
/// assert!(first.ends_with("shutdown (service `job` failed); exit code 1: `job` failed"), "{first}");
/// assert!(table.lines().any(|line| line.starts_with("ticker") && line.ends_with("stopped")));
/// assert!(table.lines().any(|line| line.starts_with("job") && line.ends_with("failed: no disk")));
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it tells what failed, and who did not stop"]
pub struct Report {
    services: Vec<ServiceReport>,
    cause: Option<Cancelled>,
    /// What the cause's detail says.
    detail: Arc<str>,
    began: Instant,
    stopping: Option<Duration>,
    took: Duration,
    forced: Option<Forced>,
    /// Whose failure stopped it.
    failed_first: Option<Arc<str>>,
    error: Option<BuildError>,
}

/// The stop was asked for twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    pub(crate) signal: Signal,
}

impl Report {
    pub(crate) fn new(
        supervisor: &Supervisor,
        names: &[Arc<str>],
        ledgers: Vec<Ledger>,
        cause: Option<(Cancelled, Arc<str>)>,
        began: Instant,
        took: Duration,
        forced: Option<Signal>,
    ) -> Self {
        let services = supervisor.services().iter().zip(names).zip(ledgers);
        let services = services.map(|((service, name), ledger)| {
            ServiceReport::new(service, name, ledger, began, took)
        });
        let (cause, detail) = cause.unzip();
        Self {
            services: services.collect(),
            cause,
            detail: detail.unwrap_or_default(),
            began,
            stopping: supervisor.stopping().map(|stopping| stopping.since),
            took,
            forced: forced.filter(|_| supervisor.is_forced()).map(|signal| Forced { signal }),
            failed_first: match supervisor.stopping().map(|stopping| stopping.why) {
                Some(Why::Failed(index)) => Some(Arc::clone(&names[index])),
                _ => None,
            },
            error: None,
        }
    }

    pub(crate) fn refused(error: BuildError) -> Self {
        Self {
            services: Vec::new(),
            cause: None,
            detail: Arc::default(),
            began: Instant::now(),
            stopping: None,
            took: Duration::ZERO,
            forced: None,
            failed_first: None,
            error: Some(error),
        }
    }

    /// The services in the order in which they start.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder().service("http", |_stop| async {}).after("db");
    /// let report = host.service("db", |stop| async move { stop.token().await; }).run().await;
    /// let names: Vec<_> = report.services().iter().map(|service| service.name()).collect();
    /// assert_eq!(names, ["db", "http"]);
    /// # }
    /// ```
    #[must_use]
    pub fn services(&self) -> &[ServiceReport] {
        &self.services
    }

    /// That service's.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert!(report.service("a").is_some() && report.service("b").is_none());
    /// # }
    /// ```
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.name() == name)
    }

    /// Why the host stopped, as its services were told.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.cause().unwrap().to_string(), "cancelled: shutdown");
    /// # }
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<&Cancelled> {
        self.cause.as_ref()
    }

    /// Those that were aborted when the host stopped, or are still running.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let report = desist_host::Host::builder()
    ///     .service("deaf", |_stop| std::future::pending::<()>())
    ///     .service("job", |_stop| async {})
    ///     .run()
    ///     .await;
    /// let deaf = report.stragglers().next().unwrap();
    /// assert_eq!(deaf.name(), "deaf");
    /// assert_eq!(deaf.asked_for().unwrap().as_secs(), 10);
    /// assert_eq!(report.exit_code(), 2);
    /// # }
    /// ```
    pub fn stragglers(&self) -> impl Iterator<Item = &ServiceReport> {
        self.services.iter().filter(|service| service.is_straggler())
    }

    /// Those whose failure is in the exit code: it stopped the host, or came while the host
    /// stopped, and is not [ignored](crate::OnFailure::Ignore).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = desist_host::Host::builder().service("a", |_stop| async { Err("no") });
    /// let report = host.run().await;
    /// assert_eq!(report.failed().next().unwrap().name(), "a");
    /// # }
    /// ```
    pub fn failed(&self) -> impl Iterator<Item = &ServiceReport> {
        self.services.iter().filter(|service| service.is_counted())
    }

    /// Whether nothing failed, nobody was aborted, and nobody asked twice.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert!(report.is_clean());
    /// # }
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.exit_code() == 0
    }

    /// The signal that asked a second time, and forced the end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.forced_by(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn forced_by(&self) -> Option<Signal> {
        self.forced.map(|forced| forced.signal)
    }

    /// 0 for a clean stop; 130, 143 or 131 where a second SIGINT, SIGTERM or SIGQUIT forced
    /// it; 1 where a service failed, or the host could not be built; 2 where somebody was
    /// aborted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.exit_code(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if let Some(forced) = self.forced {
            forced.signal.exit_code()
        } else if self.error.is_some() || self.failed().next().is_some() {
            1
        } else if self.stragglers().next().is_some() {
            2
        } else {
            0
        }
    }

    /// From the request to stop to the end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = desist_host::Host::builder().service("a", |_stop| async {}).run().await;
    /// assert!(report.stopped_in() < std::time::Duration::from_secs(5));
    /// # }
    /// ```
    #[must_use]
    pub fn stopped_in(&self) -> Duration {
        self.stopping.map_or(Duration::ZERO, |since| self.took.saturating_sub(since))
    }

    /// Why there was no host, see [`HostBuilder::run`](crate::HostBuilder::run).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert!(desist_host::Host::builder().run().await.error().is_some());
    /// # }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&BuildError> {
        self.error.as_ref()
    }

    /// The request was made then.
    fn asked(&self) -> Instant {
        self.began + self.stopping.unwrap_or(self.took)
    }

    fn verdict(&self) -> String {
        let names = |of: &mut dyn Iterator<Item = &ServiceReport>| {
            of.map(|service| format!("`{}`", short(service.name(), 60)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self.exit_code() {
            0 => "a clean stop".to_owned(),
            code => match self.forced {
                Some(Forced { signal }) => format!("exit code {code}: forced by a second {signal}"),
                None if code == 1 => format!("exit code 1: {} failed", names(&mut self.failed())),
                None => {
                    format!(
                        "exit code 2: {} did not stop when asked",
                        names(&mut self.stragglers())
                    )
                }
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "the host cannot be built: {error}");
        }
        write!(f, "the host stopped in {}", span(self.stopped_in()))?;
        if let Some(cause) = &self.cause {
            write!(f, ": {}", cause.reason())?;
            match &self.failed_first {
                // Its row says the rest.
                Some(name) => write!(f, " (service `{}` failed)", short(name, 60))?,
                None if self.detail.is_empty() => {}
                None => write!(f, " ({})", short(&self.detail, 200))?,
            }
        }
        write!(f, "; {}", self.verdict())?;
        let zero = self.asked();
        let since = |time: Option<Instant>| match time {
            None => "-".to_owned(),
            Some(time) if time < zero => format!("-{}", span(zero - time)),
            Some(time) => format!("+{}", span(time - zero)),
        };
        let mut rows = vec![["service", "asked", "ended", "how"].map(ToOwned::to_owned).to_vec()];
        let mut below = vec![Vec::new()];
        for service in &self.services {
            let (how, more) = service.how();
            let (asked, ended) = (since(service.asked_at()), since(service.ended_at()));
            rows.push(vec![short(service.name(), 60), asked, ended, how]);
            below.push(more);
        }
        for (row, more) in table(&rows).iter().zip(below) {
            write!(f, "\n{row}")?;
            more.iter().try_for_each(|line| write!(f, "\n    {line}"))?;
        }
        Ok(())
    }
}
