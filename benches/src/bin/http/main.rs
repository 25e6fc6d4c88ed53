//! The http rows: `desist_http::serve` beside `axum::serve`, in turn, on one CPU, with
//! the clients on another; and how soon a handler hears that its client is gone.
//!
//!   http                      all of it
//!   http --quick              fewer rounds: shows that it works
//!   http --serve ours|axum N  answers N requests on one connection: for callgrind
//!
//! With `--features observed` what is counted and told is compiled in, and nobody is there.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod hearing;
mod load;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{get, post};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_stream::StreamExt;

use self::hearing::hearing;
use self::load::{KEPT, download, latency, round_trip, throughput, upload};

/// The size of an answer that is large.
const DOWNLOAD: usize = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    Ours,
    Axum,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => measure(41, Duration::from_millis(250), 2_000),
        ["--quick"] => measure(5, Duration::from_millis(50), 50),
        ["--serve", server, requests] => {
            let server = if server == "ours" { Server::Ours } else { Server::Axum };
            answer(server, requests.parse().expect("a number of requests"));
        }
        _ => {
            eprintln!("usage: http [--quick | --serve ours|axum REQUESTS]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn app() -> Router {
    let large = Bytes::from(vec![b'x'; DOWNLOAD]);
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/download", get(|| async { large }))
        .route("/upload", post(take))
}

/// Reads all of it.
async fn take(request: Request) -> &'static str {
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        piece.expect("it comes");
    }
    "hello"
}

/// Serves on a thread of its own, on the first CPU, until the process ends.
fn start(server: Server) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        desist_benches::pin(0);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address")).expect("somebody asks");
            match server {
                Server::Ours => _ = desist_http::serve(listener, app()).await,
                Server::Axum => axum::serve(listener, app()).await.expect("it does not end"),
            }
        });
    });
    told.recv().expect("it serves")
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// The median and, by order statistics, the interval that holds it in 95 of 100.
fn median(ratios: &mut [f64]) -> String {
    ratios.sort_by(f64::total_cmp);
    let (count, half) = (ratios.len() as f64, ratios.len() / 2);
    let reach = (0.98 * count.sqrt()).ceil() as usize;
    let (low, high) = (half.saturating_sub(reach), (half + reach).min(ratios.len() - 1));
    format!("{:.3} ({:.3} to {:.3}, {} rounds)", ratios[half], ratios[low], ratios[high], count)
}

/// Ours and axum's in turn: our figures over theirs, and our median. Now and then it
/// starts with new ones, for where a server's memory lies is worth some hundredths.
async fn beside(rounds: usize, mut figure: impl AsyncFnMut(SocketAddr) -> f64) -> (String, f64) {
    let (mut ratios, mut figures) = (Vec::new(), Vec::new());
    let (mut ours, mut axum) = (start(Server::Ours), start(Server::Axum));
    for round in 0..rounds {
        if round > 0 && round % rounds.div_ceil(7) == 0 {
            (ours, axum) = (start(Server::Ours), start(Server::Axum));
        }
        // Each is the first in turn.
        let (own, peer) = if round % 2 == 0 {
            let own = figure(ours).await;
            (own, figure(axum).await)
        } else {
            let peer = figure(axum).await;
            (figure(ours).await, peer)
        };
        ratios.push(own / peer);
        figures.push(own);
    }
    (median(&mut ratios), percentile(&mut figures, 0.5))
}

fn measure(rounds: usize, slice: Duration, goes: usize) {
    let local = tokio::task::LocalSet::new();
    desist_benches::pin(1);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(local.run_until(async {
        let kept = async |addr| throughput(addr, true, slice).await;
        let (ratio, rate) = beside(rounds, kept).await;
        println!("throughput, keep-alive: {ratio} of axum::serve, aim ≥ 0.97 ({rate:.0}/s)");
        // So short that most see no stall of the machine, which would be their p99.
        let at_load = async |addr| latency(addr, rate * 0.6, slice / 8).await;
        let (ratio, took) = beside(rounds * 8, at_load).await;
        println!("p99 at 60 % load: {ratio} of axum::serve, aim ≤ 1.05 ({took:.0} µs)");
        let once = async |addr| throughput(addr, false, slice).await;
        let (ratio, rate) = beside(rounds, once).await;
        println!(
            "throughput, one request per connection: {ratio} of axum::serve, aim ≥ 0.97 ({rate:.0}/s)"
        );
        let (ratio, rate) = beside(rounds, async |addr| upload(addr, slice).await).await;
        println!("upload: {ratio} of axum::serve ({rate:.0} MB/s)");
        let (ratio, rate) = beside(rounds, async |addr| download(addr, slice).await).await;
        println!("download: {ratio} of axum::serve ({rate:.0} MB/s)");
    }));
    hearing(goes);
}

/// On one thread, so that instructions can be counted.
fn answer(server: Server, requests: u32) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        match server {
            Server::Ours => {
                drop(tokio::spawn(async move { _ = desist_http::serve(listener, app()).await }))
            }
            Server::Axum => {
                drop(tokio::spawn(async move { _ = axum::serve(listener, app()).await }))
            }
        }
        let mut stream = TcpStream::connect(addr).await.expect("it accepts");
        let mut read = Vec::new();
        for _ in 0..requests {
            round_trip(&mut stream, KEPT, &mut read).await;
        }
    });
}
