//! A service whose work is started, watched and stopped on one page.
//!
//! `cargo run`, and open the address that it prints. Close the page, press Stop, or
//! press Ctrl-C here: the work ends where it is safe, and the log says who asked, why,
//! how soon that was heard and how soon it had stopped.
#![forbid(unsafe_code)]

mod answer;
mod asker;
mod http;
mod log;
mod mediator;
mod numbers;
mod routes;
mod uploads;
mod work;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use desist_host::{Host, News};

use self::http::Http;
use self::uploads::Shelf;

fn main() -> ExitCode {
    let host = Host::builder();
    let shelf = Shelf::default();
    let http = Http::new(host.health(), shelf.clone());
    host.add("http", http)
        // Work is told a second after a Ctrl-C, and the second Ctrl-C ends it at once.
        .drain_for(Duration::from_secs(1))
        .restartable("sweeper", |stop| uploads::sweep(shelf, stop))
        .after("http")
        .on_news(|news| match news {
            News::Starting { .. } | News::Started { .. } => {}
            _ => say(news),
        })
        // Here the report is what is to be seen.
        .slow_after(Duration::ZERO)
        .main()
}

/// To the terminal, as long as there is one.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "showcase: {what}");
}
