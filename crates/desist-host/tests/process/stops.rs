//! Stops as they should be.

use std::time::Duration;

use desist_host::{BoxError, HostBuilder, HostHandle, Phase, Service, Stop};
use rustix::process::{Signal, getpid, kill_process};

use crate::program::Program;
use crate::{Polite, asked, word};

const HUNDRED: usize = 100;

pub(crate) fn role(role: &str, host: HostBuilder) -> Option<HostBuilder> {
    let host = match role {
        "polite" => host.add("a", Polite("a")).add("b", Polite("b")).add("c", Polite("c")),
        "slow" | "slow and told" => {
            let slow_after = if role == "slow" { Duration::MAX } else { Duration::ZERO };
            host.slow_after(slow_after)
                .add("db", Polite("db"))
                .service("slow", |stop| async move {
                    stop.draining().await;
                    println!("slow drains");
                    word().await;
                    println!("slow is done");
                })
                .drain_for(Duration::from_secs(20))
        }
        "late, and drains" | "late, and does not drain" => {
            let (drains, handle) = (role == "late, and drains", host.handle());
            host.add("late", Late { drains, handle })
        }
        "drain delay" | "long drain delay" => {
            let delay = if role == "drain delay" { DELAY } else { Duration::from_secs(20) };
            let handle = host.handle();
            #[cfg(feature = "health")]
            let health = host.health();
            host.drain_delay(delay).service("web", |stop| async move {
                handle.reached(Phase::Unready).await;
                let is_ready = handle.phase().is_ready();
                #[cfg(feature = "health")]
                let is_ready = is_ready || health.is_ready();
                let is_asked = stop.is_cancelled() || stop.draining().is_cancelled();
                println!("web is ready: {is_ready}, asked: {is_asked}");
                asked("web", &stop).await;
            })
            // It has looked, and has nothing to drain.
            .drain_for(Duration::ZERO)
        }
        "hundred" => (0..HUNDRED).fold(host, |host, number| {
            let handle = host.handle();
            host.service(format!("service {number}"), move |stop| async move {
                stop.token().await;
                println!("asked, and the host is ready: {}", handle.phase().is_ready());
            })
        }),
        _ => return None,
    };
    Some(host)
}

/// It is asked before its work is polled.
struct Late {
    drains: bool,
    handle: HostHandle,
}

impl Service for Late {
    fn run(&mut self, stop: Stop) -> impl Future<Output = Result<(), BoxError>> + Send {
        kill_process(getpid(), Signal::TERM).expect("it can be sent");
        while !self.handle.phase().is_stopping() {
            std::thread::yield_now();
        }
        let drains = self.drains;
        async move {
            if drains {
                stop.draining().await;
                println!("late drains, asked to stop: {}", stop.is_cancelled());
            } else {
                asked("late", &stop).await;
            }
            Ok(())
        }
    }
}

const DELAY: Duration = Duration::from_millis(600);

#[test]
fn one_signal_stops_in_reverse_order_and_says_nothing() {
    for (signal, name) in
        [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::QUIT, "SIGQUIT")]
    {
        let mut program = Program::running("polite");
        program.signal(signal);
        let ended = program.end().with(0);
        ended.is_silent();
        ended.says(&[
            "a starts",
            "b starts",
            "c starts",
            &format!("c is asked: shutdown, {name}"),
            "c cleans up",
            &format!("b is asked: shutdown, {name}"),
            "b cleans up",
            &format!("a is asked: shutdown, {name}"),
            "a cleans up",
            "main has returned",
        ]);
    }
}

#[test]
fn a_service_that_drains_has_its_time() {
    for role in ["slow", "slow and told"] {
        let mut program = Program::running(role);
        program.signal(Signal::TERM);
        program.expect("slow drains");
        program.word();
        let ended = program.end().with(0);
        ended.says(&["slow is done", "db is asked: shutdown, SIGTERM", "main has returned"]);
        if role == "slow" {
            ended.is_silent();
        } else {
            let verdict = ended.verdict();
            assert!(verdict.ends_with(": shutdown (SIGTERM); a clean stop"), "{verdict}");
            ended.reports("slow", "stopped, drained for ");
            ended.reports("db", "stopped");
        }
    }
}

#[test]
fn a_service_that_has_just_begun_drains_if_it_looks() {
    for (role, says) in [
        ("late, and drains", "late drains, asked to stop: false"),
        ("late, and does not drain", "late is asked: shutdown, SIGTERM"),
    ] {
        // With a time to drain it would take longer than that.
        Program::start(role).end().with(0).says(&[says]);
    }
}

#[test]
fn a_host_serves_on_for_its_drain_delay() {
    let mut program = Program::running("drain delay");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    ended.says(&["web is ready: false, asked: false", "web is asked: shutdown, SIGTERM"]);
    ended.says(&["the host is unready", "the host is stopping", "the host is stopped"]);
    assert!(ended.took >= DELAY, "{ended:?}");
    ended.is_silent();
}

#[test]
fn a_second_signal_cuts_the_drain_delay_short() {
    let mut program = Program::running("long drain delay");
    program.signal(Signal::TERM);
    program.expect("web is ready: false, asked: false");
    program.signal(Signal::INT);
    let ended = program.end().with(130);
    ended.says(&["web is asked: shutdown, SIGTERM"]);
    let verdict = ended.verdict();
    assert!(verdict.ends_with("exit code 130: forced by a second SIGINT"), "{verdict}");
}

#[test]
fn a_hundred_services_that_obey_are_soon_gone() {
    let mut program = Program::running("hundred");
    program.signal(Signal::TERM);
    let ended = program.end().with(0);
    println!("{HUNDRED} services, from the signal to the exit: {:?}", ended.took);
    assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    ended.never_says("is ready: true");
    ended.is_silent();
}
