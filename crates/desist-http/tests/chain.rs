//! Three services, each of which asks the next: a stop of the first is one of the last.
#![cfg(all(feature = "axum", feature = "reqwest"))]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use common::{Client, Handler, PATIENCE, Probe, Said, Server, find};
use desist::Reason;
use desist_http::{Deadlines, RequestToken, SendError, SendWith, serve};
use tokio::net::TcpListener;

/// How long a service works before it asks the next one.
const WORK: Duration = Duration::from_millis(20);

#[derive(Clone)]
struct Service {
    probe: Probe,
    client: reqwest::Client,
    /// `None`: it is the last one, and waits.
    next: Option<SocketAddr>,
    /// How long its requests had when they came.
    had: Arc<Mutex<Vec<Option<Duration>>>>,
}

fn asks() -> Deadlines {
    Deadlines::new().from_header(Deadlines::HEADER)
}

fn client(by_http2: bool) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    if by_http2 { builder.http2_prior_knowledge() } else { builder }.build().unwrap()
}

impl Service {
    async fn answers(self, token: &RequestToken) -> Result<String, SendError> {
        desist_tokio::sleep(WORK, token).await?;
        let Some(next) = self.next else { return Err(token.cancelled().await.into()) };
        let answer = self.client.get(format!("http://{next}/")).send_with(token).await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

async fn handler(State(service): State<Service>, token: RequestToken) -> Result<String, SendError> {
    service.had.lock().unwrap().push(token.remaining());
    let handler = service.probe.begin();
    let answer = service.answers(&token).await;
    said_of(&handler, &answer);
    handler.finish();
    answer
}

fn said_of(handler: &Handler, answer: &Result<String, SendError>) {
    if let Some(why) = answer.as_ref().err().and_then(SendError::cancelled) {
        handler.says(Said::Told(why.reason()));
    }
}

async fn service(next: Option<SocketAddr>, by_http2: bool) -> (Server, Service) {
    let (probe, said) = Probe::new();
    let service = Service { probe, client: client(by_http2), next, had: Arc::default() };
    let app = Router::new().route("/", get(handler)).with_state(service.clone());
    (Server::of(app, said, |serve| serve.deadlines(asks())).await, service)
}

/// The first, the second and the third, and what they know.
async fn chain(by_http2: bool) -> ([Server; 3], [Service; 3]) {
    let (third, third_service) = service(None, by_http2).await;
    let (second, second_service) = service(Some(third.addr), by_http2).await;
    let (first, first_service) = service(Some(second.addr), by_http2).await;
    ([first, second, third], [first_service, second_service, third_service])
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_first_connection_stops_the_work_in_the_third() {
    for by_http2 in [false, true] {
        let (mut servers, _) = chain(by_http2).await;
        let mut client = Client::to(servers[0].addr).await;
        client.get("/").await;
        for server in &mut servers {
            server.hears(Said::Begun).await;
        }
        drop(client);
        for server in &mut servers {
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Finished).await;
        }
    }
}

/// Each has less than the one before, and all of them stop.
#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_shrinks_on_the_way() {
    for by_http2 in [false, true] {
        let (mut servers, services) = chain(by_http2).await;
        let mut client = Client::to(servers[0].addr).await;
        let said = PATIENCE / 10;
        let header = format!("x-request-timeout-ms: {}", said.as_millis());
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{header}\r\n\r\n")).await;
        for server in &mut servers {
            server.hears(Said::Begun).await;
        }
        client.reads("504 Gateway Timeout").await;
        // Whoever asks sees the end of the time, and may be gone before the other does.
        for server in &mut servers {
            let told = tokio::time::timeout(PATIENCE, server.said.recv()).await.unwrap();
            let over = [Reason::Deadline, Reason::Disconnected].map(|why| Some(Said::Told(why)));
            assert!(over.contains(&told), "{told:?}");
            server.hears(Said::Finished).await;
        }
        let mut before = said;
        for service in services {
            let [Some(had)] = service.had.lock().unwrap()[..] else { panic!("one, with a time") };
            assert!(had <= before, "{had:?} of {before:?}");
            before = had.checked_sub(WORK).expect("there was time");
            // What is sent is rounded up.
            before += Duration::from_millis(1);
        }
    }
}

/// However it comes about.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_first_server_stops_the_work_in_the_third() {
    let (mut servers, _) = chain(false).await;
    let mut client = Client::to(servers[0].addr).await;
    client.get("/").await;
    for server in &mut servers {
        server.hears(Said::Begun).await;
    }
    servers[0].stop.cancel();
    servers[0].hears(Said::Told(Reason::Shutdown)).await;
    for server in &mut servers[1..] {
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
    client.reads("503 Service Unavailable").await;
}

/// What the second service of [`clocks_that_differ_do_not_matter`] says to its test.
const SERVES: &str = "serves at ";

/// Its clock is three hours ahead, in a process of its own.
#[test]
#[ignore = "a part of clocks_that_differ_do_not_matter, which runs it"]
fn the_second_service() {
    let Ok(next) = std::env::var("DESIST_TEST_NEXT") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (probe, _said) = Probe::new();
    let next = Some(next.parse().unwrap());
    let service = Service { probe, client: client(false), next, had: Arc::default() };
    let app = Router::new().route("/", get(handler)).with_state(service);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let addr = listener.local_addr().unwrap();
    writeln!(std::io::stdout(), "\n{SERVES}{addr} {now}").unwrap();
    let serving = runtime.spawn(serve(listener, app).deadlines(asks()).into_future());
    // Until its test has ended.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_do_not_matter() {
    const AHEAD: u64 = 3 * 3600;
    let Some(faketime) = find("faketime", "faketime") else { return };
    let (mut third, service) = service(None, false).await;
    let mut second = Command::new(faketime)
        .args(["-f", "+3h"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "the_second_service", "--nocapture"])
        .env("DESIST_TEST_NEXT", third.addr.to_string())
        // Threads sleep by this one, and the kernel is not asked by whoever fakes it.
        .envs([("DONT_FAKE_MONOTONIC", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(second.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().strip_prefix(SERVES).map(str::to_owned));
    let line = line.expect("it serves");
    let (addr, its_now) = line.split_once(' ').unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ahead = its_now.parse::<u64>().unwrap() - now;
    assert!((AHEAD - 60..=AHEAD + 60).contains(&ahead), "its clock is {ahead} s ahead");

    let mut client = Client::to(addr.parse().unwrap()).await;
    for (milliseconds, is_late) in [(60_000, false), (2000, true)] {
        let header = format!("x-request-timeout-ms: {milliseconds}");
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{header}\r\n\r\n")).await;
        third.hears(Said::Begun).await;
        let had = service.had.lock().unwrap().pop().unwrap().expect("a time");
        assert!(had < Duration::from_millis(milliseconds), "{had:?} of {milliseconds} ms");
        if is_late {
            client.reads("504 Gateway Timeout").await;
        } else {
            assert!(had > Duration::from_secs(30), "{had:?}");
            drop(std::mem::replace(&mut client, Client::to(addr.parse().unwrap()).await));
        }
        let told = tokio::time::timeout(PATIENCE, third.said.recv()).await.unwrap();
        assert!(matches!(told, Some(Said::Told(_))), "{told:?}");
        third.hears(Said::Finished).await;
    }
    drop(second.stdin.take());
    assert!(second.wait().unwrap().success());
}
