//! The frame of a service: order, restarts, readiness, and an end that nobody can hold up.
//! Every line that this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 09-host`; with `-- serve` at the end it is the
//! program that it tries itself: press Ctrl-C once, or twice.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use desist::Reason;
use desist_host::{BoxError, Host, HostBuilder, News, Outcome, Phase, Restart, Service, Stop};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => prove(),
        Some("serve") => program().main(),
        Some(_) => {
            eprintln!("give it no argument to see its proof, or `serve` to try it by hand");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn prove() -> ExitCode {
    order().await;
    a_restart().await;
    readiness().await;
    who_is_deaf().await;
    a_program();
    ExitCode::SUCCESS
}

fn proved(what: &str, how: impl Display) {
    println!("{what:<22}{how}");
}

/// What a service says of itself, in the order in which it happens.
type Said = Arc<Mutex<Vec<String>>>;

/// A service with a start and a cleanup of its own.
struct Part {
    name: &'static str,
    said: Said,
}

impl Part {
    fn says(&self, what: &str) {
        self.said.lock().expect("nobody panics").push(format!("{what} {}", self.name));
    }
}

impl Service for Part {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        self.says("+");
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        let cancelled = stop.token().cancelled().await;
        assert_eq!(cancelled.reason(), Reason::Shutdown);
        Ok(())
    }

    /// Whoever needs it is over by now.
    async fn stop(&mut self) -> Result<(), BoxError> {
        self.says("-");
        Ok(())
    }
}

/// Started in order, stopped in reverse: each when all that need it are over.
async fn order() {
    let said = Said::default();
    let part = |name| Part { name, said: Arc::clone(&said) };
    let builder = Host::builder();
    let handle = builder.handle();
    let host = builder
        // It is added before those that it needs.
        .add("http", part("http"))
        .after("cache")
        .after("db")
        .add("db", part("db"))
        .after_nobody()
        .add("cache", part("cache"))
        .after("db");
    let asks = async {
        assert_eq!(handle.reached(Phase::Running).await, Phase::Running);
        assert!(handle.stop());
    };
    let (report, ()) = tokio::join!(host.run(), asks);
    assert!(report.is_clean(), "{report}");
    let said = said.lock().expect("nobody panics").join(", ");
    assert_eq!(said, "+ db, + cache, + http, - http, - cache, - db");
    proved("order", said);
}

/// Twice it fails, and is started again after a pause, and after a longer one.
async fn a_restart() {
    let runs = Arc::new(AtomicU32::new(0));
    let (tell, told) = mpsc::channel();
    let report = Host::builder()
        .restartable("poller", move |_stop| async move {
            // Ordering: the runs come one after the other.
            match runs.fetch_add(1, Ordering::Relaxed) {
                0 => Err("the peer is not there"),
                1 => Err("the peer speaks another language"),
                _ => Ok(()),
            }
        })
        .on_failure(Restart::default().first_pause(Duration::from_millis(20)))
        .on_news(move |news| {
            if let News::Resting { pause, .. } = news {
                tell.send(*pause).expect("somebody listens");
            }
        })
        .run()
        .await;
    assert!(report.is_clean(), "{report}");
    let poller = report.service("poller").expect("it was added");
    assert_eq!((poller.outcome(), poller.restarts()), (Outcome::Finished, 2));
    assert_eq!(poller.failures()[0].to_string(), "the peer is not there");
    assert!(poller.failures()[1].to_string().contains("another language"));
    let pauses: Vec<_> = told.iter().collect();
    assert_eq!(pauses.len(), 2);
    assert!(pauses[0] < pauses[1]);
    proved(
        "a restart",
        format_args!(
            "it failed twice, pauses of {:.0?} and {:.0?}, then it ended well",
            pauses[0], pauses[1]
        ),
    );
}

/// How long others go on sending requests to who is not ready any more.
const SENT_HERE: Duration = Duration::from_millis(500);

/// Nobody is sent any more to who will soon be gone; who comes all the same is served.
async fn readiness() {
    let builder = Host::builder();
    let (handle, health) = (builder.handle(), builder.health());
    let (seen_by_service, is_ready) = (builder.health(), Arc::new(Mutex::new(None)));
    let seen = Arc::clone(&is_ready);
    let host = builder
        .service("http", move |stop| async move {
            stop.draining().await;
            *seen.lock().expect("nobody panics") = Some(seen_by_service.is_ready());
        })
        .drain_delay(SENT_HERE);
    assert!(!health.is_ready(), "it has not begun");
    let asks = async {
        handle.reached(Phase::Running).await;
        assert!(health.is_ready());
        handle.stop();
        assert_eq!(handle.reached(Phase::Unready).await, Phase::Unready);
        // So the load balancer has its time.
        assert!(!health.is_ready());
        assert_eq!(*is_ready.lock().expect("nobody panics"), None, "it serves on");
    };
    let (report, ()) = tokio::join!(host.run(), asks);
    assert!(report.is_clean(), "{report}");
    assert_eq!(*is_ready.lock().expect("nobody panics"), Some(false));
    assert!(report.stopped_in() >= SENT_HERE);
    proved(
        "readiness",
        "off at once; it served on for half a second, and was asked to drain only then",
    );
}

/// One that never looks at its stop is dropped, and named.
async fn who_is_deaf() {
    let builder = Host::builder();
    let handle = builder.handle();
    let host = builder
        .service("db", |stop| async move { _ = stop.token().await })
        .service("deaf", |_stop| std::future::pending::<()>())
        .grace(Duration::from_millis(50));
    let asks = async {
        handle.reached(Phase::Running).await;
        handle.stop()
    };
    let (report, _asked) = tokio::join!(host.run(), asks);
    let deaf: Vec<_> = report.stragglers().map(|service| service.name()).collect();
    assert_eq!(deaf, ["deaf"]);
    assert_eq!(report.service("deaf").expect("it was added").outcome(), Outcome::Aborted);
    assert_eq!(report.service("db").expect("it was added").outcome(), Outcome::Stopped);
    assert_eq!(report.exit_code(), 2);
    let said = report.to_string();
    let first = said.lines().next().expect("it has a line");
    assert!(first.ends_with("exit code 2: `deaf` did not stop when asked"), "{said}");
    proved("who is deaf", first);
}

/// A whole program, of which one service cannot be stopped at all: it blocks its thread.
fn program() -> HostBuilder {
    Host::builder()
        .service("db", |stop| async move { _ = stop.token().await })
        .service("stuck", |_stop| async { thread::sleep(Duration::from_secs(3600)) })
        .grace(Duration::from_millis(50))
        .on_news(|news| {
            if let News::Phase(_) = news {
                println!("{news}");
            }
        })
}

/// It ends all the same, with the right exit code, and says whose fault it was.
#[cfg(unix)]
fn a_program() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    use std::time::Instant;

    let program = std::env::current_exe().expect("the path of this program");
    let mut program = Command::new(program);
    program.arg("serve").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = lines.next().expect("it speaks").expect("it is text");
    assert_eq!(first, "the host is running");
    let began = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is there");
    let ended = child.wait().expect("it ends");
    let took = began.elapsed();
    let mut report = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut report).expect("it is text");
    assert_eq!(ended.code(), Some(2), "{report}");
    assert!(report.contains("(SIGTERM); exit code 2: `stuck` did not stop"), "{report}");
    assert!(report.contains("still running"), "{report}");
    proved("a program", format_args!("SIGTERM, and {took:.1?} later its last words:\n{report}"));
}

#[cfg(not(unix))]
fn a_program() {}
