//! Hosts that own a real process, and real signals: this program again, as a child.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // The child says what it does.

mod deaf;
mod failures;
mod forced;
mod foreign;
mod program;
mod starts;
mod stops;
mod streams;
#[cfg(target_os = "linux")]
mod systemd;

use std::io::BufRead;
use std::process::ExitCode;

use desist_host::{BoxError, Host, HostBuilder, News, Service, Stop};
use tokio::sync::Semaphore;

use crate::program::ROLE;

#[test]
fn the_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // Whoever started it is gone: so is this.
    std::thread::spawn(|| {
        for _word in std::io::stdin().lock().lines().map_while(Result::ok) {
            WORDS.add_permits(1);
        }
        std::process::exit(99);
    });
    // The harness has left a line unfinished.
    println!();
    let code = exit_code(run(&role));
    println!("main has returned");
    std::process::exit(code.into());
}

fn run(role: &str) -> ExitCode {
    if let Some(code) = failures::no_host(role).or_else(|| forced::several(role)) {
        return code;
    }
    let roles = [
        deaf::role as fn(&str, HostBuilder) -> Option<HostBuilder>,
        failures::role,
        forced::role,
        foreign::role,
        starts::role,
        stops::role,
        streams::role,
        #[cfg(target_os = "linux")]
        systemd::role,
    ];
    let mut hosts = roles.iter().filter_map(|of| of(role, telling()));
    hosts.next().unwrap_or_else(|| panic!("no such role: {role}")).main()
}

/// Says how far it is.
fn telling() -> HostBuilder {
    Host::builder().on_news(|news| match news {
        News::Phase(_) => println!("{news}"),
        News::Failed { service, .. } => println!("`{service}` failed"),
        _ => {}
    })
}

/// It tells nobody else which it is.
fn exit_code(code: ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == code).expect("it is one of them")
}

/// What the test has said.
static WORDS: Semaphore = Semaphore::const_new(0);

/// Waits for a word of the test.
async fn word() {
    WORDS.acquire().await.expect("it is never closed").forget();
}

fn runtime() -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all();
    runtime
}

/// Says whatever becomes of it, and stops when it is asked.
struct Polite(&'static str);

impl Service for Polite {
    async fn start(&mut self, _stop: &Stop) -> Result<(), BoxError> {
        println!("{} starts", self.0);
        Ok(())
    }

    async fn run(&mut self, stop: Stop) -> Result<(), BoxError> {
        asked(self.0, &stop).await;
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), BoxError> {
        println!("{} cleans up", self.0);
        Ok(())
    }
}

/// Waits until it is asked to stop, and says by whom.
async fn asked(name: &str, stop: &Stop) {
    let cancelled = stop.token().await;
    let detail = cancelled.detail().map_or("nothing".to_owned(), ToString::to_string);
    println!("{name} is asked: {}, {detail}", cancelled.reason());
}

/// A loop that never ends, and lets others have the processor.
fn busy() -> ! {
    loop {
        std::thread::yield_now();
    }
}

/// A thread that never goes on.
fn blocked() -> ! {
    loop {
        std::thread::park();
    }
}
