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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use desist_tokio::Signals;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::driver::{self, Driver, Heard, PATIENCE, Tell};
use crate::host::{Host, OnReport};
use crate::outcome::Outcome;
use crate::report::Report;
use crate::table::plain;

/// How long what is left on the runtime has to go, after a clean stop.
const LEAVE: Duration = Duration::from_millis(500);

/// As far as anybody sees.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// As the main thread has by default.
const STACK: usize = 8 << 20;

/// How many are in `main` and have not returned.
static HOSTS: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Self {
        // Ordering: Relaxed: whoever looks is told of a signal long after.
        HOSTS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Ordering: Release, with the Acquire of whoever would end the process.
        HOSTS.fetch_sub(1, Ordering::Release);
    }
}

/// There is nothing to run.
pub(crate) fn refuse(error: &dyn Display) -> ExitCode {
    let said = format!("the host cannot begin: {error}");
    let _ = writeln!(io::stderr(), "{}", plain(&said));
    ExitCode::from(1)
}

pub(crate) fn main(host: Host) -> ExitCode {
    if Handle::try_current().is_ok() {
        return refuse(
            &"`main` builds a runtime, and is called inside of one; call it from a plain \
              `fn main`, or `run().await` here",
        );
    }
    let counted = Counted::new();
    let has_returned = Arc::new(AtomicBool::new(false));
    let returns = Arc::clone(&has_returned);
    match catch_unwind(AssertUnwindSafe(|| run(host, has_returned).map(Ended::leave))) {
        Ok(Ok(code)) => {
            drop(counted);
            // Ordering: Release, with the Acquire of whoever would end the process.
            returns.store(true, Ordering::Release);
            code
        }
        Ok(Err(error)) => {
            refuse(&format!("{error}; look at the limits of the process (ulimit -a)"))
        }
        // It has been said by the hook. What runs cannot be stopped in order any more.
        Err(_panic) => exit(1),
    }
}

fn run(mut host: Host, has_returned: Arc<AtomicBool>) -> io::Result<Ended> {
    // While there are threads to be had.
    let mouth = Mouth::open()?;
    let slow_after = host.slow_after;
    let on_report = host.on_report.take();
    let on_report = match on_report {
        Some(on_report) => Some((on_report, Mouth::open()?)),
        None => None,
    };
    let services = Services::begin(host.runtime.take())?;
    let runtime =
        Builder::new_current_thread().enable_time().thread_keep_alive(FOR_EVER).build()?;
    let report = runtime.block_on(async {
        // That stays: who hears the news is waited for on it at the end, when there may be no
        // other to be had.
        let _ready = spawn_blocking(|| ()).await;
        #[cfg(target_os = "linux")]
        let told = crate::systemd::listener().into_iter().collect();
        #[cfg(not(target_os = "linux"))]
        let told = Vec::new();
        let driver = Driver::new(host.into_crew(told), &services.handle);
        let tell = driver.tell();
        let stop = listen(driver.tell(), has_returned)?;
        let _asked = stop.token().on_cancel(move |cancelled| driver::stop(&tell, cancelled));
        Ok::<_, io::Error>(driver.drive().await)
    });
    // Who hears the news may still be waited for on its thread.
    runtime.shutdown_background();
    Ok(Ended { report: report?, services, mouth, slow_after, on_report })
}

/// A host that is over.
struct Ended {
    report: Report,
    services: Services,
    mouth: Mouth,
    slow_after: Duration,
    on_report: Option<(OnReport, Mouth)>,
}

impl Ended {
    fn leave(self) -> ExitCode {
        let Self { report, services, mouth, slow_after, on_report } = self;
        let code = report.exit_code();
        let stuck = report.services().iter().any(|s| s.outcome() == Outcome::StillRunning);
        let is_late = report.stragglers().next().is_some() || report.forced_by().is_some();
        let is_said = code != 0 || report.stopped_in() >= slow_after;
        // What is in it is foreign, and may block when it is dropped: so every hold of it is
        // let go by such a thread, and the last one here.
        let report = Arc::new(report);
        let printed = Arc::clone(&report);
        let said = mouth.say(move || {
            if is_said {
                let _ = writeln!(io::stderr(), "{printed}");
            }
            drop(printed);
        });
        let told = on_report.map(|(on_report, another)| {
            let told = Arc::clone(&report);
            another.say(move || {
                on_report(&told);
                drop(told);
            })
        });
        let gone = mouth.say(move || drop(report));
        let until = Instant::now() + PATIENCE;
        let all = [Some(said), told, Some(gone)];
        let is_heard = all.into_iter().flatten().all(|said| said.until(until));
        let is_over = !stuck && services.end(if is_late { LEAVE / 10 } else { LEAVE });
        if is_over {
            return ExitCode::from(code);
        }
        if !is_late && is_heard {
            let said = mouth.say(|| {
                let said = "something that no service waited for still runs; \
                            the process ends without it";
                let _ = writeln!(io::stderr(), "{said}");
            });
            said.until(Instant::now() + PATIENCE);
        }
        exit(code)
    }
}

fn listen(tell: Tell, has_returned: Arc<AtomicBool>) -> io::Result<desist_tokio::Stop> {
    Signals::new()
        .with_quit()
        .drain_for(Duration::ZERO)
        .on_second(move |signal| {
            if tell.send(Heard::Force(signal)).is_err() {
                // It is over. Another one of this process may hear the signal, and one that
                // is on its way out is soon gone; else nobody would.
                // Ordering: Acquire, with the Release of `main`, as below; of the count it
                // only matters whether there is another.
                if has_returned.load(Ordering::Acquire) && HOSTS.load(Ordering::Acquire) == 0 {
                    exit(signal.exit_code());
                }
                return;
            }
            // The report and all that comes before the end have their bounds.
            thread::sleep(PATIENCE * 4);
            // Ordering: Acquire, with the Release of `main`: what returned there is seen.
            if !has_returned.load(Ordering::Acquire) {
                exit(signal.exit_code());
            }
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

/// What is said at the end, by a thread that is there from the beginning. It is waited for
/// only so long: standard error may be a pipe that nobody reads, or be held by who is stuck.
struct Mouth {
    tell: mpsc::Sender<Words>,
}

type Words = (Box<dyn FnOnce() + Send>, mpsc::Sender<()>);

impl Mouth {
    fn open() -> io::Result<Self> {
        let (tell, told) = mpsc::channel::<Words>();
        thread::Builder::new().name("desist-report".into()).spawn(move || {
            for (say, said) in told {
                // One whose words panic has been heard by the hook.
                let _ = catch_unwind(AssertUnwindSafe(say));
                let _ = said.send(());
            }
        })?;
        Ok(Self { tell })
    }

    fn say(&self, say: impl FnOnce() + Send + 'static) -> Said {
        let (said, is_said) = mpsc::channel();
        // The thread is there as long as this is.
        let _ = self.tell.send((Box::new(say), said));
        Said(is_said)
    }
}

struct Said(mpsc::Receiver<()>);

impl Said {
    /// Whether it was, by then.
    fn until(&self, until: Instant) -> bool {
        self.0.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
    }
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
