//! What a host is made of.

mod settings;
mod whole;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use desist_tokio::{Stop, TaskOutput};

use crate::error::BuildError;
use crate::handle::HostHandle;
use crate::host::{Host, OnReport};
use crate::news::Listener;
use crate::order::{After, order};
use crate::policy::{OnEnd, OnFailure, Restart};
use crate::report::Report;
use crate::service::{AnyService, Many, Once, Service};
use crate::supervisor::{Plan, Planned};

/// A host in the making: services, each followed by its settings, and the settings of all.
///
/// [`after`](Self::after), [`grace`](Self::grace) and the other settings of a service are
/// of the one that was added last. What cannot be is told by [`build`](Self::build), and
/// also by [`main`](Self::main) and [`run`](Self::run), which build.
///
/// ```
/// use desist_host::{Host, OnEnd};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let report = Host::builder()
///     .service("db", |stop| async move { stop.token().await; })
///     .service("http", |stop| async move { stop.draining().await; })
///     .after("db")
///     .grace(Duration::from_secs(10))
///     .service("migration", |_stop| async {})
///     .after("db")
///     .shutdown_timeout(Duration::from_secs(25))
///     .run()
///     .await;
/// // The migration has ended, and with it the host.
/// assert!(report.is_clean());
/// # }
/// ```
#[must_use = "it is a host when it is built"]
pub struct HostBuilder {
    services: Vec<Added>,
    shutdown_timeout: Duration,
    drain_delay: Duration,
    slow_after: Duration,
    listeners: Vec<Listener>,
    on_report: Option<OnReport>,
    runtime: Option<tokio::runtime::Builder>,
    handle: HostHandle,
    error: Option<BuildError>,
}

struct Added {
    name: Cow<'static, str>,
    service: Box<dyn AnyService>,
    is_restartable: bool,
    after: After,
    start_timeout: Duration,
    drain: Duration,
    grace: Duration,
    on_failure: OnFailure,
    on_end: OnEnd,
}

impl Added {
    fn new(name: Cow<'static, str>, service: Box<dyn AnyService>, is_restartable: bool) -> Self {
        Self {
            name,
            service,
            is_restartable,
            after: After::Earlier,
            start_timeout: HostBuilder::START_TIMEOUT,
            drain: HostBuilder::DRAIN,
            grace: HostBuilder::GRACE,
            on_failure: OnFailure::default(),
            on_end: OnEnd::default(),
        }
    }
}

impl HostBuilder {
    /// From the request to stop to the end, if nothing is set.
    ///
    /// ```
    /// assert_eq!(desist_host::HostBuilder::SHUTDOWN_TIMEOUT.as_secs(), 30);
    /// ```
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

    /// How long a service has to start, if nothing is set.
    ///
    /// ```
    /// assert_eq!(desist_host::HostBuilder::START_TIMEOUT.as_secs(), 60);
    /// ```
    pub const START_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long a service that looks whether it is [`draining`](Stop::draining) drains, if
    /// nothing is set.
    ///
    /// ```
    /// assert_eq!(desist_host::HostBuilder::DRAIN.as_secs(), 10);
    /// ```
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// How long a service has from the request to stop until it is aborted, if nothing is
    /// set. It is longer than what `desist_http::serve` gives its requests, so that the server
    /// is there to say who was left.
    ///
    /// ```
    /// assert_eq!(desist_host::HostBuilder::GRACE.as_secs(), 10);
    /// ```
    pub const GRACE: Duration = Duration::from_secs(10);

    pub(crate) fn new() -> Self {
        Self {
            services: Vec::new(),
            shutdown_timeout: Self::SHUTDOWN_TIMEOUT,
            drain_delay: Duration::ZERO,
            slow_after: Duration::from_secs(5),
            listeners: Vec::new(),
            on_report: None,
            runtime: None,
            handle: HostHandle::new(),
            error: None,
        }
    }

