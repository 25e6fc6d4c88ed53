//! Foreign code in odd places: it never runs on the thread that keeps the bounds.

use std::error::Error;
use std::fmt;
use std::thread;
use std::time::Duration;

use desist::{Cause, Reason};
use desist_host::{BoxError, HostBuilder, OnEnd, OnFailure, Restart, Service, Stop};
use rustix::process::Signal;

use crate::program::{PATIENCE, Program};
use crate::{Polite, asked, blocked, word};

const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    if role == "a cause without words" {
        let host = host.shutdown_timeout(TIMEOUT);
        let handle = host.handle();
        let host = host.service("asks", |stop| async move {
            word().await;
            let cause = Cause::new(Reason::LeaseLost);
            handle.stop_with(cause.detail(Box::new(Speechless) as Box<_>));
            stop.token().await;
        });
        let host = host.slow_after(Duration::ZERO);
        return Some(host.on_report(|report| println!("reported: {}", report.exit_code())));
    }
    if role.starts_with("dropped: ") {
        return dropped(role, host.shutdown_timeout(TIMEOUT));
    }
    let host = host.shutdown_timeout(TIMEOUT).add("db", Polite("db"));
    let host = match role {
        "spawns when asked" => host.service("spawns", |stop| async move {
            let (tell, told) = tokio::sync::oneshot::channel();
            stop.token()
                .on_cancel(|_| {
                    // It has a runtime, with all that belongs to one.
                    tokio::spawn(async {
                        let listens = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                        let name = thread::current().name().unwrap_or_default().to_owned();
                        let _ = tell.send((listens.is_ok(), name));
                    });
                })
                .detach();
            asked("spawns", &stop).await;
            let (listens, name) = told.await.expect("it was spawned");
            println!("listens: {listens}, on main: {}", name == "main");
        }),
        "blocks when asked, in a task" => host.service("spawns", |stop| async move {
            stop.token().on_cancel(|_| drop(tokio::spawn(async { blocked() }))).detach();
            asked("spawns", &stop).await;
        }),
        "its late error blocks" => host
            // Whoever hears the news holds the end up for a moment, in which the error comes.
            .on_news(|_| blocked())
            .service("late", |stop| async move {
                stop.token().await;
                thread::sleep(TIMEOUT + Duration::from_millis(200));
                Err::<(), _>(BlocksWhenDropped)
            }),
        "its drop blocks" => host.add("kept", Kept).grace(Duration::from_millis(200)),
        "held, and reported" => host
            .service("holds", |stop| async move {
                std::mem::forget(std::io::stderr().lock());
                asked("holds", &stop).await;
                Err("no disk")
            })
            .on_report(|report| println!("reported: {}", report.exit_code())),
        "on_report blocks" => host.on_report(|_| blocked()),
        _ => return None,
    };
    Some(host)
}

/// Where something blocks when it is dropped, and the host ends by itself.
fn dropped(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let handle = host.handle();
    let cause = |detail: Box<dyn Error + Send + Sync>| Cause::new(Reason::LeaseLost).detail(detail);
    let waits = |stop: Stop| async move { stop.token().await };
    Some(match role {
        "dropped: an error that is ignored" => host
            .service("ends", |_stop| async { word().await })
            .service("fails", |_stop| async { Err::<(), _>(BlocksWhenDropped) })
            .on_failure(OnFailure::Ignore),
        "dropped: a callback that was not called" => host.service("ends", |stop| async move {
            let held = BlocksWhenDropped;
            stop.token().on_cancel(move |_| drop(held)).detach();
        }),
        "dropped: a callback of an earlier life" => host
            .restartable("fails", |stop| async move {
                let held = BlocksWhenDropped;
                stop.token().on_cancel(move |_| drop(held)).detach();
                Err::<(), _>("no")
            })
            .on_failure(Restart::default().limit(3).first_pause(Duration::from_millis(20))),
        "dropped: the detail of the cause" => {
            handle.stop_with(cause(Box::new(BlocksWhenDropped)));
            host.service("waits", waits)
        }
        "dropped: never, but its words block" => {
            handle.stop_with(cause(Box::new(Endless)));
            host.service("waits", waits)
        }
        "dropped: the value of one that is over" => host
            .add("over", Over)
            .on_failure(Restart::default())
            .on_end(OnEnd::Ignore)
            .service("ends", |_stop| async { word().await }),
        _ => return None,
    })
}

