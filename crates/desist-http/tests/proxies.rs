//! nginx and HAProxy, as Debian has them, in front of a server: what they pass on of a
//! client that goes, and of its time. What is said of them in the README is held here.
#![cfg(all(feature = "axum", unix))]

mod common;
#[cfg(feature = "tonic")]
mod counting;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{any, get};
use bytes::Bytes;
use common::{Client, Http2, Probe, Proxy, Said, Server, left};
use desist::Reason;
use desist_http::{Deadlines, RequestToken};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::IntervalStream;

/// What the server has of a client that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// Its handler is told.
    On,
    /// Nothing.
    Nothing,
    /// Mostly nothing: the proxy sees it if it still looks in that moment.
    Seldom,
    /// It had nothing of its request, either.
    NotEvenTheRequest,
}
use Passed::{NotEvenTheRequest, Nothing, On, Seldom};

/// How a client goes, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// It closes, having asked.
    Closes,
    /// Without a goodbye.
    Resets,
    /// It closes, having sent a body.
    ClosesAfterBody,
    /// In the middle of its body.
    InBody,
    /// In the middle of the answer.
    InAnswer,
    /// It says that it sends no more, and waits.
    HalfCloses,
    /// Its stream on HTTP/2 is reset.
    ResetsStream,
    /// Its connection of HTTP/2 goes.
    LosesConnection,
}
use Goes::{
    Closes, ClosesAfterBody, HalfCloses, InAnswer, InBody, LosesConnection, Resets, ResetsStream,
};

const BY_HTTP1: [Goes; 6] = [Closes, Resets, ClosesAfterBody, InBody, InAnswer, HalfCloses];
const BY_HTTP2: [Goes; 2] = [ResetsStream, LosesConnection];

fn app() -> (Router, UnboundedReceiver<Said>) {
    let (probe, said) = Probe::new();
    let pours = Router::new().route("/pours", any(pours)).with_state(probe.clone());
    (common::app_of(probe).merge(pours).route("/left", get(left)), said)
}

/// An answer without an end.
async fn pours(State(probe): State<Probe>, token: RequestToken) -> Body {
    probe.say(Said::Begun);
    probe.watches(&token);
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(1)));
    Body::from_stream(ticks.map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000]))))
}

