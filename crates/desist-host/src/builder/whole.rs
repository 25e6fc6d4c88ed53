//! The settings of the host as a whole.

use std::time::Duration;

use super::HostBuilder;
use crate::news::News;
use crate::report::Report;

impl HostBuilder {
    /// From the request to stop to the end of the host, whatever its services do. As it is
    /// made, [`SHUTDOWN_TIMEOUT`](Self::SHUTDOWN_TIMEOUT).
    ///
    /// A fifth of it (at most 5 s) before its end whoever has not been asked to stop is, out of
    /// order, and whoever drains, too. A tenth (at most 2 s) before it runs are aborted, a
    /// twentieth (at most half a second) before it cleanups. Each of these steps has twenty
    /// milliseconds at least, so a time of less than half a second may be exceeded by as much.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("a", |_stop| async {});
    /// assert!(host.shutdown_timeout(Duration::ZERO).build().is_err());
    /// ```
    pub fn shutdown_timeout(self, time: Duration) -> Self {
        Self { shutdown_timeout: time, ..self }
    }

    /// How long the host serves on after it was asked to stop, and is not
    /// [ready](crate::Phase::is_ready) any more: so long it takes until nobody sends it
    /// requests. As it is made, zero.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("a", |_stop| async {});
    /// // Of 30 s.
    /// assert!(host.drain_delay(Duration::from_secs(29)).build().is_err());
    /// ```
    pub fn drain_delay(self, time: Duration) -> Self {
        Self { drain_delay: time, ..self }
    }

    /// From which time on a stop is slow: [`main`](Self::main) then prints the report, as
    /// it does after one that was not clean. As it is made, 5 seconds.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("a", |_stop| async {});
    /// // Always.
    /// assert!(host.slow_after(Duration::ZERO).build().is_ok());
    /// ```
    pub fn slow_after(self, time: Duration) -> Self {
        Self { slow_after: time, ..self }
    }

    /// Tells what happens: each phase, who is started, asked, over. It is called on a thread
    /// of its own, so it may take its time, and what it has not been told a second after
    /// the end of the host it is not told. What it has not heard yet is kept in memory.
    ///
    /// ```
    /// use desist_host::{Host, News, Phase};
    /// use std::sync::mpsc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tell, told) = mpsc::channel();
    /// let _report = Host::builder()
    ///     .service("a", |_stop| async {})
    ///     .on_news(move |news| tell.send(news.to_string()).unwrap())
    ///     .run()
    ///     .await;
    /// let told: Vec<_> = told.iter().collect();
    /// assert_eq!(told[..2], ["starting `a`", "`a` has started"]);
    /// # }
    /// ```
    pub fn on_news(mut self, listener: impl FnMut(&News) + Send + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Gives [`main`](Self::main)'s report to the program, after it was printed, if it was: to
    /// log it, or to count what it says. It is called on a thread of its own, which is waited
    /// for a second.
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::sync::mpsc;
    ///
    /// let (tell, told) = mpsc::channel();
    /// let host = Host::builder()
    ///     .service("job", |_stop| async {})
    ///     .on_report(move |report| tell.send(report.services().len()).unwrap());
    /// assert_eq!(host.main(), std::process::ExitCode::SUCCESS);
    /// assert_eq!(told.recv(), Ok(1));
    /// ```
    pub fn on_report(self, report: impl FnOnce(&Report) + Send + 'static) -> Self {
        Self { on_report: Some(Box::new(report)), ..self }
    }

    /// The runtime that [`main`](Self::main) builds; as it is made, tokio's with several
    /// threads and all drivers. One without them, see its `enable_all`, has no sockets and no time
    /// for services. [`run`](Self::run) uses the one it is called on.
    ///
    /// ```
    /// use desist_host::Host;
    /// use tokio::runtime::Builder;
    ///
    /// let mut runtime = Builder::new_current_thread();
    /// runtime.enable_all();
    /// let host = Host::builder().service("job", |_stop| async {}).runtime(runtime);
    /// assert_eq!(host.main(), std::process::ExitCode::SUCCESS);
    /// ```
    pub fn runtime(self, runtime: tokio::runtime::Builder) -> Self {
        Self { runtime: Some(runtime), ..self }
    }
}
