//! SIGINT and SIGTERM as a [`Stop`].
//!
//! One thread of the process hears them, with a small runtime of its own, so
//! that a second signal is heard however busy, or blocked, the program's own
//! runtime is. It is started by the first `listen` and stays: once a program
//! has asked for a signal, its default action is gone for good.

use std::fmt;
use std::io::{self, Write};
use std::process;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use desist::{Cause, Reason, Source};

use crate::group::caught;
use crate::stop::{Stop, StopSource};
use crate::trace;

/// A [`Stop`] for SIGINT and SIGTERM: the first asks to drain, and
/// [`DRAIN`](Signals::DRAIN) later to stop; the second ends the process with
/// exit code 130 or 143. See [`Signals`] for other times and another end.
///
/// The cause is [`Reason::Shutdown`] with the signal's name as its detail.
///
/// # Panics
///
/// If the signals cannot be listened to, see [`Signals::listen`].
///
/// ```
/// let stop = desist_tokio::signals();
/// assert!(!stop.draining().is_cancelled());
/// ```
#[must_use = "without it the first signal does nothing"]
pub fn signals() -> Stop {
    match Signals::new().listen() {
        Ok(stop) => stop,
        Err(error) => panic!("cannot listen to SIGINT and SIGTERM: {error}"),
    }
}

/// How a program takes SIGINT and SIGTERM (elsewhere than on Unix: Ctrl-C).
///
/// ```
/// use desist_tokio::Signals;
/// use std::time::Duration;
///
/// let stop = Signals::new()
///     .drain_for(Duration::from_secs(20))
///     .on_second(|signal| {
///         eprintln!("a second {signal}: leaving at once");
///         std::process::exit(1);
///     })
///     .listen()
///     .expect("signals can be listened to");
/// assert!(!stop.is_cancelled());
/// ```
#[must_use = "it listens when `listen` is called"]
pub struct Signals {
    drain: Duration,
    second: Option<Box<dyn FnOnce(Signal) + Send>>,
}

/// A signal that was received. Its `Display` is its name.
///
/// ```
/// assert_eq!(desist_tokio::Signal::Interrupt.to_string(), "SIGINT");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: a supervisor, an orchestrator, `kill`.
    Terminate,
}

