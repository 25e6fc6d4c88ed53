//! A host as the whole of a program: its runtimes and threads, its signals, its last words,
//! and its end.
//!
//! Three parties, so that nobody waits for who may be blocked:
//!
//! * the main thread runs the driver, which runs no foreign code, on a small runtime of
//!   its own, and so keeps the last bound;
//! * a thread has the runtime of the services, and shuts it down;
//! * whatever is said at the end is said by a thread that is waited for only so long.

use std::fmt::Display;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use desist_tokio::{Signal, Signals};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::driver::{Driver, Heard, PATIENCE, Tell};
use crate::host::Host;
use crate::outcome::Outcome;
use crate::report::Report;

/// How long what is left on the runtime has to go, after a clean stop.
const LEAVE: Duration = Duration::from_millis(500);

/// As far as anybody sees.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// As the main thread has by default.
const STACK: usize = 8 << 20;

/// There is nothing to run.
pub(crate) fn refuse(error: &dyn Display) -> ExitCode {
    say(format!("the host cannot begin: {error}"));
    ExitCode::from(1)
}

pub(crate) fn main(host: Host) -> ExitCode {
    if Handle::try_current().is_ok() {
        return refuse(
            &"`main` builds a runtime, and is called inside of one; call it from a plain \
              `fn main`, or `run().await` here",
        );
    }
    match catch_unwind(AssertUnwindSafe(|| run(host))) {
        Ok(Ok((report, services, slow_after))) => leave(report, services, slow_after),
        Ok(Err(error)) => {
            refuse(&format!("{error}; look at the limits of the process (ulimit -a)"))
        }
        // It has been said by the hook. What runs cannot be stopped in order any more.
        Err(_panic) => exit(1),
    }
}

fn run(mut host: Host) -> io::Result<(Report, Services, Duration)> {
    let services = Services::begin(host.runtime.take())?;
    let runtime =
        Builder::new_current_thread().enable_time().thread_keep_alive(FOR_EVER).build()?;
    let report = runtime.block_on(async {
        // That stays, so services can be asked also where no thread can be had any more.
        let _ready = spawn_blocking(|| ()).await;
        #[cfg(target_os = "linux")]
        let told = crate::systemd::listener().into_iter().collect();
        #[cfg(not(target_os = "linux"))]
        let told = Vec::new();
        let (crew, slow_after) = host.into_crew(told);
        let driver = Driver::new(crew, &services.handle);
        let tell = driver.tell();
        let stop = listen(driver.tell())?;
        let _asked = stop.token().on_cancel(move |cancelled| {
            let _ = tell.send(Heard::Stop(cancelled.clone()));
        });
        Ok::<_, io::Error>((driver.drive().await, slow_after))
    });
    // Requests may be blocked on its threads.
    runtime.shutdown_background();
    let (report, slow_after) = report?;
    Ok((report, services, slow_after))
}

fn listen(tell: Tell) -> io::Result<desist_tokio::Stop> {
    Signals::new()
        .with_quit()
        .drain_for(Duration::ZERO)
        .on_second(move |signal| {
            if tell.send(Heard::Force(signal)).is_err() {
                exit_by(signal);
            }
            // The report and all that comes before the end have their bounds.
            thread::sleep(PATIENCE * 4);
            exit_by(signal);
        })
        .listen()
}

/// The runtime of the services, on a thread that shuts it down.
struct Services {
    handle: Handle,
    end: oneshot::Sender<Duration>,
    /// Whether all has gone.
    ended: mpsc::Receiver<bool>,
}

impl Services {
    fn begin(builder: Option<Builder>) -> io::Result<Self> {
        let runtime = match builder {
            Some(mut builder) => builder.build()?,
            None => Builder::new_multi_thread().enable_all().build()?,
        };
        let handle = runtime.handle().clone();
        let (end, ends) = oneshot::channel();
        let (tell, ended) = mpsc::channel();
        let thread = thread::Builder::new().name("desist-services".into()).stack_size(STACK);
        thread.spawn(move || keep(runtime, ends, &tell))?;
        Ok(Self { handle, end, ended })
    }

    /// True if nothing is left.
    fn end(self, patience: Duration) -> bool {
        let _ = self.end.send(patience);
        // What it drops may block.
        self.ended.recv_timeout(patience + LEAVE).unwrap_or(false)
    }
}

fn keep(runtime: Runtime, ends: oneshot::Receiver<Duration>, tell: &mpsc::Sender<bool>) {
    let patience = runtime.block_on(ends).unwrap_or_default();
    let (ended, has_ended) = mpsc::channel::<()>();
    // Dropping it waits for blocking work that has begun; this waits for that wait.
    let waits = thread::Builder::new().name("desist-leave".into()).spawn(move || {
        drop(runtime);
        drop(ended);
    });
    let is_over = match waits {
        Ok(_) => has_ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Disconnected),
        Err(_) => false,
    };
    let _ = tell.send(is_over);
}

fn leave(report: Report, services: Services, slow_after: Duration) -> ExitCode {
    let code = report.exit_code();
    let stuck = report.services().iter().any(|s| s.outcome() == Outcome::StillRunning);
    let is_late = report.stragglers().next().is_some() || report.forced_by().is_some();
    if code != 0 || report.stopped_in() >= slow_after {
        say(report);
    } else {
        // What is in it is foreign, and may block when it is dropped.
        let _dropped = thread::Builder::new().spawn(move || drop(report));
    }
    let is_over = !stuck && services.end(if is_late { LEAVE / 10 } else { LEAVE });
    if is_over {
        return ExitCode::from(code);
    }
    if !is_late {
        say("something that no service waited for still runs; the process ends without it");
    }
    exit(code)
}

/// On standard error, if that can be done soon: it may be a pipe that nobody reads, or be
/// held by who is stuck.
fn say(what: impl Display + Send + 'static) {
    let (tell, said) = mpsc::channel();
    let saying = thread::Builder::new().name("desist-report".into()).spawn(move || {
        let _ = writeln!(io::stderr(), "{what}");
        let _ = tell.send(());
        drop(what);
    });
    if saying.is_ok() {
        let _ = said.recv_timeout(PATIENCE);
    }
}

fn exit_by(signal: Signal) -> ! {
    exit(signal.exit_code())
}

/// The end, also where what runs at an exit is stuck.
fn exit(code: u8) -> ! {
    let _watched = thread::Builder::new().name("desist-exit".into()).spawn(|| {
        thread::sleep(PATIENCE);
        kill();
    });
    process::exit(code.into());
}

/// What nothing in the process can hold up.
fn kill() {
    #[cfg(unix)]
    let _killed =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    #[cfg(not(unix))]
    process::abort();
}
