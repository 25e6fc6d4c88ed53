//! A signal while services start.

use std::future::pending;
use std::time::Duration;

use desist_host::{BoxError, HostBuilder, Service, Stop};
use rustix::process::Signal;

use crate::program::Program;
use crate::{Polite, asked, busy};

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let start = match role {
        "start heeds its stop" => Start::Heeds,
        "start passes its stop on" => Start::Passes,
        "start is deaf" => Start::Deaf,
        "start blocks" => Start::Blocks,
        _ => return None,
    };
    let host = host.shutdown_timeout(Duration::from_secs(3)).add("db", Polite("db"));
    let host = host.add("cache", start).grace(Duration::from_millis(300));
    Some(host.add("web", Polite("web")))
}

enum Start {
    /// Makes do without.
    Heeds,
    /// With `?`.
    Passes,
    Deaf,
    Blocks,
}

impl Service for Start {
    async fn start(&mut self, stop: &Stop) -> Result<(), BoxError> {
        println!("cache starts");
        match self {
            Self::Heeds => asked("cache", stop).await,
            Self::Passes => {
                asked("cache", stop).await;
                stop.check()?;
            }
            Self::Deaf => pending().await,
            Self::Blocks => busy(),
        }
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        println!("cache runs");
        Ok(stop.check()?)
    }
}

#[test]
fn a_signal_during_a_start_stops_what_has_started_and_starts_nothing_else() {
    let roles = [
        ("start heeds its stop", 0, ""),
        ("start passes its stop on", 0, ""),
        ("start is deaf", 2, "aborted, asked for "),
        ("start blocks", 2, "still running, asked for "),
    ];
    let programs = roles.map(|(role, code, how)| (Program::start(role), role, code, how));
    for (mut program, role, code, how) in programs {
        program.expect("cache starts");
        program.signal(Signal::TERM);
        let ended = program.end().with(code);
        ended.never_says("web");
        ended.never_says("the host is running");
        ended.says(&["db is asked: shutdown, SIGTERM", "db cleans up", "the host is stopped"]);
        if code == 0 {
            ended.is_silent();
            ended.says(&["cache is asked: shutdown, SIGTERM", "db is asked: shutdown, SIGTERM"]);
        } else {
            ended.reports("cache", how);
            ended.reports("db", "stopped");
            ended.reports("web", "never started");
            ended.never_says("cache runs");
        }
        if role == "start passes its stop on" {
            ended.never_says("cache runs");
        }
    }
}
