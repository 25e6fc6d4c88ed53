//! What fails, and how the program says so.

use std::process::ExitCode;
use std::time::Duration;

use desist_host::{BoxError, Host, HostBuilder, OnFailure, Service, Stop};
use rustix::process::Signal;

use crate::program::Program;
use crate::{Polite, asked, runtime, word};

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let first = || host.add("db", Polite("db"));
    let host = match role {
        "panics" => first()
            .service("job", |_stop| async {
                word().await;
                panic!("no disk {}", 7)
            })
            .add("web", Polite("web")),
        "fails" => first()
            .service("job", |_stop| async {
                word().await;
                Err("no\ndisk")
            })
            .add("web", Polite("web")),
        "fails and is ignored" => first()
            .service("job", |_stop| async {
                println!("job fails");
                Err("no disk")
            })
            .on_failure(OnFailure::Ignore),
        "cleanups fail" => {
            first().add("one", Untidy("one")).add("two", Untidy("two")).add("web", Polite("web"))
        }
        "start fails" => first().add("cache", NoStart { panics: false }).add("web", Polite("web")),
        "start panics" => first().add("cache", NoStart { panics: true }).add("web", Polite("web")),
        "panics when asked" => first()
            .service("job", |stop| async move {
                asked("job", &stop).await;
                panic!("on the way out")
            })
            .add("web", Polite("web")),
        // The one is a failure, and the other one does not stop.
        "fails, and another is deaf" => first()
            .service("deaf", |_stop| std::future::pending::<()>())
            .grace(Duration::from_millis(200))
            .add("one", Untidy("one")),
        _ => return None,
    };
    Some(host)
}

/// There is nothing to run in them.
pub(crate) fn no_host(role: &str) -> Option<ExitCode> {
    let host = || Host::builder().add("a", Polite("a"));
    match role {
        "inside" => {
            let runtime = runtime().build().expect("a runtime");
            Some(runtime.block_on(async { host().main() }))
        }
        "two of a name" => Some(host().add("a", Polite("a")).main()),
        "none" => Some(Host::builder().main()),
        _ => None,
    }
}

struct Untidy(&'static str);

impl Service for Untidy {
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked(self.0, &stop).await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        println!("{} cleans up", self.0);
        Err(format!("{} is still dirty", self.0).into())
    }
}

struct NoStart {
    panics: bool,
}

impl Service for NoStart {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        println!("cache starts");
        assert!(!self.panics, "no memory");
        Err("no memory".into())
    }

    async fn run(&mut self, _stop: Stop) -> Result<(), BoxError> {
        println!("cache runs");
        Ok(())
    }
}

#[test]
fn a_panic_is_reported_with_its_message_and_its_place() {
    let mut program = Program::running("panics");
    program.word();
    let ended = program.end().with(1);
    let place = concat!(file!(), ":");
    ended.reports("job", "panicked: no disk 7 (");
    ended.reports("job", place);
    let cause = "shutdown, service `job` failed: panicked: no disk 7 (";
    for name in ["web", "db"] {
        assert!(
            ended.said.iter().any(|said| said.starts_with(&format!("{name} is asked: {cause}"))),
            "{ended:#?}"
        );
    }
    ended.says(&["web cleans up", "db cleans up", "main has returned"]);
    assert!(ended.verdict().ends_with("exit code 1: `job` failed"), "{ended:#?}");
}

#[test]
fn an_error_stops_the_host_and_each_of_its_lines_is_one_of_the_report() {
    let mut program = Program::running("fails");
    program.word();
    let ended = program.end().with(1);
    ended.reports("job", "failed\n    no\n    disk");
    ended.says(&["web cleans up", "db cleans up", "main has returned"]);
    let lines: Vec<_> = ended.complained.lines().collect();
    assert_eq!(lines.len(), 7, "a verdict, heads, three services, two lines: {ended:#?}");
    assert!(lines[0].contains("(service `job` failed);"), "{lines:#?}");
}

#[test]
fn a_failure_that_is_ignored_is_not_in_the_code() {
    let mut program = Program::running("fails and is ignored");
    program.expect("job fails");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    ended.says(&["db is asked: shutdown, SIGTERM", "db cleans up"]);
    ended.is_silent();
}

#[test]
fn every_cleanup_runs_though_others_fail() {
    let mut program = Program::running("cleanups fail");
    program.signal(Signal::TERM);
    let ended = program.end().with(1);
    ended.says(&["web cleans up", "two cleans up", "one cleans up", "db cleans up"]);
    ended.reports("one", "its cleanup failed: one is still dirty");
    ended.reports("two", "its cleanup failed: two is still dirty");
    assert!(ended.verdict().ends_with("exit code 1: `one`, `two` failed"), "{ended:#?}");
}

#[test]
fn a_start_that_fails_stops_those_before_it_and_starts_nobody_after_it() {
    for role in ["start fails", "start panics"] {
        let ended = Program::start(role).end().with(1);
        ended.never_says("web");
        ended.never_says("cache runs");
        ended.never_says("the host is running");
        ended.says(&["db starts", "cache starts", "db cleans up", "main has returned"]);
        ended.reports("cache", "no memory");
        ended.reports("web", "never started");
        ended.reports("db", "stopped");
    }
}

#[test]
fn a_panic_after_the_signal_is_a_failure_too() {
    let mut program = Program::running("panics when asked");
    program.signal(Signal::TERM);
    let ended = program.end().with(1);
    ended.says(&["web cleans up", "job is asked: shutdown, SIGTERM", "db cleans up"]);
    ended.reports("job", "panicked: on the way out (");
    assert!(ended.verdict().contains(": shutdown (SIGTERM); exit code 1"), "{ended:#?}");
}

#[test]
fn a_failure_comes_before_one_that_does_not_stop() {
    let mut program = Program::running("fails, and another is deaf");
    program.signal(Signal::TERM);
    let ended = program.end().with(1);
    ended.reports("deaf", "aborted, asked for ");
    ended.reports("one", "one is still dirty");
    ended.says(&["one cleans up", "db cleans up"]);
}

#[test]
fn where_there_is_nothing_to_run_it_is_said() {
    let inside = Program::start("inside").end().with(1);
    assert!(inside.complained.starts_with("the host cannot begin: "), "{inside:#?}");
    assert!(inside.complained.contains("plain `fn main`"), "{inside:#?}");
    assert!(inside.complained.contains("`run().await`"), "{inside:#?}");
    inside.never_says("a starts");
    let twice = Program::start("two of a name").end().with(1);
    assert!(twice.complained.contains("there are two services `a`"), "{twice:#?}");
    let none = Program::start("none").end().with(1);
    assert!(none.complained.contains("a host without services"), "{none:#?}");
}
