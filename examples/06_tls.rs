//! TLS by a listener of one's own, with everything that holds without it. Every line that
//! this prints was asserted first.
//!
//! `cargo run -p desist-examples --bin 06-tls`; with `-- serve` at the end it serves until
//! Ctrl-C, to be tried by hand. The listener is in `tls/listener.rs`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

mod tls;
mod trial;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Router, routing::get};
use desist_http::{RequestToken, Stopped, serve};
use desist_tokio::{StopSource, signals, sleep};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;

use self::tls::{TlsListener, self_signed, tcp_of};
use self::trial::{Curl, Failure, Folder, Heard, Log, Said, has_http2, proved, within};

async fn quick() -> String {
    "whole\n".repeat(50_000)
}

/// Whatever body it is sent, it does not read it.
async fn slow(State(log): State<Log>, token: RequestToken) -> Result<&'static str, Stopped> {
    log.says(Said::Begun);
    let slept = sleep(Duration::from_secs(20), &token).await;
    slept.inspect_err(|cancelled| log.stopped(cancelled))?;
    log.says(Said::Finished);
    Ok("20 seconds are over\n")
}

fn app(log: Log) -> Router {
    Router::new().route("/quick", get(quick)).route("/slow", get(slow).post(slow)).with_state(log)
}

async fn tls(
    is_by_hand: bool,
    config: &Arc<ServerConfig>,
    log: &Log,
) -> Result<(TlsListener, SocketAddr), Failure> {
    let tcp = trial::listen(is_by_hand).await?;
    let (addr, log) = (tcp.local_addr()?, log.clone());
    let listener = TlsListener::new(tcp, Arc::clone(config)).on_failure(move |peer, error| {
        log.says(Said::Failed(format!("the handshake with {peer}: {error}")));
    });
    Ok((listener, addr))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let is_by_hand = trial::is_by_hand()?;
    let (certificate, config) = self_signed()?;
    let folder = Folder::new("tls")?;
    fs::write(folder.path().join("certificate.pem"), certificate)?;
    fs::write(folder.path().join("body"), vec![b'b'; BODY])?;

    let (log, mut heard) = trial::log();
    let (listener, addr) = tls(is_by_hand, &config, &log).await?;
    let client = Client { folder: Arc::new(folder), addr };
    let stop = signals().child();
    let server =
        tokio::spawn(serve(listener, app(log)).tcp_of(tcp_of).until(stop.stop()).into_future());
    if is_by_hand {
        println!("try `curl --cacert {} https://{addr}/slow`,", client.path("certificate.pem"));
        println!("and Ctrl-C there, or here");
        heard.print().await;
        return trial::ended(&server.await?);
    }
    for version in versions().await? {
        an_answer(version, &client, &mut heard).await?;
        an_interrupt(version, &client, &mut heard).await?;
        a_body_that_nobody_reads(version, &client, &mut heard).await?;
    }
    no_handshake(&client, &mut heard).await?;
    limits(&client, &config).await?;
    a_drain(&client, &stop).await?;
    let report = server.await?;
    heard.nothing_more().await?;
    trial::ended(&report)
}

/// The versions of HTTP that this curl knows, by its own names.
async fn versions() -> Result<&'static [&'static str], Failure> {
    if has_http2().await? {
        return Ok(&["1.1", "2"]);
    }
    println!("this curl was built without HTTP/2, which is not tried therefore");
    Ok(&["1.1"])
}

const BODY: usize = 100_000;

#[derive(Clone)]
struct Client {
    folder: Arc<Folder>,
    addr: SocketAddr,
}

impl Client {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn to(&self, addr: SocketAddr) -> Self {
        Self { addr, ..self.clone() }
    }

    fn curl(&self, path: &str, options: &[&str]) -> Result<Curl, Failure> {
        let url = format!("https://{}{path}", self.addr);
        let args = ["--cacert", &self.path("certificate.pem"), &url];
        Ok(Curl::start(args.iter().chain(options))?)
    }
}