/// Goes as it is told to, through that proxy, and the server has that of it.
async fn goes_through(proxy: &Proxy, server: &mut Server, goes: Goes, passed: Passed) {
    if BY_HTTP2.contains(&goes) {
        let mut client = Http2::to(proxy.addr).await;
        let (answer, mut stream) = client.request("GET", "/heeds", true);
        server.hears(Said::Begun).await;
        if goes == LosesConnection {
            client.goes().await;
            return has(server, passed).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop(answer);
        has(server, passed).await;
        return drop(client);
    }
    let mut client = Client::to(proxy.addr).await;
    match goes {
        ClosesAfterBody => client.post("/heeds", 1000, 1000).await,
        InBody => client.post("/reads", 100_000, 50_000).await,
        InAnswer => client.get("/pours").await,
        _ => client.get("/heeds").await,
    }
    if passed == NotEvenTheRequest {
        server.hears_nothing().await;
    } else {
        server.hears(Said::Begun).await;
    }
    match goes {
        Resets => client.reset(),
        HalfCloses => {
            client.stream.shutdown().await.unwrap();
            has(server, passed).await;
            return drop(client);
        }
        InAnswer => {
            client.reads("xxx").await;
            drop(client);
        }
        _ => drop(client),
    }
    has(server, passed).await;
}

async fn has(server: &mut Server, passed: Passed) {
    match passed {
        On => server.hears(Said::Told(Reason::Disconnected)).await,
        Nothing | NotEvenTheRequest => server.hears_nothing().await,
        Seldom => {}
    }
}

async fn nginx(directives: &str, protocol: &str, goes: Goes, passed: Passed) {
    let (app, said) = app();
    let mut server = Server::of(app, said, |serve| serve).await;
    if let Some(proxy) = Proxy::nginx(server.addr, directives, protocol).await {
        goes_through(&proxy, &mut server, goes, passed).await;
    }
}

async fn haproxy(options: &str, protocol: &str, goes: Goes, passed: Passed) {
    let (app, said) = app();
    let mut server = Server::of(app, said, |serve| serve).await;
    if let Some(proxy) = Proxy::haproxy(server.addr, options, protocol).await {
        goes_through(&proxy, &mut server, goes, passed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_on_that_a_client_goes_once_it_has_its_request() {
    for goes in BY_HTTP1 {
        // It keeps a body until it has all of it.
        nginx("", "", goes, if goes == InBody { NotEvenTheRequest } else { On }).await;
    }
    for goes in BY_HTTP2 {
        nginx("", "http2", goes, On).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_without_buffers_passes_on_bodies_as_they_come() {
    let unbuffered = "proxy_request_buffering off; proxy_buffering off;";
    for goes in BY_HTTP1 {
        nginx(unbuffered, "", goes, On).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_that_is_told_to_ignore_it_passes_on_nothing() {
    let ignores = "proxy_ignore_client_abort on;";
    for goes in [Closes, Resets, ClosesAfterBody, HalfCloses] {
        nginx(ignores, "", goes, Nothing).await;
    }
    for goes in BY_HTTP2 {
        nginx(ignores, "http2", goes, Nothing).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_passes_on_that_a_client_goes_while_it_sends_or_reads() {
    for goes in BY_HTTP1 {
        let passed = if matches!(goes, InBody | InAnswer) { On } else { Seldom };
        haproxy("", "", goes, passed).await;
    }
    haproxy("", "proto h2", ResetsStream, On).await;
    haproxy("", "proto h2", LosesConnection, Seldom).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_with_abortonclose_passes_on_that_a_client_goes() {
    for goes in BY_HTTP1 {
        haproxy("option abortonclose", "", goes, On).await;
    }
    for goes in BY_HTTP2 {
        haproxy("option abortonclose", "proto h2", goes, On).await;
    }
}

/// To the server it is a client that goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxys_own_time_is_seen_as_its_going() {
    let (app, said) = app();
    let mut server = Server::of(app, said, |serve| serve).await;
    for by_nginx in [true, false] {
        let proxy = if by_nginx {
            Proxy::nginx(server.addr, "proxy_read_timeout 1s;", "").await
        } else {
            Proxy::haproxy(server.addr, "timeout server 1s", "").await
        };
        let Some(proxy) = proxy else { continue };
        let mut client = Client::to(proxy.addr).await;
        client.get("/heeds").await;
        server.hears(Said::Begun).await;
        client.reads("504 Gateway Time-out").await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_time_comes_through() {
    let (app, said) = app();
    let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    let server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    for by_nginx in [true, false] {
        let proxy = if by_nginx {
            Proxy::nginx(server.addr, "", "").await
        } else {
            Proxy::haproxy(server.addr, "", "").await
        };
        let Some(proxy) = proxy else { continue };
        let mut client = Client::to(proxy.addr).await;
        client.send("GET /left HTTP/1.1\r\nhost: t\r\nx-request-timeout-ms: 59900\r\n\r\n").await;
        client.reads("59.").await;
    }
}

/// Its stream on HTTP/2 is reset on the other side, too.
#[cfg(feature = "tonic")]
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_are_stopped_through_them() {
    use desist::{Source, find_cancelled};
    use desist_http::TokenChannel;

    let (app, said) = counting::app();
    let deadlines = Deadlines::new().from_grpc();
    let mut server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    for by_nginx in [true, false] {
        let proxy = if by_nginx {
            Proxy::nginx_of_grpc(server.addr).await
        } else {
            Proxy::haproxy_of_grpc(server.addr).await
        };
        let Some(proxy) = proxy else { continue };
        let endpoint = tonic::transport::Endpoint::try_from(format!("http://{}", proxy.addr));
        let channel = endpoint.unwrap().connect().await.unwrap();
        let source = Source::with_timeout(Duration::from_secs(600));
        let channel = TokenChannel::new(channel, &source.token());
        let mut client = counting::CountingClient::new(channel);
        let left = client.wait(counting::milliseconds(Duration::ZERO)).await.unwrap();
        assert!(left.into_inner().milliseconds.unwrap() > 500_000);
        server.hears_all([Said::Begun, Said::Finished]).await;
        let mut other = client.clone();
        let wait = tokio::spawn(async move {
            let hour = counting::milliseconds(Duration::from_secs(3600));
            other.wait(hour).await.map(drop)
        });
        server.hears(Said::Begun).await;
        let numbers = client.count(counting::milliseconds(Duration::from_millis(5))).await;
        let mut numbers = numbers.unwrap().into_inner();
        server.hears(Said::Begun).await;
        assert!(numbers.message().await.unwrap().is_some());
        source.cancel();
        assert!(find_cancelled(&wait.await.unwrap().unwrap_err()).is_some());
        while let Ok(number) = numbers.message().await {
            assert!(number.is_some(), "it must not look like an end");
        }
        let told = Said::Told(Reason::Disconnected);
        server.hears_all([told, told, Said::Finished, Said::Dropped]).await;
    }
}
