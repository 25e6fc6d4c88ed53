//! The http rows: `desist_http::serve` beside `axum::serve`, in turn, on one CPU, with
//! the clients on another; and how soon a handler hears that its client is gone.
//!
//!   http                      all of it
//!   http --quick              fewer rounds: shows that it works
//!   http --serve ours|axum N  answers N requests on one connection: for callgrind
//!
//! With `--features observed` what is counted and told is compiled in, and nobody is there.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{any, get};
use desist_http::{RequestToken, Stopped};
use desist_tokio::StopSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

const CONNECTIONS: usize = 32;

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
    Router::new().route("/", get(|| async { "hello" }))
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

async fn round_trip(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    stream.write_all(request).await.expect("it is there");
    answer.clear();
    while !answer.ends_with(b"hello") {
        assert!(stream.read_buf(answer).await.expect("it answers") > 0);
    }
}

const KEPT: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
const CLOSED: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// Requests in a second, from so many connections at once, for so long.
async fn throughput(addr: SocketAddr, keep: bool, time: Duration) -> f64 {
    let end = Instant::now() + time;
    let begin = Instant::now();
    let clients = (0..CONNECTIONS).map(|_| {
        tokio::task::spawn_local(async move {
            let (mut answered, mut answer) = (0_u64, Vec::new());
            let mut kept = TcpStream::connect(addr).await.expect("it accepts");
            kept.set_nodelay(true).expect("it is a socket");
            while Instant::now() < end {
                if keep {
                    round_trip(&mut kept, KEPT, &mut answer).await;
                } else {
                    let mut once = TcpStream::connect(addr).await.expect("it accepts");
                    round_trip(&mut once, CLOSED, &mut answer).await;
                    // Otherwise the ports run out.
                    socket2::SockRef::from(&once).set_linger(Some(Duration::ZERO)).expect("so");
                }
                answered += 1;
            }
            answered
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("it does not panic");
    }
    answered as f64 / begin.elapsed().as_secs_f64()
}

/// The 99th percentile of the time to an answer, in µs, at a steady rate: from when each
/// request was due, whether or not the one before was answered by then.
async fn latency(addr: SocketAddr, rate: f64, time: Duration) -> f64 {
    let interval = Duration::from_secs_f64(CONNECTIONS as f64 / rate);
    let begin = Instant::now();
    let clients = (0..CONNECTIONS).map(|number| {
        tokio::task::spawn_local(async move {
            let mut stream = TcpStream::connect(addr).await.expect("it accepts");
            stream.set_nodelay(true).expect("it is a socket");
            let (mut took, mut answer) = (Vec::new(), Vec::new());
            let mut due = begin + interval.mul_f64(number as f64 / CONNECTIONS as f64);
            while due < begin + time {
                // A timer is too coarse for this.
                while Instant::now() < due {
                    tokio::task::yield_now().await;
                }
                round_trip(&mut stream, KEPT, &mut answer).await;
                took.push(due.elapsed().as_secs_f64() * 1e6);
                due += interval;
            }
            took
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.expect("it does not panic"));
    }
    percentile(&mut took, 0.99)
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

fn measure(rounds: usize, slice: Duration, goes: usize) {
    let (ours, axum) = (start(Server::Ours), start(Server::Axum));
    let local = tokio::task::LocalSet::new();
    desist_benches::pin(1);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(local.run_until(async {
        for (keep, what) in [(true, "keep-alive"), (false, "one request per connection")] {
            throughput(ours, keep, slice).await;
            throughput(axum, keep, slice).await;
            let (mut ratios, mut rates) = (Vec::new(), Vec::new());
            for round in 0..rounds {
                // Each is the first in turn.
                let (one, other) = if round % 2 == 0 { (ours, axum) } else { (axum, ours) };
                let (one, other) =
                    (throughput(one, keep, slice).await, throughput(other, keep, slice).await);
                let (own, peer) = if round % 2 == 0 { (one, other) } else { (other, one) };
                ratios.push(own / peer);
                rates.push(own);
            }
            let rate = percentile(&mut rates, 0.5);
            println!(
                "throughput, {what}: {} of axum::serve, aim ≥ 0.97 ({rate:.0}/s)",
                median(&mut ratios)
            );
            if keep {
                let mut ratios = Vec::new();
                // One stall of the machine must not be a hundredth of a slice.
                let (rounds, slice, load) = (rounds / 2 + 1, slice * 8, rate * 0.6);
                for round in 0..rounds {
                    let (one, other) = if round % 2 == 0 { (ours, axum) } else { (axum, ours) };
                    let (one, other) =
                        (latency(one, load, slice).await, latency(other, load, slice).await);
                    let (own, peer) = if round % 2 == 0 { (one, other) } else { (other, one) };
                    ratios.push(own / peer);
                }
                println!("p99 at 60 % load: {} of axum::serve, aim ≤ 1.05", median(&mut ratios));
            }
        }
    }));
    hearing(goes);
}

/// How soon a handler hears that its client is gone.
fn hearing(goes: usize) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
    runtime.block_on(async {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let begun = Arc::new(tokio::sync::Notify::new());
        let begins = Arc::clone(&begun);
        let app = Router::new().route(
            "/",
            any(move |token: RequestToken| {
                let (tell, begins) = (tell.clone(), Arc::clone(&begins));
                async move {
                    begins.notify_one();
                    let why = token.cancelled().await;
                    let _ = tell.send(Instant::now());
                    Err::<(), _>(Stopped::from(why))
                }
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = StopSource::new();
        let serves =
            tokio::spawn(desist_http::serve(listener, app).until(stop.stop()).into_future());
        let unread = |size: usize| {
            let mut request =
                format!("POST / HTTP/1.1\r\nhost: bench\r\ncontent-length: {size}\r\n\r\n")
                    .into_bytes();
            request.resize(request.len() + size, b'x');
            request
        };
        let pipelined = [KEPT, KEPT].concat();
        for (what, request) in [
            ("a plain GET", KEPT.to_vec()),
            ("behind 300 kB that nobody reads", unread(300_000)),
            ("with another request waiting", pipelined),
        ] {
            let mut took = Vec::new();
            for _ in 0..goes {
                let mut client = TcpStream::connect(addr).await.expect("it accepts");
                client.write_all(&request).await.expect("it takes it");
                begun.notified().await;
                let gone = Instant::now();
                drop(client);
                let heard = told.recv().await.expect("it says so");
                took.push(heard.saturating_duration_since(gone).as_secs_f64() * 1e3);
            }
            report(what, &mut took);
        }
        for (what, whole) in
            [("HTTP/2, a stream reset", false), ("HTTP/2, a connection closed", true)]
        {
            let mut took = Vec::new();
            for _ in 0..goes {
                let stream = TcpStream::connect(addr).await.expect("it accepts");
                // Else its own kernel holds the reset back, until what went before is heard.
                stream.set_nodelay(true).expect("it is a socket");
                let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
                let drives = tokio::spawn(async move { _ = connection.await });
                let mut requests = requests.ready().await.expect("it is there");
                let request = http::Request::builder()
                    .method("POST")
                    .uri("http://bench/")
                    .body(())
                    .expect("one");
                let (_answer, mut body) = requests.send_request(request, false).expect("it goes");
                body.send_data(bytes::Bytes::from(vec![b'x'; 300_000]), false).expect("it goes");
                begun.notified().await;
                let gone = Instant::now();
                if whole {
                    drives.abort();
                } else {
                    body.send_reset(h2::Reason::CANCEL);
                }
                let heard = told.recv().await.expect("it says so");
                took.push(heard.saturating_duration_since(gone).as_secs_f64() * 1e3);
                drives.abort();
            }
            report(what, &mut took);
        }
        stop.cancel();
        let _report = serves.await;
    });
}

fn report(what: &str, took: &mut [f64]) {
    let (half, most) = (percentile(took, 0.5), percentile(took, 0.99));
    println!("client gone, {what}: heard after {half:.3} ms, p99 {most:.3} ms, aim ≤ 5 ms");
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
