//! A standard error that takes nothing, and work that nobody waited for.

use std::future::pending;
use std::process::{Command, Stdio};
use std::time::Duration;

use desist_host::HostBuilder;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::program::{PATIENCE, Program};
use crate::{Polite, asked, busy};

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let deaf = |host: HostBuilder| {
        host.add("db", Polite("db"))
            .service("deaf", |_stop| pending::<()>())
            .grace(Duration::from_millis(200))
    };
    let host = match role {
        "deaf, and it is to be told" => deaf(host),
        "deaf, and it cannot be told" => {
            // Whoever writes to it is stuck.
            std::mem::forget(std::io::stderr().lock());
            deaf(host)
        }
        "slow to tell" => host.slow_after(Duration::ZERO).add("db", Polite("db")),
        "nobody hears the news" => host.on_news(|_| crate::blocked()).add("db", Polite("db")),
        #[cfg(target_os = "linux")]
        "no more threads" => host
            .add("db", Polite("db"))
            .service("poor", |stop| async move {
                let here = getrlimit(Resource::As);
                // As much as there is, and less than a stack more.
                let size = std::fs::read_to_string("/proc/self/statm").expect("linux");
                let pages: u64 = size.split(' ').next().unwrap().parse().unwrap();
                let most = pages * 4096 + (1 << 20);
                let few = Rlimit { current: Some(most), maximum: here.maximum };
                setrlimit(Resource::As, few).expect("less is always allowed");
                // Those that have ended leave their stacks, which the next ones take.
                let another = || std::thread::Builder::new().spawn(std::thread::park).is_ok();
                println!("another thread: {}", (0..100).all(|_| another()));
                asked("poor", &stop).await;
            })
            .add("web", Polite("web")),
        "orphans" => host.add("db", Polite("db")).service("parent", |stop| async move {
            tokio::task::spawn_blocking(|| busy());
            tokio::spawn(async { busy() });
            asked("parent", &stop).await;
        }),
        _ => return None,
    };
    Some(host)
}

/// Its end and code, when it has been asked once.
fn ends(mut program: Program, code: i32) {
    program.expect("the host is running");
    program.signal(Signal::TERM);
    let ended = program.end().with(code);
    ended.says(&["db is asked: shutdown, SIGTERM", "db cleans up", "the host is stopped"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_that_is_full_and_read_by_nobody_holds_nobody_up() {
    use std::io::Write;
    for (role, code) in [("deaf, and it is to be told", 2), ("slow to tell", 0)] {
        let (reads, writes) = rustix::pipe::pipe().expect("a pipe");
        let size = rustix::pipe::fcntl_getpipe_size(&writes).expect("it has one");
        let mut writes = std::fs::File::from(writes);
        writes.write_all(&vec![b'.'; size]).expect("it has room for that");
        ends(Program::start_with(role, |command| command.stderr(writes)), code);
        drop(reads);
    }
}

#[test]
fn a_standard_error_that_is_gone_holds_nobody_up() {
    for (role, code) in [("deaf, and it is to be told", 2), ("slow to tell", 0)] {
        // Nobody reads it any more.
        let (reads, writes) = rustix::pipe::pipe().expect("a pipe");
        drop(reads);
        ends(Program::start_with(role, |command| command.stderr(writes)), code);
        // There never was one.
        let closed = |command: &mut Command| {
            let mut shell = Command::new("sh");
            shell.args(["-c", r#"exec "$0" "$@" 2>&-"#]).arg(command.get_program());
            shell.args(command.get_args()).env(crate::ROLE, role);
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            *command = shell;
        };
        ends(
            Program::start_with(role, |command| {
                closed(command);
                command
            }),
            code,
        );
    }
}

#[test]
fn a_standard_error_that_is_held_holds_nobody_up() {
    ends(Program::start("deaf, and it cannot be told"), 2);
}

#[test]
fn one_that_never_hears_the_news_holds_nobody_up() {
    let mut program = Program::start("nobody hears the news");
    program.expect("db starts");
    program.expect("the host is running");
    program.signal(Signal::TERM);
    program.end().with(0).says(&["db is asked: shutdown, SIGTERM", "main has returned"]);
}

#[test]
#[cfg(target_os = "linux")]
fn where_no_thread_can_be_had_all_are_asked() {
    let mut program = Program::start("no more threads");
    program.expect("another thread: false");
    program.expect("the host is running");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    for name in ["web", "poor", "db"] {
        ended.says(&[&format!("{name} is asked: shutdown, SIGTERM")]);
    }
}

#[test]
fn what_no_service_waited_for_does_not_keep_the_process() {
    let mut program = Program::running("orphans");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    ended.says(&["parent is asked: shutdown, SIGTERM", "db cleans up"]);
    ended.never_says("main has returned");
    assert!(ended.took < PATIENCE / 10, "{ended:#?}");
    assert!(ended.complained.contains("something that no service waited for"), "{ended:#?}");
}
