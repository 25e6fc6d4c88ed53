//! Services that do not hear: the process ends all the same, and names them.

use std::future::pending;
use std::time::Duration;

use desist_host::{BoxError, HostBuilder, OnEnd, Service, Stop};
use rustix::process::Signal;

use crate::program::{Ended, Program};
use crate::{Polite, asked, blocked, busy, runtime};

/// Of all; the deaf one has less, so that there is time for the others.
const TIMEOUT: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_millis(300);

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let host = host.add("db", Polite("db"));
    if role == "all deaf" {
        let host = host.shutdown_timeout(Duration::from_secs(1));
        let host = host.service("one", |_stop| pending::<()>());
        return Some(host.service("two", |_stop| async { busy() }).add("web", Polite("web")));
    }
    let first = || host.shutdown_timeout(TIMEOUT);
    let last = |host: HostBuilder| host.grace(GRACE).add("web", Polite("web"));
    let host = match role {
        "deaf: blocking" => last(
            first().service("deaf", |_stop| async { tokio::task::spawn_blocking(|| busy()).await }),
        ),
        "deaf: only worker" => last(
            first()
                .runtime(runtime())
                // Its task, too, is behind the one that blocks.
                .restartable("over", |_stop| async {})
                .on_end(OnEnd::Ignore)
                // So that all have started, and nobody can be heard of any more.
                .service("deaf", |_stop| async {
                    tokio::spawn(async {
                        crate::word().await;
                        println!("the worker is blocked");
                        busy()
                    });
                    pending::<()>().await;
                }),
        ),
        "deaf: worker" => last(first().service("deaf", |_stop| async { busy() })),
        "deaf: pending" => last(first().service("deaf", |_stop| pending::<()>())),
        "deaf: callback" => last(first().service("deaf", |stop| async move {
            stop.token()
                .on_cancel(|_| {
                    println!("the callback blocks");
                    blocked();
                })
                .detach();
            pending::<()>().await;
        })),
        // It heeds its stop besides, and nobody waits for the callback.
        "callback" => last(first().service("deaf", |stop| async move {
            stop.token().on_cancel(|_| blocked()).detach();
            asked("deaf", &stop).await;
        })),
        "deaf: drop" => last(first().service("deaf", |_stop| async {
            let _stuck = Stuck;
            pending::<()>().await;
        })),
        // It stops, and is stuck on its way out.
        "deaf: late drop" => last(first().service("deaf", |stop| async move {
            let _stuck = Stuck;
            asked("deaf", &stop).await;
        })),
        "deaf: cleanup" => last(first().add("deaf", NoEnd)),
        _ => return None,
    };
    Some(host)
}

struct Stuck;

impl Drop for Stuck {
    fn drop(&mut self) {
        blocked();
    }
}

struct NoEnd;

impl Service for NoEnd {
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked("deaf", &stop).await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        pending().await
    }
}

#[track_caller]
fn names_the_deaf(ended: &Ended, how: &str) {
    let verdict = ended.verdict();
    assert!(
        verdict.ends_with("shutdown (SIGTERM); exit code 2: `deaf` did not stop when asked"),
        "{verdict}"
    );
    let row = ended.row("deaf");
    let asked_for = row.split_once("asked for ").unwrap_or_else(|| panic!("{row}")).1;
    assert!(row.contains(how), "{how:?} in {row}");
    assert!(span(asked_for) >= GRACE && span(asked_for) < TIMEOUT, "{row}");
}

/// As the report has it.
fn span(words: &str) -> Duration {
    let mut words = words.split([' ', ',']);
    let number: f64 = words.next().and_then(|number| number.parse().ok()).expect(" a number");
    let unit = if words.next() == Some("ms") { 1e-3 } else { 1.0 };
    Duration::from_secs_f64(number * unit)
}

#[test]
fn one_that_does_not_stop_is_named_and_the_others_stop_in_order() {
    let roles = [
        ("deaf: blocking", "aborted"),
        ("deaf: worker", "still running"),
        ("deaf: pending", "aborted"),
        ("deaf: callback", "aborted"),
        ("deaf: drop", "still running"),
        ("deaf: late drop", "still running"),
        ("deaf: cleanup", "stopped, its cleanup was aborted, asked for"),
    ];
    let programs = roles.map(|(role, how)| (Program::start(role), how));
    for (mut program, how) in programs {
        program.expect("the host is running");
        program.signal(Signal::TERM);
        let ended = program.end().with(2);
        names_the_deaf(&ended, how);
        ended.says(&[
            "web is asked: shutdown, SIGTERM",
            "web cleans up",
            "db is asked: shutdown, SIGTERM",
            "db cleans up",
            "the host is stopped",
        ]);
        ended.reports("db", "stopped");
        ended.reports("web", "stopped");
    }
}

#[test]
fn a_blocked_runtime_with_one_worker_ends_within_its_bounds() {
    let mut program = Program::running("deaf: only worker");
    program.word();
    program.expect("the worker is blocked");
    program.signal(Signal::TERM);
    let ended = program.end().with(2);
    assert!(ended.took < TIMEOUT + Duration::from_secs(2), "{ended:#?}");
    for name in ["db", "deaf", "web"] {
        ended.reports(name, "still running, asked for ");
    }
    ended.never_says("cleans up");
    ended.reports("over", "finished");
}

#[test]
fn a_callback_that_blocks_holds_up_nobody_who_heeds_its_stop() {
    let mut program = Program::running("callback");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    ended.says(&["deaf is asked: shutdown, SIGTERM", "db cleans up", "main has returned"]);
    ended.is_silent();
}

#[test]
fn the_whole_time_bounds_all_whatever_each_has() {
    let mut program = Program::running("all deaf");
    program.signal(Signal::TERM);
    let ended = program.end().with(2);
    // Each alone has 5 s.
    assert!(ended.took < Duration::from_secs(4), "{ended:#?}");
    ended.reports("one", "aborted, asked for ");
    ended.reports("two", "still running, asked for ");
    ended.says(&["web cleans up", "db is asked: shutdown, SIGTERM", "db cleans up"]);
    let verdict = ended.verdict();
    assert!(verdict.contains("`one`") && verdict.contains("`two`"), "{verdict}");
    assert!(!verdict.contains("`db`") && !verdict.contains("`web`"), "{verdict}");
}