    /// Adds a service: a closure that is given its [`Stop`] and makes its work. It has
    /// started when it begins; one that has something to get ready before others begin is a
    /// [`Service`].
    ///
    /// Its work gives nothing, a `Result<(), E>`, or never ends. An error is a failure, see
    /// [`on_failure`](Self::on_failure), but for the [`Cancelled`](desist::Cancelled) of its
    /// stop. An end before it was asked is told of by [`on_end`](Self::on_end).
    ///
    /// It comes after all services that were added before it, unless [`after`](Self::after)
    /// names them.
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
    /// assert_eq!(report.exit_code(), 1);
    /// assert_eq!(report.service("job").unwrap().failures()[0].to_string(), "no disk");
    /// # }
    /// ```
    pub fn service<F, W, R, M>(self, name: impl Into<Cow<'static, str>>, begin: F) -> Self
    where
        F: FnOnce(Stop) -> W + Send + 'static,
        W: Future<Output = R> + Send + 'static,
        R: TaskOutput<(), M> + 'static,
        M: 'static,
    {
        let service = Once::<F, (R, M)>::new(begin);
        self.added(Added::new(name.into(), Box::new(service), false))
    }

    /// Adds a service that can be run again: of its closure every run has a copy. As it is
    /// made, it [is restarted](OnFailure::Restart) when it fails.
    ///
    /// ```
    /// use desist_host::{Host, OnEnd};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let runs = Arc::new(AtomicU32::new(0));
    /// let report = Host::builder()
    ///     .restartable("poller", move |_stop| async move {
    ///         // It fails twice.
    ///         let run = runs.fetch_add(1, Ordering::Relaxed);
    ///         if run < 2 { Err("the peer is not there") } else { Ok(()) }
    ///     })
    ///     .run()
    ///     .await;
    /// assert!(report.is_clean());
    /// assert_eq!(report.service("poller").unwrap().restarts(), 2);
    /// # }
    /// ```
    pub fn restartable<F, W, R, M>(self, name: impl Into<Cow<'static, str>>, begin: F) -> Self
    where
        F: FnOnce(Stop) -> W + Clone + Send + 'static,
        W: Future<Output = R> + Send + 'static,
        R: TaskOutput<(), M> + 'static,
        M: 'static,
    {
        let service = Many::<F, (R, M)>::new(begin);
        self.added(Added::new(name.into(), Box::new(service), true)).on_failure(Restart::default())
    }

    /// Adds a [`Service`].
    ///
    /// ```
    /// use desist_host::{BoxError, Host, Service, Stop};
    ///
    /// struct Quick;
    ///
    /// impl Service for Quick {
    ///     async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
    ///         Ok(stop.check()?)
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// assert!(Host::builder().add("quick", Quick).run().await.is_clean());
    /// # }
    /// ```
    pub fn add(self, name: impl Into<Cow<'static, str>>, service: impl Service) -> Self {
        self.added(Added::new(name.into(), Box::new(service), true))
    }

    fn added(mut self, service: Added) -> Self {
        self.services.push(service);
        self
    }

    /// The settings of the last service.
    fn last(mut self, setting: &'static str, set: impl FnOnce(&mut Added)) -> Self {
        match self.services.last_mut() {
            Some(last) => set(last),
            None => {
                self.error.get_or_insert(BuildError::no_such_setting(setting));
            }
        }
        self
    }

    /// The host, seen from elsewhere: for a service that is to stop all of it, or to tell how
    /// far it is.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let builder = Host::builder();
    /// let handle = builder.handle();
    /// let report = builder
    ///     .service("admin", |stop| async move {
    ///         handle.stop();
    ///         stop.token().await;
    ///     })
    ///     .run()
    ///     .await;
    /// assert!(report.is_clean());
    /// # }
    /// ```
    #[must_use]
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    /// `/livez` and `/readyz` of this host, to be mounted into any router.
    ///
    /// ```
    /// let builder = desist_host::Host::builder();
    /// assert!(!builder.health().is_ready());
    /// ```
    #[cfg(feature = "health")]
    #[cfg_attr(docsrs, doc(cfg(feature = "health")))]
    #[must_use]
    pub fn health(&self) -> crate::Health {
        crate::Health::new(self.handle())
    }

    /// A host that can be run.
    ///
    /// # Errors
    ///
    /// Something cannot be; the error names the service, and says what to do.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// let host = Host::builder().service("a", |_stop| async {}).service("a", |_stop| async {});
    /// let error = host.build().unwrap_err();
    /// assert_eq!(error.to_string(), "there are two services `a`; give one of them another name");
    /// ```
    pub fn build(self) -> Result<Host, BuildError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.services.is_empty() {
            return Err(BuildError::no_services());
        }
        self.services.iter().try_for_each(checked)?;
        let wanted: Vec<_> =
            self.services.iter().map(|added| (&*added.name, &added.after)).collect();
        let order = order(&wanted)?;
        let mut place_of = vec![0; order.places.len()];
        for (place, added) in order.places.iter().enumerate() {
            place_of[*added] = place;
        }
        let mut planned: Vec<Option<_>> = Vec::new();
        planned.resize_with(self.services.len(), || None);
        for ((index, added), after) in self.services.into_iter().enumerate().zip(&order.after) {
            let after = after.iter().map(|before| place_of[*before]).collect();
            planned[place_of[index]] = Some((added, after));
        }
        let (mut services, mut plans) = (Vec::new(), Vec::<Planned>::new());
        for (added, after) in planned.into_iter().flatten() {
            let Added { start_timeout, drain, grace, on_failure, on_end, .. } = added;
            plans.push(Planned {
                after,
                dependents: Vec::new(),
                start_timeout,
                drain,
                grace,
                on_failure,
                on_end,
            });
            services.push((added.name, added.service));
        }
        crate::supervisor::set_dependents(&mut plans);
        let plan = Plan {
            services: plans,
            shutdown_timeout: self.shutdown_timeout,
            drain_delay: self.drain_delay,
        };
        if plan.shutdown_timeout.is_zero() {
            return Err(BuildError::no_time());
        }
        let most = plan.shutdown_timeout.saturating_sub(plan.last_call());
        if plan.drain_delay > most {
            return Err(BuildError::delay_too_long(plan.drain_delay, most, plan.shutdown_timeout));
        }
        let Self { listeners, handle, slow_after, on_report, runtime, .. } = self;
        Ok(Host::new(plan, services, listeners, handle, slow_after, on_report, runtime))
    }

    /// [`Host::main`], which says on standard error what [`build`](Self::build) finds, and
    /// gives exit code 1 for it.
    ///
    /// ```no_run
    /// use desist_host::Host;
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     Host::builder().service("job", |stop| async move { stop.token().await; }).main()
    /// }
    /// ```
    #[must_use = "it is for `fn main` to return"]
    pub fn main(self) -> ExitCode {
        match self.build() {
            Ok(host) => host.main(),
            Err(error) => crate::process::refuse(&error),
        }
    }

    /// [`Host::run`]; what [`build`](Self::build) finds is in the report, as
    /// [`Report::error`].
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = Host::builder().run().await;
    /// assert_eq!(report.exit_code(), 1);
    /// assert!(report.error().unwrap().to_string().contains("without services"));
    /// # }
    /// ```
    pub async fn run(self) -> Report {
        match self.build() {
            Ok(host) => host.run().await,
            Err(error) => Report::refused(error),
        }
    }
}

fn checked(added: &Added) -> Result<(), BuildError> {
    if added.name.is_empty() {
        return Err(BuildError::no_name());
    }
    for (setting, time) in [("grace", added.grace), ("start_timeout", added.start_timeout)] {
        if time.is_zero() {
            return Err(BuildError::zero(&added.name, setting));
        }
    }
    if matches!(added.on_failure, OnFailure::Restart(_)) && !added.is_restartable {
        return Err(BuildError::not_restartable(&added.name));
    }
    Ok(())
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.services.iter().map(|added| &added.name).collect();
        f.debug_struct("HostBuilder").field("services", &names).finish_non_exhaustive()
    }
}