async fn an_answer(version: &str, client: &Client, heard: &mut Heard) -> Result<(), Failure> {
    let silent = TcpStream::connect(client.addr).await?;
    let options = [&*format!("--http{version}"), "--write-out", "%{http_version}"];
    let answer = client.curl("/quick", &options)?.answer().await?;
    assert_eq!(answer, quick().await + version);
    let addr = silent.local_addr()?.to_string();
    drop(silent);
    assert!(heard.failed().await?.contains(&addr), "its handshake was not over");
    proved(&format!("HTTP/{version}: an answer"), "came whole, beside a client that was silent");
    Ok(())
}

async fn an_interrupt(version: &str, client: &Client, heard: &mut Heard) -> Result<(), Failure> {
    let curl = client.curl("/slow", &[&format!("--http{version}")])?;
    heard.begun().await?;
    let interrupted = curl.interrupt().await?;
    let late = heard.disconnected(interrupted).await?;
    proved(
        &format!("HTTP/{version}: interrupted"),
        format_args!("heard `disconnected` {late:.1?} after the SIGINT"),
    );
    Ok(())
}

async fn a_body_that_nobody_reads(
    version: &str,
    client: &Client,
    heard: &mut Heard,
) -> Result<(), Failure> {
    let body = format!("@{}", client.path("body"));
    let options = ["--data-binary", &body, "--trace-ascii", "-", &format!("--http{version}")];
    let mut curl = client.curl("/slow", &options)?;
    heard.begun().await?;
    let mut sent = 0;
    let is_sent = |line: &str| {
        let bytes = line.strip_prefix("=> Send data, ").and_then(|line| line.split(' ').next());
        sent += bytes.and_then(|bytes| bytes.parse::<usize>().ok()).unwrap_or(0);
        sent >= BODY
    };
    curl.prints(is_sent).await?;
    let interrupted = curl.interrupt().await?;
    let late = heard.disconnected(interrupted).await?;
    proved(
        &format!("HTTP/{version}: with a body"),
        format_args!("of {BODY} bytes, sent and not read: heard it {late:.1?} after the SIGINT"),
    );
    Ok(())
}

async fn no_handshake(client: &Client, heard: &mut Heard) -> Result<(), Failure> {
    let mut plain = TcpStream::connect(client.addr).await?;
    plain.write_all(b"GET /quick HTTP/1.1\r\n\r\n").await?;
    assert!(heard.failed().await?.contains(&plain.local_addr()?.to_string()));
    assert_eq!(client.curl("/quick", &[])?.answer().await?, quick().await);
    proved("a client without TLS", "is told of and ends nothing");
    Ok(())
}

/// Of a server that allows one handshake at a time.
async fn limits(client: &Client, config: &Arc<ServerConfig>) -> Result<(), Failure> {
    let limit = Duration::from_secs(1);
    let (log, mut heard) = trial::log();
    let (listener, addr) = tls(false, config, &log).await?;
    let stop = StopSource::new();
    let server = serve(listener.handshakes(1).limit(limit), app(log)).until(stop.stop());
    let server = tokio::spawn(server.into_future());

    let begin = Instant::now();
    let mut silent = TcpStream::connect(addr).await?;
    let answer = client.to(addr).curl("/quick", &[])?.answer().await?;
    let waited = begin.elapsed();
    assert_eq!(answer, quick().await);
    assert!(waited >= limit);
    assert!(heard.failed().await?.contains("longer than 1s"));
    assert_eq!(within("the end of a silent client", silent.read(&mut [0])).await??, 0);
    proved(
        "limits",
        format_args!("where one may shake hands, for 1 s, the next was served in {waited:.1?}"),
    );
    stop.drain();
    let report = server.await?;
    assert!(report.is_clean(), "{report}");
    Ok(())
}

/// It ends the handshakes that go on.
async fn a_drain(client: &Client, stop: &StopSource) -> Result<(), Failure> {
    let mut silent = TcpStream::connect(client.addr).await?;
    // Served after it, and so it is accepted.
    assert_eq!(client.curl("/quick", &[])?.answer().await?, quick().await);
    stop.drain();
    let begin = Instant::now();
    assert_eq!(within("the end of a silent client", silent.read(&mut [0])).await??, 0);
    let late = begin.elapsed();
    assert!(late < Duration::from_secs(5), "it has had ten seconds");
    proved("a server that drains", format_args!("closed the silent client {late:.1?} later"));
    Ok(())
}
