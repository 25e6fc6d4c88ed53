//! A host, and how it is run.

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::builder::HostBuilder;
use crate::driver::{Crew, Driver};
use crate::handle::HostHandle;
use crate::news::{Listener, Listening};
use crate::report::Report;
use crate::service::AnyService;
use crate::supervisor::Plan;

/// The frame of a program: its services, started in order, and stopped in reverse.
///
/// ```no_run
/// use desist_host::Host;
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     Host::builder()
///         .service("indexer", |stop| async move {
///             while !stop.draining().is_cancelled() {
///                 desist_tokio::sleep(std::time::Duration::from_secs(1), &stop).await?;
///             }
///             Ok::<_, desist::Cancelled>(())
///         })
///         .main()
/// }
/// ```
///
/// # How it stops
///
/// 1. It is not [ready](crate::Phase::is_ready) any more; systemd is told.
/// 2. It serves on for the [`drain_delay`](HostBuilder::drain_delay).
/// 3. Services are asked in the reverse order of their start, each when all that come after
///    it are over: to [drain](crate::Stop::draining), if they look at that, and when that time
///    is over to [stop](crate::Stop::token).
/// 4. One that has not stopped within its [`grace`](HostBuilder::grace) is aborted: dropped,
///    when it is polled next. One that blocks its thread cannot be, and is left behind.
/// 5. After a run that ended in whatever way comes the [cleanup](crate::Service::stop).
/// 6. The [`Report`], and the exit code.
///
/// All of that within the [`shutdown_timeout`](HostBuilder::shutdown_timeout).
#[must_use = "it does nothing before it is run"]
pub struct Host {
    plan: Arc<Plan>,
    names: Arc<[Arc<str>]>,
    services: Vec<Box<dyn AnyService>>,
    listeners: Vec<Listener>,
    handle: HostHandle,
    pub(crate) slow_after: Duration,
    pub(crate) on_report: Option<OnReport>,
    pub(crate) runtime: Option<tokio::runtime::Builder>,
}

pub(crate) type OnReport = Box<dyn FnOnce(&Report) + Send>;

impl Host {
    /// A host in the making.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// let host = Host::builder().service("a", |_stop| async {}).build().unwrap();
    /// assert_eq!(format!("{host:?}"), r#"Host { services: ["a"], .. }"#);
    /// ```
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    pub(crate) fn new(
        plan: Plan,
        services: Vec<(Cow<'static, str>, Box<dyn AnyService>)>,
        listeners: Vec<Listener>,
        handle: HostHandle,
        slow_after: Duration,
        on_report: Option<OnReport>,
        runtime: Option<tokio::runtime::Builder>,
    ) -> Self {
        let (names, services): (Vec<_>, _) =
            services.into_iter().map(|(name, service)| (Arc::from(&*name), service)).unzip();
        let (plan, names) = (Arc::new(plan), names.into());
        Self { plan, names, services, listeners, handle, slow_after, on_report, runtime }
    }

    /// See [`HostBuilder::handle`].
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// let host = Host::builder().service("a", |_stop| async {}).build().unwrap();
    /// assert!(!host.handle().phase().is_ready());
    /// ```
    #[must_use]
    pub fn handle(&self) -> HostHandle {
        self.handle.clone()
    }

    /// Runs it as the whole of a program: on a [runtime](HostBuilder::runtime) of its own,
    /// with SIGTERM, SIGINT and SIGQUIT as requests to stop, and with systemd told, where that
    /// has started it.
    ///
    /// The second signal forces the end: everybody is aborted, and the process ends. It ends
    /// also where a service blocks its thread, or has left blocking work behind: it is named
    /// in the report, which is printed on standard error unless all went well and soon
    /// ([`slow_after`](HostBuilder::slow_after)). It returns if nothing is left running, and
    /// else ends the process itself, with the same code: see [`Report::exit_code`]. After it has
    /// returned the signals do not get their default action back: the first does nothing, and
    /// the second ends the process.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::process::ExitCode;
    ///
    /// let host = Host::builder().service("job", |_stop| async {}).build().unwrap();
    /// assert_eq!(host.main(), ExitCode::SUCCESS);
    /// ```
    #[must_use = "it is for `fn main` to return"]
    pub fn main(self) -> ExitCode {
        crate::process::main(self)
    }

    /// Runs it on the current runtime, for tests and for programs that have a frame of their
    /// own: without signals, and without systemd. Ask it to stop by its
    /// [`handle`](HostBuilder::handle).
    ///
    /// Paused time is heeded. A runtime whose threads are all blocked by services cannot
    /// give the report; [`main`](Self::main) can.
    ///
    /// # Cancel safety
    ///
    /// Dropping it asks all services to stop, with
    /// [`Reason::Dropped`](desist::Reason::Dropped), and aborts them; nobody waits for them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without time.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let builder = Host::builder();
    /// let handle = builder.handle();
    /// let host = builder.service("ticker", |stop| async move { stop.token().await; });
    /// tokio::spawn(async move {
    ///     tokio::time::sleep(Duration::from_secs(3600)).await;
    ///     handle.stop();
    /// });
    /// assert!(host.run().await.is_clean());
    /// # }
    /// ```
    pub async fn run(self) -> Report {
        let crew = self.into_crew(Vec::new());
        Driver::new(crew, &Handle::current()).drive().await
    }

    /// With more who listen.
    pub(crate) fn into_crew(self, mut listeners: Vec<Listening>) -> Crew {
        for mut listener in self.listeners {
            listeners.push(Box::new(move |told| told.news.iter().for_each(&mut listener)));
        }
        #[cfg(feature = "tracing")]
        listeners.push(crate::trace::listener());
        let Self { plan, names, services, handle, .. } = self;
        Crew { plan, names, services, handle, listeners }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("services", &self.names).finish_non_exhaustive()
    }
}
