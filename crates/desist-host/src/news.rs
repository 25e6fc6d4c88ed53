//! What happens in a host, as it is told to whoever wants to know.
//!
//! Nobody who listens can hold the host up: each has a thread of its own, with what
//! happened in order. The thread ends with the host, or with what was told until then.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use desist::Cancelled;
use desist_tokio::Signal;

use crate::phase::Phase;
use crate::table::{plain, span};

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
    #[non_exhaustive]
    Stop {
        /// Why.
        cause: Cancelled,
        /// What its detail says; empty if it has none.
        detail: Arc<str>,
    },
    /// It was asked a second time, and ends at once.
    #[non_exhaustive]
    Forced {
        /// By what.
        signal: Signal,
    },
    /// A service is started, or started again.
    #[non_exhaustive]
    Starting {
        /// Its name.
        service: Arc<str>,
    },
    /// It has started.
    #[non_exhaustive]
    Started {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked to drain.
    #[non_exhaustive]
    AskedToDrain {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked to stop.
    #[non_exhaustive]
    AskedToStop {
        /// Its name.
        service: Arc<str>,
    },
    /// It was asked, has not stopped in its time, and is dropped.
    #[non_exhaustive]
    Aborted {
        /// Its name.
        service: Arc<str>,
        /// It has stopped, and it is its cleanup that has not ended.
        in_cleanup: bool,
        /// How long after it was first asked.
        asked_for: Option<Duration>,
    },
    /// It has failed.
    #[non_exhaustive]
    Failed {
        /// Its name.
        service: Arc<str>,
        /// In words.
        failure: Arc<str>,
    },
    /// It is started again after a pause.
    #[non_exhaustive]
    Resting {
        /// Its name.
        service: Arc<str>,
        /// How long.
        pause: Duration,
    },
    /// It is over.
    #[non_exhaustive]
    Over {
        /// Its name.
        service: Arc<str>,
        /// How long after it was first asked, if it was.
        asked_for: Option<Duration>,
    },
    /// It was aborted, is still there, and is not waited for any longer.
    #[non_exhaustive]
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
        let name = |service: &Arc<str>| plain(service);
        match self {
            Self::Phase(phase) => write!(f, "the host is {phase}"),
            Self::Stop { cause, detail } => {
                write!(f, "the host is to stop: {}", cause.reason())?;
                if detail.is_empty() { Ok(()) } else { write!(f, " ({})", plain(detail)) }
            }
            Self::Forced { signal } => write!(f, "a second {signal}: all is aborted"),
            Self::Starting { service } => write!(f, "starting `{}`", name(service)),
            Self::Started { service } => write!(f, "`{}` has started", name(service)),
            Self::AskedToDrain { service } => write!(f, "`{}` is asked to drain", name(service)),
            Self::AskedToStop { service } => write!(f, "`{}` is asked to stop", name(service)),
            Self::Aborted { service, in_cleanup, asked_for } => {
                let what = if *in_cleanup { "the cleanup of " } else { "" };
                write!(f, "{what}`{}` is aborted", name(service))?;
                asked(f, asked_for)
            }
            Self::Failed { service, failure } => {
                write!(f, "`{}` failed: {}", name(service), plain(failure))
            }
            Self::Resting { service, pause } => {
                write!(f, "`{}` is started again in {}", name(service), span(*pause))
            }
            Self::Over { service, asked_for } => {
                write!(f, "`{}` is over", name(service))?;
                asked(f, asked_for)
            }
            Self::GivenUp { service, asked_for } => {
                write!(f, "`{}` is still running and is not waited for", name(service))?;
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
