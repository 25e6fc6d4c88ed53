//! What others know of a host, and ask of it.

use std::fmt;
use std::sync::Arc;

use desist::{Cancelled, Cause, Reason, Source, Token};
use tokio::sync::watch;

use crate::phase::Phase;

/// A host, seen from elsewhere: how far it is, and the right to ask it to stop. It may be
/// had before the host is built, and holds nothing of it.
///
/// ```
/// use desist_host::{Host, Phase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let builder = Host::builder();
/// let handle = builder.handle();
/// let host = builder.service("ticker", |stop| async move { stop.token().await; });
/// let asks = async {
///     handle.reached(Phase::Running).await;
///     handle.stop()
/// };
/// let (report, asked) = tokio::join!(host.run(), asks);
/// assert!(asked && report.is_clean());
/// assert_eq!(handle.phase(), Phase::Stopped);
/// # }
/// ```
#[derive(Clone)]
pub struct HostHandle {
    stop: Source,
    status: Arc<watch::Sender<Status>>,
}

/// What the host is at.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) phase: Phase,
    /// Whom it waits for, to have started or to be over.
    pub(crate) waits_for: Arc<[Arc<str>]>,
    pub(crate) cause: Option<Cancelled>,
}

impl HostHandle {
    pub(crate) fn new() -> Self {
        let status = Status { phase: Phase::Starting, waits_for: Arc::new([]), cause: None };
        Self { stop: Source::new(), status: Arc::new(watch::Sender::new(status)) }
    }

    /// Asks the host to stop, with [`Reason::Shutdown`]. True to the one call that did it.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let builder = Host::builder();
    /// assert!(builder.handle().stop());
    /// // It is asked before it begins: nothing is started.
    /// let report = builder.service("a", |_stop| async {}).run().await;
    /// assert!(report.is_clean());
    /// # }
    /// ```
    #[track_caller]
    pub fn stop(&self) -> bool {
        self.stop_with(Reason::Shutdown)
    }

    /// The same with a cause of one's own, which the services are told.
    ///
    /// ```
    /// use desist::Reason;
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let builder = Host::builder();
    /// builder.handle().stop_with(Reason::LeaseLost);
    /// let report = builder.service("a", |_stop| async {}).run().await;
    /// assert_eq!(report.cause().unwrap().reason(), Reason::LeaseLost);
    /// # }
    /// ```
    #[track_caller]
    pub fn stop_with(&self, cause: impl Into<Cause>) -> bool {
        self.stop.cancel_with(cause)
    }

    /// How far the host is.
    ///
    /// ```
    /// use desist_host::{Host, Phase};
    ///
    /// assert_eq!(Host::builder().handle().phase(), Phase::Starting);
    /// ```
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.status.borrow().phase
    }

    /// Waits until the host is in this phase, or beyond it, and gives the one it is in.
    /// A host that is dropped, or never run, comes nowhere.
    ///
    /// ```
    /// use desist_host::{Host, Phase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let builder = Host::builder();
    /// let handle = builder.handle();
    /// assert!(builder.service("a", |_stop| async {}).run().await.is_clean());
    /// assert_eq!(handle.reached(Phase::Running).await, Phase::Stopped);
    /// # }
    /// ```
    pub async fn reached(&self, phase: Phase) -> Phase {
        let mut changes = self.status.subscribe();
        let reached = changes.wait_for(|status| status.phase >= phase).await;
        // The sender is held here.
        reached.map_or(phase, |status| status.phase)
    }

    /// The services that are waited for: to have started, or to be over.
    ///
    /// ```
    /// assert!(desist_host::Host::builder().handle().waits_for().is_empty());
    /// ```
    #[must_use]
    pub fn waits_for(&self) -> Arc<[Arc<str>]> {
        Arc::clone(&self.status.borrow().waits_for)
    }

    /// Why the host stops, if it does.
    ///
    /// ```
    /// use desist_host::Host;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder();
    /// let handle = host.handle();
    /// assert!(handle.cause().is_none());
    /// assert!(host.service("job", |_stop| async {}).run().await.is_clean());
    /// assert_eq!(handle.cause().unwrap().reason(), desist::Reason::Shutdown);
    /// # }
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<Cancelled> {
        self.status.borrow().cause.clone()
    }

    pub(crate) fn asked(&self) -> Token {
        self.stop.token()
    }

    pub(crate) fn set(&self, status: Status) {
        self.status.send_if_modified(|now| {
            let changes = now.phase != status.phase || now.waits_for != status.waits_for;
            *now = status;
            changes
        });
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHandle").field("phase", &self.phase()).finish_non_exhaustive()
    }
}