impl Signal {
    /// Its name: `SIGINT`, `SIGTERM`.
    ///
    /// ```
    /// assert_eq!(desist_tokio::Signal::Terminate.name(), "SIGTERM");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The exit code of a process that it ended: 130, 143.
    ///
    /// ```
    /// assert_eq!(desist_tokio::Signal::Interrupt.exit_code(), 130);
    /// ```
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Signals {
    /// How long the work drains before it is asked to stop, if nothing is set:
    /// half of what the stricter supervisors give a process before they kill it.
    ///
    /// ```
    /// assert_eq!(desist_tokio::Signals::DRAIN.as_secs(), 5);
    /// ```
    pub const DRAIN: Duration = Duration::from_secs(5);

    /// As [`signals`] has it.
    ///
    /// ```
    /// assert!(desist_tokio::Signals::new().listen().is_ok());
    /// ```
    pub fn new() -> Self {
        Self { drain: Self::DRAIN, second: None }
    }

    /// So long between the request to drain, which the first signal is, and the
    /// request to stop. With zero both come at once.
    ///
    /// ```
    /// use desist_tokio::Signals;
    ///
    /// // Nothing to drain: a signal stops it.
    /// let stop = Signals::new().drain_for(std::time::Duration::ZERO).listen().unwrap();
    /// assert!(!stop.is_cancelled());
    /// ```
    pub fn drain_for(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// What the second signal does, whichever of the two it is. It is called on
    /// the thread that listens; if it returns, further signals do nothing, and if
    /// it panics the process exits.
    ///
    /// As it is made: it says so on standard error, and exits the process with
    /// [`Signal::exit_code`].
    ///
    /// ```
    /// let stop = desist_tokio::Signals::new().on_second(|_| std::process::abort()).listen();
    /// assert!(stop.is_ok());
    /// ```
    pub fn on_second(self, second: impl FnOnce(Signal) + Send + 'static) -> Self {
        Self { second: Some(Box::new(second)), ..self }
    }

    /// Listens from now on. Every call makes another stop; each is asked by the
    /// first signal after it.
    ///
    /// # Errors
    ///
    /// No thread can be had, or no file descriptor.
    ///
    /// ```
    /// assert!(desist_tokio::Signals::new().listen().is_ok());
    /// ```
    #[track_caller]
    pub fn listen(self) -> io::Result<Stop> {
        let source = StopSource::new();
        let stop = source.stop();
        trace::requested("signals", stop.draining());
        let second = self.second.unwrap_or_else(|| Box::new(exit));
        let listener = Listener { source, drain: self.drain, second: Some(second), heard: false };
        LISTENERS.add(listener)?;
        Ok(stop)
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("drain", &self.drain).finish_non_exhaustive()
    }
}

/// Says why, if that can be done at once, and exits in any case: standard error
/// may be closed, or held by whoever is stuck.
fn exit(signal: Signal) {
    let (tell, told) = mpsc::channel();
    let saying = thread::Builder::new().spawn(move || {
        let said =
            writeln!(io::stderr(), "a second signal, {signal}: exiting without waiting any longer");
        let _ = tell.send(said);
    });
    if saying.is_ok() {
        let _ = told.recv_timeout(Duration::from_millis(200));
    }
    process::exit(signal.exit_code().into());
}

struct Listener {
    source: StopSource,
    drain: Duration,
    second: Option<Box<dyn FnOnce(Signal) + Send>>,
    heard: bool,
}

impl Listener {
    /// What it does with this signal. Foreign code runs in it.
    fn hear(&mut self, signal: Signal) -> Option<Box<dyn FnOnce() + Send>> {
        if self.heard {
            let second = self.second.take()?;
            return Some(Box::new(move || {
                if caught(|| second(signal)).is_err() {
                    exit(signal);
                }
            }));
        }
        self.heard = true;
        let (source, drain) = (self.source.clone(), self.drain);
        Some(Box::new(move || ask(source, drain, signal)))
    }
}

/// Asks, on a thread of its own: callbacks run there, and one that blocks must
/// not keep the second signal from being heard.
fn ask(source: StopSource, drain: Duration, signal: Signal) {
    let asking = Asking { source, drain, signal };
    let alone = asking.clone();
    let thread = thread::Builder::new().name("desist-stop".into());
    if thread.spawn(move || asking.ask()).is_err() {
        // Nobody can keep the time between the two.
        alone.source.cancel_with(alone.cause());
    }
}

#[derive(Clone)]
struct Asking {
    source: StopSource,
    drain: Duration,
    signal: Signal,
}

impl Asking {
    fn ask(&self) {
        if self.drain.is_zero() {
            self.source.cancel_with(self.cause());
            return;
        }
        // Before anybody is asked: who drains may block this thread, and the
        // core's clock keeps the time all the same.
        let over = Source::with_timeout(self.drain);
        let later = self.clone();
        let registration = over.token().on_cancel(move |_| {
            later.source.cancel_with(later.cause());
        });
        let drained = caught(|| self.source.drain_with(self.cause()));
        // The panic hook has heard it.
        drop(drained);
        over.token().blocking_wait();
        // Who waits is woken before callbacks are called, so this thread may come
        // first, and then the callback is taken back.
        self.source.cancel_with(self.cause());
        registration.unregister();
    }

    fn cause(&self) -> Cause {
        Cause::new(Reason::Shutdown).message(self.signal.name())
    }
}

static LISTENERS: Listeners = Listeners { all: Mutex::new(None) };

struct Listeners {
    /// `None`: no thread listens yet.
    all: Mutex<Option<Arc<Mutex<Vec<Listener>>>>>,
}

impl Listeners {
    fn add(&self, listener: Listener) -> io::Result<()> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = &*all {
            all.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
            return Ok(());
        }
        let listeners = Arc::new(Mutex::new(vec![listener]));
        start(Arc::clone(&listeners))?;
        *all = Some(listeners);
        Ok(())
    }
}

/// When it returns, the signals are listened to.
fn start(listeners: Arc<Mutex<Vec<Listener>>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut received = {
        let _inside = runtime.enter();
        Received::new()?
    };
    thread::Builder::new().name("desist-signals".into()).spawn(move || {
        runtime.block_on(async move {
            loop {
                let signal = received.next().await;
                let heard: Vec<_> = {
                    let mut all = listeners.lock().unwrap_or_else(PoisonError::into_inner);
                    all.iter_mut().filter_map(|listener| listener.hear(signal)).collect()
                };
                for act in heard {
                    // A panic of one callback must not make the process deaf.
                    let _ = caught(act);
                }
            }
        })
    })?;
    Ok(())
}

#[cfg(unix)]
struct Received {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Received {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        use std::future::poll_fn;
        use std::task::Poll;
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready(Signal::Terminate);
            }
            self.interrupt.poll_recv(cx).map(|_| Signal::Interrupt)
        })
        .await
    }
}

#[cfg(not(unix))]
struct Received;

#[cfg(not(unix))]
impl Received {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
