//! Two signals: somebody has asked, and does not want to wait.

use std::future::pending;
use std::process::ExitCode;
use std::time::Duration;

use desist_host::{Host, HostBuilder};
use rustix::process::Signal;

use crate::program::{Ended, Program};
use crate::{Polite, busy, runtime, word};

/// Nobody would wait so long.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let host = host.shutdown_timeout(LONG);
    let deaf = |host: HostBuilder, name| host.service(name, |_stop| async { busy() }).grace(LONG);
    let host = match role {
        "takes its time" => host
            .add("db", Polite("db"))
            .service("slow", |stop| async move {
                stop.draining().await;
                println!("slow drains");
                pending::<()>().await;
            })
            .drain_for(LONG)
            .grace(LONG),
        "one fails, one is deaf" => deaf(host, "deaf").service("fails", |stop| async move {
            stop.token().await;
            Err("no disk")
        }),
        "all are deaf" => deaf(deaf(host, "one"), "two"),
        // It is blocked only when all have started.
        "the only worker" => host
            .runtime(runtime())
            .add("db", Polite("db"))
            .grace(LONG)
            .service("deaf", |_stop| async {
                word().await;
                println!("the worker is blocked");
                busy()
            })
            .grace(LONG),
        _ => return None,
    };
    Some(host)
}

/// More than one host in a program, one after the other, or something after them.
pub(crate) fn several(role: &str) -> Option<ExitCode> {
    let first = || {
        let job = |_stop| async {
            println!("the job waits");
            word().await;
        };
        Host::builder().service("job", job).main()
    };
    match role {
        "two hosts" => {
            assert_eq!(first(), ExitCode::SUCCESS);
            Some(crate::telling().add("db", Polite("db")).main())
        }
        "a host, and then nothing" => {
            assert_eq!(first(), ExitCode::SUCCESS);
            println!("the host is over");
            loop {
                std::thread::park();
            }
        }
        _ => None,
    }
}

#[track_caller]
fn is_forced(ended: &Ended, code: i32, name: &str) {
    let verdict = ended.verdict();
    let end = format!("exit code {code}: forced by a second {name}");
    assert!(verdict.ends_with(&end), "{verdict}");
}

#[test]
fn a_second_signal_ends_it_with_its_code() {
    let pairs = [
        (Signal::TERM, Signal::TERM, 143, "SIGTERM"),
        (Signal::TERM, Signal::INT, 130, "SIGINT"),
        (Signal::INT, Signal::INT, 130, "SIGINT"),
        (Signal::INT, Signal::QUIT, 131, "SIGQUIT"),
        (Signal::QUIT, Signal::TERM, 143, "SIGTERM"),
    ];
    for (first, second, code, name) in pairs {
        let mut program = Program::running("takes its time");
        program.signal(first);
        program.expect("slow drains");
        program.signal(second);
        let ended = program.end().with(code);
        is_forced(&ended, code, name);
        ended.reports("slow", "aborted, asked for ");
    }
}

#[test]
fn a_second_signal_ends_it_though_everybody_is_deaf() {
    for (second, code, name) in [(Signal::TERM, 143, "SIGTERM"), (Signal::INT, 130, "SIGINT")] {
        let mut program = Program::running("all are deaf");
        program.signal(Signal::TERM);
        program.expect("the host is stopping");
        program.signal(second);
        let ended = program.end().with(code);
        is_forced(&ended, code, name);
        ended.reports("one", "still running, asked for ");
        ended.reports("two", "still running, asked for ");
    }
}

#[test]
fn a_second_signal_ends_it_though_the_only_worker_is_blocked() {
    let mut program = Program::running("the only worker");
    program.word();
    program.expect("the worker is blocked");
    program.signal(Signal::INT);
    program.expect("the host is stopping");
    program.signal(Signal::QUIT);
    let ended = program.end().with(131);
    is_forced(&ended, 131, "SIGQUIT");
    ended.reports("deaf", "still running, asked for ");
}

#[test]
fn forced_comes_before_failed_in_the_exit_code() {
    let mut program = Program::running("one fails, one is deaf");
    program.signal(Signal::TERM);
    program.expect("`fails` failed");
    program.signal(Signal::TERM);
    let ended = program.end().with(143);
    ended.reports("fails", "no disk");
    ended.reports("deaf", "still running, asked for ");
}

#[test]
fn two_signals_at_once_are_two() {
    for _ in 0..10 {
        let mut program = Program::running("takes its time");
        program.signal(Signal::TERM);
        program.signal(Signal::INT);
        let ended = program.end();
        // Which of them is the first is not ours.
        let (code, name) = match ended.code {
            Some(143) => (143, "SIGTERM"),
            _ => (130, "SIGINT"),
        };
        let ended = ended.with(code);
        is_forced(&ended, code, name);
        assert!(ended.verdict().contains(": shutdown (SIG"), "{ended:#?}");
        ended.never_says("nothing");
    }
}

#[test]
fn a_second_host_is_stopped_by_its_first_signal_and_forced_by_its_second() {
    let mut program = Program::start("two hosts");
    program.expect("the job waits");
    program.word();
    program.expect("the host is running");
    program.signal(Signal::TERM);
    program.end().with(0).says(&["db is asked: shutdown, SIGTERM", "db cleans up"]);
}

/// The program goes on, and nobody is there to hear: the second one ends it.
#[test]
fn after_the_host_a_second_signal_ends_the_process() {
    let mut program = Program::start("a host, and then nothing");
    program.expect("the job waits");
    program.word();
    program.expect("the host is over");
    program.signal(Signal::TERM);
    program.end_by_another(Signal::TERM).with(143);
}
