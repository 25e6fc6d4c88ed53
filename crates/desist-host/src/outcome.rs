//! How a service ended, and what went wrong with it.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use desist_tokio::BoxError;

use crate::table::span;

/// How a service ended.
///
/// ```
/// use desist_host::{Host, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let report = Host::builder().service("job", |_stop| async {}).run().await;
/// assert_eq!(report.services()[0].outcome(), Outcome::Finished);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The host was stopped before it began.
    NeverStarted,
    /// It ended well before anybody asked it to.
    Finished,
    /// It was asked, and stopped.
    Stopped,
    /// It gave an error, or did not start in its time.
    Failed,
    /// It panicked.
    Panicked,
    /// It was asked, did not stop in its time, and was dropped in the middle.
    Aborted,
    /// Its runtime was shut down.
    RuntimeGone,
    /// It was aborted, and is still there: it blocks its thread.
    StillRunning,
}

impl Outcome {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NeverStarted => "never started",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Aborted => "aborted",
            Self::RuntimeGone => "ended with its runtime",
            Self::StillRunning => "still running",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What went wrong with a service, as an error: what the service itself gave is its `source()`;
/// an error of its run speaks for itself.
///
/// ```
/// use desist_host::{Failure, Host};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let host = Host::builder().service("job", |_stop| async { panic!("no disk") });
/// let report = host.run().await;
/// let Failure::Panicked(panic) = &report.services()[0].failures()[0] else { panic!() };
/// assert_eq!(panic.message(), "no disk");
/// assert!(panic.place().unwrap().contains(".rs:"));
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// It could not be started.
    Start(BoxError),
    /// It had not started after so long.
    StartedLate(Duration),
    /// Its work gave an error.
    Run(BoxError),
    /// Its work ended, and should not have: [`OnEnd::Fail`](crate::OnEnd::Fail).
    EndedEarly,
    /// Its cleanup gave an error.
    Cleanup(BoxError),
    /// It panicked, wherever it was.
    Panicked(ServicePanic),
    /// The runtime that it ran on was shut down.
    RuntimeGone,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(_) => f.write_str("it cannot be started"),
            Self::StartedLate(time) => write!(
                f,
                "it had not started after {}; see what it waits for, or give it a longer \
                 `start_timeout`",
                span(*time)
            ),
            Self::Run(error) => write!(f, "{error}"),
            Self::EndedEarly => f.write_str("it ended, and nobody had asked it to"),
            Self::Cleanup(_) => f.write_str("its cleanup failed"),
            Self::Panicked(panic) => write!(f, "panicked: {panic}"),
            Self::RuntimeGone => f.write_str("its runtime was shut down"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(error) | Self::Cleanup(error) => Some(&**error),
            Self::Run(error) => error.source(),
            _ => None,
        }
    }
}

impl Failure {
    /// With all that is behind it, as a log has it.
    pub(crate) fn whole(&self) -> String {
        let mut whole = self.to_string();
        let mut source = self.source();
        // An error may be its own source, by mistake.
        for _ in 0..16 {
            let Some(error) = source else { break };
            whole += ": ";
            whole += &error.to_string();
            source = error.source();
        }
        whole
    }
}

/// A panic of a service.
///
/// ```
/// use desist_host::{Failure, Host};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let host = Host::builder().service("job", |_stop| async { panic!("at {}", 7) });
/// let report = host.run().await;
/// let failure = report.service("job").unwrap().failures()[0].to_string();
/// assert!(failure.starts_with("panicked: at 7 (") && failure.contains(".rs:"));
/// # }
/// ```
pub struct ServicePanic {
    message: String,
    place: Option<String>,
}

impl ServicePanic {
    pub(crate) fn new(payload: &(dyn Any + Send), place: Option<String>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            (*text).to_owned()
        } else if let Some(text) = payload.downcast_ref::<String>() {
            text.clone()
        } else {
            "a payload that is no text".to_owned()
        };
        Self { message, place }
    }

    /// What it said.
    ///
    /// ```
    /// # use desist_host::{Failure, Host};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder().service("job", |_stop| async { std::panic::panic_any(7) });
    /// let report = host.run().await;
    /// let Failure::Panicked(panic) = &report.services()[0].failures()[0] else { panic!() };
    /// assert_eq!(panic.message(), "a payload that is no text");
    /// # }
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// File, line and column. `None` if the program has replaced the panic hook since the
    /// host began, or has resumed a panic of elsewhere.
    ///
    /// ```
    /// # use desist_host::{Failure, Host};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder().service("job", |_stop| async {
    ///     std::panic::resume_unwind(Box::new("from elsewhere"))
    /// });
    /// let report = host.run().await;
    /// let Failure::Panicked(panic) = &report.services()[0].failures()[0] else { panic!() };
    /// assert_eq!(panic.place(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}

impl fmt::Display for ServicePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, " ({place})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ServicePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServicePanic")
            .field("message", &self.message)
            .field("place", &self.place)
            .finish()
    }
}
