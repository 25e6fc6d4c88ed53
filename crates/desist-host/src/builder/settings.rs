//! The settings of a service: of the one that was added last.

use std::time::Duration;

use super::HostBuilder;
use crate::order::After;
use crate::policy::{OnEnd, OnFailure};

impl HostBuilder {
    /// The last service comes after this one: it starts when that one has, and that one is
    /// asked to stop when it is over. Named several times, it comes after each of them, and
    /// after nobody else. It may be added later than this.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// let host = Host::builder().service("a", |_stop| async {}).after("b");
    /// let error = host.service("b", |_stop| async {}).after("a").build().unwrap_err();
    /// assert!(error.to_string().contains("`a` after `b` after `a`"));
    /// ```
    pub fn after(self, service: impl Into<String>) -> Self {
        self.last("after", |last| match &mut last.after {
            After::These(names) => names.push(service.into()),
            earlier => *earlier = After::These(vec![service.into()]),
        })
    }

    /// The last service comes after nobody, wherever it was added.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// let host = Host::builder().service("slow", |_stop| async {});
    /// assert!(host.service("metrics", |_stop| async {}).after_nobody().build().is_ok());
    /// ```
    pub fn after_nobody(self) -> Self {
        self.last("after_nobody", |last| last.after = After::These(Vec::new()))
    }

    /// How long the start of the last service may take, before it counts as failed and is
    /// asked to stop; see [`Service::start`](crate::Service::start). As it is made,
    /// [`START_TIMEOUT`](Self::START_TIMEOUT).
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("db", |_stop| async {});
    /// assert!(host.start_timeout(Duration::from_secs(300)).build().is_ok());
    /// ```
    pub fn start_timeout(self, time: Duration) -> Self {
        self.last("start_timeout", |last| last.start_timeout = time)
    }

    /// How long the last service drains, before it is asked to stop. As it is made,
    /// [`DRAIN`](Self::DRAIN); zero: it is asked to stop at once, and so is a service that has
    /// never looked whether it is [`draining`](crate::Stop::draining).
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("http", |_stop| async {});
    /// assert!(host.drain_for(Duration::from_secs(20)).build().is_ok());
    /// ```
    pub fn drain_for(self, time: Duration) -> Self {
        self.last("drain_for", |last| last.drain = time)
    }

    /// How long the last service has from the request to stop until it is aborted, and so
    /// long again for its [cleanup](crate::Service::stop); all of it within the host's
    /// [`shutdown_timeout`](Self::shutdown_timeout). As it is made, [`GRACE`](Self::GRACE).
    ///
    /// ```
    /// use desist_host::Host;
    /// use std::time::Duration;
    ///
    /// let host = Host::builder().service("http", |_stop| async {});
    /// assert!(host.grace(Duration::from_secs(2)).build().is_ok());
    /// ```
    pub fn grace(self, time: Duration) -> Self {
        self.last("grace", |last| last.grace = time)
    }

    /// What a failure of the last service does: an [`OnFailure`], or a [`Restart`](crate::Restart).
    ///
    /// ```
    /// use desist_host::{Host, OnFailure};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let report = Host::builder()
    ///     .service("cache", |_stop| async { Err("cold") })
    ///     .on_failure(OnFailure::Ignore)
    ///     .run()
    ///     .await;
    /// assert_eq!(report.exit_code(), 0);
    /// assert_eq!(report.service("cache").unwrap().failures().len(), 1);
    /// # }
    /// ```
    pub fn on_failure(self, policy: impl Into<OnFailure>) -> Self {
        let policy = policy.into();
        self.last("on_failure", |last| last.on_failure = policy)
    }

    /// What it does when the last service ends well before it was asked to.
    ///
    /// ```
    /// use desist_host::{Host, OnEnd};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder().service("poller", |_stop| async {}).on_end(OnEnd::Fail);
    /// assert_eq!(host.run().await.exit_code(), 1);
    /// # }
    /// ```
    pub fn on_end(self, policy: OnEnd) -> Self {
        self.last("on_end", |last| last.on_end = policy)
    }
}
