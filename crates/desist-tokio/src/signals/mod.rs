//! SIGINT and SIGTERM, and SIGQUIT where it is asked for, as a [`Stop`].
//!
//! One thread of the process hears them, with a small runtime of its own, so
//! that a second signal is heard however busy, or blocked, the program's own
//! runtime is. It is started by the first `listen` and stays. No foreign code runs
//! on it, as long as a thread can be had: who is asked is asked on a thread of its
//! own, and so is an end that was set.

mod received;

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use desist::{Cause, Reason, Source};
use tokio::runtime::Runtime;

use self::received::{Ears, Received};
use crate::group::caught;
use crate::stop::{Stop, StopSource};

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

/// How a program takes SIGINT and SIGTERM (on Windows: Ctrl-C).
///
/// From the first [`listen`](Self::listen) on, neither signal ends the process by
/// itself any more, whatever becomes of the [`Stop`]s, and also where it was
/// ignored before, as by `nohup`; a thread that hears them is there until the
/// process ends. A child that is forked without an `exec` hears nothing.
///
/// The second signal is the next one that is heard, whoever sent it: a terminal
/// sends Ctrl-C to every process in the foreground, and a parent that passes it on
/// as well is heard twice, if the two do not come at once. A program that goes on
/// after a signal, as a shell does, takes [`on_second`](Self::on_second), for the
/// next signal is the second to the stop before.
///
/// SIGQUIT ends the process, with a core dump where there are any, unless
/// [`with_quit`](Self::with_quit) is chosen.
///
/// The times are the system's, also where a runtime's time is paused. The
/// [`origin`](desist::Cancelled::origin) of the stop is in this crate; who asked is
/// in its detail.
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
    quit: bool,
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
    /// SIGQUIT: Ctrl-\, some supervisors. Heard only [by choice](Signals::with_quit).
    Quit,
}

impl Signal {
    /// Its name: `SIGINT`, `SIGTERM`, `SIGQUIT`.
    ///
    /// ```
    /// assert_eq!(desist_tokio::Signal::Terminate.name(), "SIGTERM");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::Quit => "SIGQUIT",
        }
    }

    /// The exit code of a process that it ended: 130, 143, 131.
    ///
    /// ```
    /// assert_eq!(desist_tokio::Signal::Interrupt.exit_code(), 130);
    /// assert_eq!(desist_tokio::Signal::Quit.exit_code(), 131);
    /// ```
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Quit => 131,
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
        Self { drain: Self::DRAIN, quit: false, second: None }
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

    /// SIGQUIT is heard, too, from [`listen`](Self::listen) on, also where others
    /// listen already. As it is made: it is left to what it does by default, or to
    /// others.
    ///
    /// It then is a signal as any other to the whole process, until that ends: it
    /// asks those, too, who listen without this, and a second one of whatever kind
    /// is a second signal. So Ctrl-\ gives no core dump any more. Where there is no
    /// SIGQUIT, as on Windows, this changes nothing.
    ///
    /// ```
    /// let stop = desist_tokio::Signals::new().with_quit().listen().unwrap();
    /// assert!(!stop.is_cancelled());
    /// ```
    pub fn with_quit(self) -> Self {
        Self { quit: true, ..self }
    }

    /// What the second signal does, whichever it is. It is called on a
    /// thread of its own; if it returns, further signals do nothing, and if it
    /// panics, or there is no thread for it, the process exits as if nothing had
    /// been set.
    ///
    /// As it is made: it says so on standard error, and exits the process with
    /// [`Signal::exit_code`]. What runs at an exit has a second for it, and then the
    /// process is killed. Where others have set an end of their own, theirs comes
    /// first, and has a second.
    ///
    /// ```
    /// let stop = desist_tokio::Signals::new().on_second(|_| std::process::abort()).listen();
    /// assert!(stop.is_ok());
    /// ```
    pub fn on_second(self, second: impl FnOnce(Signal) + Send + 'static) -> Self {
        Self { second: Some(Box::new(second)), ..self }
    }

    /// Listens from now on: the stop is asked by the first signal after this call,
    /// and the end that was set comes with the one after that, whether or not the
    /// stop is still held.
    ///
    /// # Errors
    ///
    /// No thread can be had, or no file descriptor.
    ///
    /// ```
    /// assert!(desist_tokio::Signals::new().listen().is_ok());
    /// ```
    pub fn listen(self) -> io::Result<Stop> {
        let end = self.second.map_or(End::Exit, End::Own);
        listeners().add(self.drain, self.quit, end)
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("drain", &self.drain)
            .field("quit", &self.quit)
            .finish_non_exhaustive()
    }
}