/// It is over at once, and may be started again, as far as anybody says.
struct Over;

impl Service for Over {
    async fn run(&mut self, _stop: Stop) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        blocked();
    }
}

#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        blocked()
    }
}

impl Error for Endless {}

#[derive(Debug)]
struct BlocksWhenDropped;

impl Drop for BlocksWhenDropped {
    fn drop(&mut self) {
        blocked();
    }
}

impl fmt::Display for BlocksWhenDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("late")
    }
}

impl Error for BlocksWhenDropped {}

#[derive(Debug)]
struct Speechless;

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl Error for Speechless {}

/// Never gone.
struct Kept;

impl Service for Kept {
    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked("kept", &stop).await;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        blocked();
    }
}

fn stopped(role: &str) -> crate::program::Ended {
    let mut program = Program::running(role);
    program.signal(Signal::TERM);
    program.end()
}

#[test]
fn a_callback_may_spawn_and_is_on_the_runtime_of_the_services() {
    let ended = stopped("spawns when asked").with(0);
    ended.says(&["listens: true, on main: false", "db cleans up", "main has returned"]);
}

#[test]
fn what_a_callback_spawns_blocks_no_end() {
    let ended = stopped("blocks when asked, in a task").with(0);
    ended.says(&["spawns is asked: shutdown, SIGTERM", "db cleans up"]);
    assert!(ended.took < PATIENCE / 10, "{ended:#?}");
}

#[test]
fn an_error_that_comes_late_and_blocks_when_it_is_dropped_holds_nobody_up() {
    let mut program = Program::running("its late error blocks");
    program.signal(Signal::TERM);
    let ended = program.end();
    assert!(ended.took < PATIENCE / 2, "{ended:#?}");
    ended.reports("late", "still running");
}

/// The value of a service goes with it, before whoever it needs is asked.
#[test]
fn a_service_whose_drop_blocks_is_named() {
    let ended = stopped("its drop blocks").with(2);
    ended.reports("kept", "still running, asked for ");
    ended.says(&["kept is asked: shutdown, SIGTERM", "db cleans up"]);
}

#[test]
fn a_cause_whose_words_panic_costs_no_report() {
    let mut program = Program::running("a cause without words");
    program.word();
    let ended = program.end().with(0);
    ended.says(&["reported: 0"]);
    let first = ended.verdict();
    assert!(first.contains("lease lost (a detail whose words panic)"), "{ended:#?}");
    ended.reports("asks", "stopped");
}

#[test]
fn a_standard_error_that_is_held_costs_no_report_to_the_program() {
    stopped("held, and reported").with(1).says(&["reported: 1"]);
}

#[test]
fn a_report_that_is_not_taken_holds_nobody_up() {
    let ended = stopped("on_report blocks").with(0);
    assert!(ended.took < PATIENCE / 5, "{ended:#?}");
}

#[test]
fn whatever_blocks_when_it_is_dropped_holds_no_end_up() {
    for (role, code) in [
        ("dropped: an error that is ignored", 0),
        ("dropped: a callback that was not called", 0),
        ("dropped: a callback of an earlier life", 1),
        ("dropped: the detail of the cause", 0),
        ("dropped: never, but its words block", 0),
        ("dropped: the value of one that is over", 2),
    ] {
        let mut program = Program::start(role);
        program.word();
        let ended = program.end().with(code);
        assert!(ended.took < PATIENCE / 3, "{role}: {ended:#?}");
    }
}
