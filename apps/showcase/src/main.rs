//! A service whose work is started, watched and stopped on one page.
//!
//! `cargo run`, and open the address that it prints. Close the page, press Stop, or
//! press Ctrl-C here: the work ends where it is safe, and the log says who asked, why,
//! how soon that was heard and how soon it had stopped.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // It is a program with a terminal.

mod log;
mod page;
mod uploads;
mod work;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use desist_http::serve;
use desist_tokio::Signals;
use tokio::net::TcpListener;

use self::log::Log;
use self::uploads::Folder;
use self::work::Uploads;

#[tokio::main]
async fn main() -> ExitCode {
    let listener = match listener().await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("showcase: no address to listen on: {error}; set PORT to a free one");
            return ExitCode::FAILURE;
        }
    };
    // Until the server has stopped.
    let folder = match Folder::create() {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("showcase: no folder for uploads: {error}; set TMPDIR to one for such");
            return ExitCode::FAILURE;
        }
    };
    match listener.local_addr() {
        Ok(addr) => println!("showcase: http://{addr}"),
        Err(error) => eprintln!("showcase: listening, but not known where: {error}"),
    }
    // Work is told a second after a Ctrl-C, and the second Ctrl-C ends it at once.
    let stop = match Signals::new().drain_for(Duration::from_secs(1)).listen() {
        Ok(stop) => stop,
        Err(error) => {
            eprintln!("showcase: Ctrl-C cannot be heard: {error}; look at the limits (ulimit -a)");
            return ExitCode::FAILURE;
        }
    };
    let log = Log::new();
    let closing = log.clone();
    let _closes = stop.draining().on_cancel(move |_| closing.close());
    let app = app(log, folder.path()).into_make_service_with_connect_info::<SocketAddr>();
    let report = serve(listener, app).until(&stop).await;
    println!("showcase: {report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// On PORT, if it is set, else on 3000, and if somebody is there, anywhere.
async fn listener() -> io::Result<TcpListener> {
    if let Ok(port) = std::env::var("PORT") {
        let port = port.parse::<u16>().map_err(io::Error::other)?;
        return TcpListener::bind(("127.0.0.1", port)).await;
    }
    match TcpListener::bind("127.0.0.1:3000").await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind("127.0.0.1:0").await
        }
        bound => bound,
    }
}

fn app(log: Log, folder: &Path) -> Router {
    let uploads = Uploads { log: log.clone(), folder: folder.into() };
    Router::new()
        .route("/", get(page::page))
        .route("/log", get(log::events))
        .route("/longrunningtask", get(work::long_running_task))
        .route("/upload", post(work::upload).with_state(uploads))
        .route("/download", get(work::download))
        .route("/events", get(work::events))
        .route("/primes", get(work::primes))
        .with_state(log)
}
