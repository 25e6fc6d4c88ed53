//! What happens in a host, as it is told to whoever wants to know.
//!
//! Nobody who listens can hold the host up: each has a thread of its own, with what
//! happened in order. The thread ends with the host, or with what was told until then.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use desist::Cancelled;
use desist_tokio::Signal;

use crate::phase::Phase;
use crate::table::span;

pub(crate) type Listener = Box<dyn FnMut(&News) + Send>;

/// One of the house, who is told more.
pub(crate) type Listening = Box<dyn FnMut(&Told) + Send>;

/// What happened in a host. Its `Display` is a line to log.
///
/// ```
/// use desist_host::{News, Phase};
///
/// assert_eq!(News::Phase(Phase::Running).to_string(), "the host is running");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum News {
    /// The host is in this phase now.
    Phase(Phase),
    /// It is to stop.
    Stop {
        /// Why.
        cause: Cancelled,
    },
    /// It was asked a second time, and ends at once.
    Forced {
        /// By what.
        signal: Signal,
    },
    /// A service is started, or started again.
    Starting {
        /// Its name.
        service: Arc<str>,
    },
    /// It has started.
    Started {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked to drain.
    AskedToDrain {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked to stop.
    AskedToStop {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked, has not stopped in its time, and is dropped.
    Aborted {
        /// Its name.
        service: Arc<str>,
        /// It has stopped, and it is its cleanup that has not ended.
        in_cleanup: bool,
        /// How long after it was first asked.
        asked_for: Option<Duration>,
    },
    /// It has failed.
    Failed {
        /// Its name.
        service: Arc<str>,
        /// In words.
        failure: Arc<str>,
    },
    /// It is started again after a pause.
    Resting {
        /// Its name.
        service: Arc<str>,
        /// How long.
        pause: Duration,
    },
    /// It is over.
    Over {
        /// Its name.
        service: Arc<str>,
        /// How long after it was first asked, if it was.
        asked_for: Option<Duration>,
    },
    /// It was aborted, is still there, and is not waited for any longer.
    GivenUp {
        /// Its name.
        service: Arc<str>,
        /// How long after it was first asked.
        asked_for: Option<Duration>,
    },
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = |f: &mut fmt::Formatter<'_>, time: &Option<Duration>| match time {
            Some(time) => write!(f, ", {} after it was asked", span(*time)),
            None => Ok(()),
        };
        match self {
            Self::Phase(phase) => write!(f, "the host is {phase}"),
            Self::Stop { cause } => {
                write!(f, "the host is to stop: {}", cause.reason())?;
                cause.source().map_or(Ok(()), |detail| write!(f, " ({detail})"))
            }
            Self::Forced { signal } => write!(f, "a second {signal}: all is aborted"),
            Self::Starting { service } => write!(f, "starting `{service}`"),
            Self::Started { service } => write!(f, "`{service}` has started"),
            Self::AskedToDrain { service } => write!(f, "`{service}` is asked to drain"),
            Self::AskedToStop { service } => write!(f, "`{service}` is asked to stop"),
            Self::Aborted { service, in_cleanup, asked_for } => {
                let what = if *in_cleanup { "the cleanup of " } else { "" };
                write!(f, "{what}`{service}` is aborted")?;
                asked(f, asked_for)
            }
            Self::Failed { service, failure } => write!(f, "`{service}` failed: {failure}"),
            Self::Resting { service, pause } => {
                write!(f, "`{service}` is started again in {}", span(*pause))
            }
            Self::Over { service, asked_for } => {
                write!(f, "`{service}` is over")?;
                asked(f, asked_for)
            }
            Self::GivenUp { service, asked_for } => {
                write!(f, "`{service}` is still running and is not waited for")?;
                asked(f, asked_for)
            }
        }
    }
}

/// What one event has brought, and what is to be known of the host with it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) news: Arc<[News]>,
    /// By then something else happens, by itself if need be.
    pub(crate) within: Option<Duration>,
}

/// Those who listen, each on its thread.
pub(crate) struct Listeners {
    threads: Vec<mpsc::Sender<Told>>,
    /// Nothing is sent: it ends when all of them have.
    ended: mpsc::Receiver<()>,
}

impl Listeners {
    pub(crate) fn start(listeners: Vec<Listening>) -> Self {
        let (ends, ended) = mpsc::channel();
        let threads = listeners.into_iter().filter_map(|mut listener| {
            let (tell, told) = mpsc::channel::<Told>();
            let ends = ends.clone();
            // Without a thread it hears nothing; the host runs all the same.
            let thread = thread::Builder::new().name("desist-news".into()).spawn(move || {
                told.iter().for_each(|told| listener(&told));
                drop(listener);
                drop(ends);
            });
            thread.is_ok().then_some(tell)
        });
        Self { threads: threads.collect(), ended }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    pub(crate) fn tell(&self, told: &Told) {
        for thread in &self.threads {
            // One that has panicked hears no more.
            let _ = thread.send(told.clone());
        }
    }

    /// That was all: the end of those who listen, which is waited for on a thread that may
    /// wait.
    pub(crate) fn end(self) -> impl FnOnce(Duration) + Send {
        let Self { threads, ended } = self;
        drop(threads);
        move |patience| {
            let _ = ended.recv_timeout(patience);
        }
    }
}