/// How long the end of the process waits for what others do in it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says why, if that can be done at once, and exits in any case: standard error
/// may be closed, or held by whoever is stuck, and so may an exit be that is under
/// way already.
fn exit(signal: Signal) -> ! {
    let _watched = thread::Builder::new().spawn(|| {
        thread::sleep(PATIENCE);
        kill();
    });
    let (tell, told) = mpsc::channel();
    let saying = thread::Builder::new().spawn(move || {
        let said =
            writeln!(io::stderr(), "a second signal, {signal}: exiting without waiting any longer");
        let _ = tell.send(said);
    });
    if saying.is_ok() {
        let _ = told.recv_timeout(PATIENCE / 4);
    }
    process::exit(signal.exit_code().into());
}

/// What nothing in the process can hold up.
fn kill() {
    #[cfg(unix)]
    let _killed =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    #[cfg(not(unix))]
    process::abort();
}

/// What the second signal does.
enum End {
    Exit,
    Own(Box<dyn FnOnce(Signal) + Send>),
}

fn bring(ends: Vec<End>, signal: Signal) {
    let mut exits = false;
    let (ended, all_ended) = mpsc::channel::<()>();
    for end in ends {
        let End::Own(end) = end else {
            exits = true;
            continue;
        };
        let ended = ended.clone();
        let begun = thread::Builder::new().name("desist-second".into()).spawn(move || {
            if caught(|| end(signal)).is_err() {
                exit(signal);
            }
            drop(ended);
        });
        exits |= begun.is_err();
    }
    drop(ended);
    if exits {
        // Nothing is ever sent: it ends when the last of them has.
        let _ = all_ended.recv_timeout(PATIENCE);
        exit(signal);
    }
}

/// Asks, on a thread of its own: callbacks run there, and one that blocks must
/// not keep the second signal from being heard.
fn ask(source: StopSource, drain: Duration, signal: Signal) {
    let asking = Asking { source, drain, signal };
    let alone = asking.clone();
    let thread = thread::Builder::new().name("desist-stop".into());
    if thread.spawn(move || asking.ask()).is_err() {
        // Nobody can keep the time between the two. A panic of a callback, which
        // the hook has heard, must not make the process deaf.
        let _heard = caught(|| alone.source.cancel_with(alone.cause()));
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
        // A panic of whoever is told was heard by its hook.
        let _drained = caught(|| self.source.drain_with(self.cause()));
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

static LISTENERS: Mutex<Listeners> = Mutex::new(Listeners::NEW);

/// Who listens. Of a [`Stop`] that is gone nothing is kept but the end that was
/// set: the signal's default action does not come back, so somebody who sends a
/// second one must be heard all the same.
struct Listeners {
    /// Of the thread, once it is there.
    ears: Option<Ears>,
    /// Whom the next signal asks: one source for each time to drain.
    waiting: Vec<(Duration, StopSource)>,
    /// The ends of those, as they came.
    later: Vec<End>,
    /// The ends of those that were asked: the next signal brings them.
    next: Vec<End>,
}

impl Listeners {
    const NEW: Self = Self { ears: None, waiting: Vec::new(), later: Vec::new(), next: Vec::new() };

    fn add(&mut self, drain: Duration, quit: bool, end: End) -> io::Result<Stop> {
        let ears = match &mut self.ears {
            Some(ears) => ears,
            none => none.insert(start()?),
        };
        if quit {
            ears.hear_quit()?;
        }
        let has_exit = self.later.iter().any(|end| matches!(end, End::Exit));
        if !(has_exit && matches!(end, End::Exit)) {
            self.later.push(end);
        }
        if let Some((_, source)) = self.waiting.iter().find(|(time, _)| *time == drain) {
            return Ok(source.stop());
        }
        let source = StopSource::new();
        let stop = source.stop();
        self.waiting.push((drain, source));
        Ok(stop)
    }

    /// Whom this signal asks, and what it ends.
    fn hear(&mut self) -> (Vec<(Duration, StopSource)>, Vec<End>) {
        let ends = mem::replace(&mut self.next, mem::take(&mut self.later));
        (mem::take(&mut self.waiting), ends)
    }
}

fn listeners() -> MutexGuard<'static, Listeners> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When it returns, SIGINT and SIGTERM are listened to.
fn start() -> io::Result<Ears> {
    let (tell, told) = mpsc::channel();
    // The runtime is made there and not here: a runtime must not be dropped inside
    // another, and the caller may be in one.
    thread::Builder::new().name("desist-signals".into()).spawn(move || {
        let (runtime, (received, ears)) = match listening() {
            Ok(listening) => listening,
            Err(error) => return tell.send(Err(error)).unwrap_or_default(),
        };
        let _ = tell.send(Ok(ears));
        runtime.block_on(hear(received));
    })?;
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that listens has ended")))
}

fn listening() -> io::Result<(Runtime, (Received, Ears))> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let received = {
        let _inside = runtime.enter();
        Received::new()?
    };
    Ok((runtime, received))
}

async fn hear(mut received: Received) {
    loop {
        let signal = received.next().await;
        let (asked, ends) = listeners().hear();
        for (drain, source) in asked {
            ask(source, drain, signal);
        }
        bring(ends, signal);
    }
}
