//! A service whose work is started, watched and stopped on one page.
//!
//! `cargo run`, and open the address that it prints. Close the page, press Stop, or
//! press Ctrl-C here: the work ends where it is safe, and the log says who asked, why,
//! how soon that was heard and how soon it had stopped.
//!
//! To be read from here: `services` are what the [`Host`] starts and stops; `http` among them
//! serves what `web` takes in, and asks the `mediator`, which has those of `work` do it;
//! `operations` outlive their requests; `data` is what all of it is about.
#![forbid(unsafe_code)]

mod config;
mod data;
mod log;
mod mediator;
mod operations;
mod services;
mod slot;
mod terminal;
mod uploads;
mod web;
mod work;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use desist_host::{Host, News, Phase, Restart};

use self::config::Config;
use self::operations::sweep_exports;
use self::services::{
    Backend, Connection, Database, House, Http, OnPostgres, OnSqlite, consume, index, run,
};

fn main() -> ExitCode {
    let config = Config::parsed();
    let code = match config.database.clone() {
        None => serve(config, OnSqlite),
        Some(address) => serve(config, OnPostgres { address }),
    };
    terminal::finish();
    code
}

fn serve<B: Backend>(config: Config, backend: B) -> ExitCode {
    let house = House::new(config);
    let [works, indexes, sweeps, consumes] = [0; 4].map(|_| house.clone());
    let exports = house.config.exports();
    let mut host = Host::builder().add("database", Database::new(backend, house.clone()));
    let mut before_http = vec!["database"];
    if let Some(address) = house.config.nats.clone() {
        host = host
            .add("nats", Connection::new(house.clone(), address))
            .after_nobody()
            .restartable("queue", move |stop| consume(consumes.clone(), stop))
            .after("database")
            .after("nats")
            // Nobody else needs it: a server that is away, or without its stream, ends nothing.
            .on_failure(Restart::default().limit(u32::MAX))
            .drain_for(Duration::from_secs(2));
        before_http.push("nats");
    }
    host = host
        .service("operations", |stop| run(works, stop))
        .after("database")
        .drain_for(Duration::from_secs(1))
        // More than those take to be given up which are deaf: then they are named.
        .grace(Duration::from_secs(12))
        .restartable("indexer", |stop| index(indexes, stop))
        .after("database")
        .on_failure(Restart::default())
        .restartable("exports", |stop| sweep_exports(exports, stop))
        .after("database");
    let http = Http::new(house, host.handle(), host.health());
    host = host.add("http", http);
    for service in before_http {
        host = host.after(service);
    }
    host
        // Work is told a second after a Ctrl-C, and the second Ctrl-C ends it at once.
        .drain_for(Duration::from_secs(1))
        .grace(Duration::from_secs(8))
        .restartable("sweeper", |stop| uploads::sweep(sweeps.shelf, stop))
        .after("http")
        .on_news(|news| match news {
            News::Starting { .. } | News::Started { .. } => {}
            News::Phase(Phase::Stopped) => {
                say(news);
                // The report comes next, and not by this way.
                terminal::flush();
            }
            _ => say(news),
        })
        // Here the report is what is to be seen.
        .slow_after(Duration::ZERO)
        .main()
}

fn say(what: impl Display) {
    terminal::print_line(format_args!("showcase: {what}"));
}
