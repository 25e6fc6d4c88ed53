//! The host rows: from SIGTERM until a process with 100 idle services has ended, as its
//! parent sees it, beside peers in the same run.
//!
//!   host                      all of it
//!   host --quick              fewer rounds: shows that it works
//!   host --check              fails where ours takes longer than anybody would wait
//!   host --check --handicap   the same with a service that takes its time: it must fail
//!   host --idle NAME          what is stopped: `ours`, ..; says `ready`, and waits
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use desist_host::{Host, News, Phase};
use tokio::signal::unix::{SignalKind, signal};
use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const SERVICES: usize = 100;

/// In milliseconds, of the median: far from what it takes.
const MOST: f64 = 50.0;

/// Ours first. Each as the command line names it, and as it is printed.
const ENTRIES: &[(&str, &str)] = &[
    ("ours", "desist-host, side by side"),
    ("chain", "desist-host, one after the other"),
    ("tokio", "tokio with a token and a tracker"),
    ("subsystems", "tokio-graceful-shutdown"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let ["--idle", entry] = args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return idle(entry);
    }
    if args.iter().any(|arg| !["--quick", "--check", "--handicap"].contains(&arg.as_str())) {
        eprintln!("usage: host [--quick] [--check] [--handicap] | host --idle NAME");
        return ExitCode::from(2);
    }
    let has = |arg: &str| args.iter().any(|had| had == arg);
    let rounds = if has("--quick") { 10 } else { 30 };
    // Again where it looks too slow: the machine may have been busy.
    for _ in 0..3 {
        let medians = measure(rounds, has("--handicap"));
        if !has("--check") || medians.iter().all(|median| *median <= MOST) {
            return ExitCode::SUCCESS;
        }
    }
    eprintln!("host: an idle host takes far longer to stop than it is to take ({MOST} ms)");
    ExitCode::FAILURE
}

// What is stopped.

fn idle(entry: &str) -> ExitCode {
    match entry {
        "ours" => host(true, Duration::ZERO),
        "late" => host(true, Duration::from_millis(100)),
        "chain" => host(false, Duration::ZERO),
        "tokio" => by_hand(),
        "subsystems" => subsystems(),
        _ => {
            eprintln!("host: there is no {entry}; take one of {ENTRIES:?}");
            ExitCode::from(2)
        }
    }
}

/// Of services that are asked at once, or each when the one after it is over.
fn host(at_once: bool, late: Duration) -> ExitCode {
    let mut host = Host::builder();
    for number in 0..SERVICES {
        host = host.service(format!("service {number}"), move |stop| async move {
            stop.token().await;
            if !late.is_zero() {
                tokio::time::sleep(late).await;
            }
        });
        if at_once {
            host = host.after_nobody();
        }
    }
    host.on_news(|news| {
        if matches!(news, News::Phase(Phase::Running)) {
            println!("ready");
        }
    })
    .main()
}

/// As it is written without a frame: no order, no bound, no second signal, no report.
#[tokio::main]
async fn by_hand() -> ExitCode {
    let mut terminate = signal(SignalKind::terminate()).expect("a signal that can be heard");
    let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
    for _ in 0..SERVICES {
        let token = token.clone();
        tracker.spawn(async move { token.cancelled().await });
    }
    println!("ready");
    terminate.recv().await;
    token.cancel();
    tracker.close();
    tracker.wait().await;
    ExitCode::SUCCESS
}

#[tokio::main]
async fn subsystems() -> ExitCode {
    let all = async |all: &mut SubsystemHandle| {
        for number in 0..SERVICES {
            let one = async |one: &mut SubsystemHandle| {
                one.on_shutdown_requested().await;
                Ok::<(), std::io::Error>(())
            };
            all.start(SubsystemBuilder::new(format!("service {number}"), one));
        }
        println!("ready");
        all.on_shutdown_requested().await;
    };
    let stopped = Toplevel::new(all).catch_signals();
    let stopped = stopped.handle_shutdown_requests(Duration::from_secs(30)).await;
    if stopped.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// How long that takes.

/// The medians of ours.
fn measure(rounds: usize, is_handicapped: bool) -> Vec<f64> {
    let mut took = vec![Vec::new(); ENTRIES.len()];
    for round in 0..rounds {
        // Each is the first in turn.
        for place in 0..ENTRIES.len() {
            let entry = (round + place) % ENTRIES.len();
            let name = ENTRIES[entry].0;
            took[entry].push(stop(if is_handicapped && name == "ours" { "late" } else { name }));
        }
    }
    println!("SIGTERM to the exit of a process with {SERVICES} idle services, ms, {rounds} rounds");
    println!("  {:<34} {:>8} {:>8} {:>8} {:>9}", "", "median", "min", "p99", "to desist");
    let mut medians = Vec::new();
    for ((_, title), own) in ENTRIES.iter().zip(&took) {
        let mut ratios: Vec<_> = own.iter().zip(&took[0]).map(|(own, first)| own / first).collect();
        let mut own = own.clone();
        println!(
            "  {title:<34} {:>8.2} {:>8.2} {:>8.2} {:>9.2}",
            percentile(&mut own, 0.5),
            percentile(&mut own, 0.0),
            percentile(&mut own, 0.99),
            percentile(&mut ratios, 0.5),
        );
        if title.starts_with("desist") {
            medians.push(percentile(&mut own, 0.5));
        }
    }
    medians
}

/// One of them, from its SIGTERM until it is reaped.
fn stop(entry: &str) -> f64 {
    let mut child = start(entry);
    // It has come to rest.
    std::thread::sleep(Duration::from_millis(20));
    let id = i32::try_from(child.id()).expect("an id is small");
    let begin = Instant::now();
    // SAFETY: a call without memory; the child is not reaped yet, so the id is its own.
    assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0, "it is there");
    let ended = child.wait().expect("it ends");
    let took = begin.elapsed().as_secs_f64() * 1e3;
    assert!(ended.success(), "{entry}: {ended}");
    took
}

/// All of it runs.
fn start(entry: &str) -> Child {
    let program = std::env::current_exe().expect("the path of this program");
    let mut child = Command::new(program);
    child.args(["--idle", entry]).stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    stdout.read_line(&mut said).expect("it speaks");
    assert_eq!(said, "ready\n", "{entry}");
    child
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}
