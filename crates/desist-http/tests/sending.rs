//! Requests that heed a token, over real sockets.
#![cfg(all(feature = "axum", feature = "reqwest"))]

mod common;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bytes::Bytes;
use common::{Late, PATIENCE, Probe, Said, Server, WHILE};
use desist::{Reason, Source, Token, find_cancelled};
use desist_http::{Deadlines, RequestToken, SendError, SendWith};
use desist_tokio::io::AtomicFile;
use http::HeaderName;
use reqwest::Client;
use reqwest::dns::{Name, Resolve, Resolving};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::{IntervalStream, ReceiverStream};
use tokio_stream::{Stream, StreamExt};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// One of HTTP/1.1, and one of HTTP/2.
fn clients() -> [Client; 2] {
    let builder = || Client::builder().no_proxy();
    [builder().build().unwrap(), builder().http2_prior_knowledge().build().unwrap()]
}

async fn start() -> Server {
    start_breaking(Arc::default()).await
}

async fn start_breaking(when: Arc<Notify>) -> Server {
    let (app, said) = common::app();
    let app = app
        .route("/left", any(left))
        .route("/json", get(async || axum::Json([1, 2, 3])))
        .route("/socket", any(echoes))
        .route("/moved", get(async || axum::response::Redirect::temporary("/left")))
        .merge(
            Router::new()
                .route("/breaks", get(breaks))
                .route("/late", get(is_late))
                .route("/goes", get(goes))
                .with_state(when),
        );
    let deadlines = Deadlines::new().from_header(Deadlines::HEADER);
    Server::of(app, said, |serve| serve.deadlines(deadlines)).await
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addr)
}

/// What it was told of its time.
async fn left(headers: HeaderMap) -> String {
    let said = headers.iter().filter(|(name, _)| name.as_str().ends_with("-ms"));
    said.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

async fn echoes(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let _ = socket.send(message).await;
        }
    })
}

/// A body that breaks off when it is told to.
async fn breaks(State(breaks): State<Arc<Notify>>) -> Body {
    let parts = tokio_stream::iter([false, true]).then(move |is_last| {
        let breaks = Arc::clone(&breaks);
        async move {
            if !is_last {
                return Ok(Bytes::from_static(b"a part"));
            }
            breaks.notified().await;
            Err(io::Error::other("the disk is broken"))
        }
    });
    Body::from_stream(parts)
}

async fn is_late(State(when): State<Arc<Notify>>) -> http::StatusCode {
    when.notified().await;
    http::StatusCode::GATEWAY_TIMEOUT
}

/// Its connection, or stream, ends without an answer.
async fn goes(State(when): State<Arc<Notify>>) -> http::StatusCode {
    when.notified().await;
    panic!("as a server that has crashed")
}

/// A body without an end.
fn pours() -> impl Stream<Item = Result<Bytes, Infallible>> {
    let ticks = tokio::time::interval(Duration::from_millis(1));
    IntervalStream::new(ticks).map(|_| Ok(Bytes::from_static(&[b'x'; 1000])))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_server_behind() {
    let mut server = start().await;
    for client in clients() {
        for path in ["/heeds", "/waits"] {
            let source = Source::new();
            let sending = client.get(url(&server, path)).send_with(&source.token());
            let sending = tokio::spawn(sending);
            server.hears(Said::Begun).await;
            source.cancel_with(Reason::Superseded);
            let error = in_time(sending).await.unwrap().unwrap_err();
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
            assert!(!error.is_timeout() && error.failure().is_none());
            if path == "/heeds" {
                server.hears(Said::Told(Reason::Disconnected)).await;
                server.hears(Said::Finished).await;
            } else {
                server.hears(Said::Dropped).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_stopped_reaches_the_server_behind() {
    let mut server = start().await;
    for client in clients() {
        let source = Source::new();
        let upload = client.post(url(&server, "/reads")).body(reqwest::Body::wrap_stream(pours()));
        let sending = tokio::spawn(upload.send_with(&source.token()));
        server.hears(Said::Begun).await;
        source.cancel();
        assert!(in_time(sending).await.unwrap().unwrap_err().cancelled().is_some());
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
}

/// Whether it is read in pieces or in whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_until_the_stop() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/", any(pours_and_says)).with_state(probe);
    let mut server = Server::of(app, said, |serve| serve).await;
    for client in clients() {
        for in_whole in [false, true] {
            let source = Source::new();
            let sending = client.get(url(&server, "/")).send_with(&source.token());
            let mut answer = in_time(sending).await.unwrap();
            server.hears(Said::Begun).await;
            assert!(in_time(answer.chunk()).await.unwrap().is_some());
            let error = if in_whole {
                let reading = tokio::spawn(answer.bytes());
                source.cancel_with(Reason::Shutdown);
                in_time(reading).await.unwrap().unwrap_err()
            } else {
                source.cancel_with(Reason::Shutdown);
                let error = in_time(answer.chunk()).await.unwrap_err();
                // However often it is asked: it never looks like an end.
                assert!(find_cancelled(&in_time(answer.chunk()).await.unwrap_err()).is_some());
                // And what is left of it keeps no connection.
                server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
                error
            };
            assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Shutdown);
            let error = SendError::from(error);
            assert_eq!(error.cancelled().unwrap().reason(), Reason::Shutdown);
            if in_whole {
                server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
            }
        }
    }
}

/// What it is sent, as it comes.
async fn gives_back(
    State(probe): State<Probe>,
    token: RequestToken,
    request: axum::extract::Request,
) -> Body {
    let streams = probe.begin();
    probe.watches(&token);
    Body::from_stream(request.into_body().into_data_stream().map(move |bytes| {
        let _ = &streams;
        bytes
    }))
}

/// The answer has begun, and the request has not ended: whoever stops it, or lets the answer
/// go, breaks off both.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_broken_off_on_both_its_sides() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/", any(gives_back)).with_state(probe);
    let mut server = Server::of(app, said, |serve| serve).await;
    for client in clients() {
        for by_stop in [true, false] {
            let (sends, sent) = mpsc::channel::<Result<Bytes, Infallible>>(4);
            sends.send(Ok(Bytes::from_static(b"hello"))).await.unwrap();
            let source = Source::new();
            let body = reqwest::Body::wrap_stream(ReceiverStream::new(sent));
            let sending = client.post(url(&server, "/")).body(body).send_with(&source.token());
            let mut answer = in_time(sending).await.unwrap();
            server.hears(Said::Begun).await;
            assert_eq!(in_time(answer.chunk()).await.unwrap().unwrap(), "hello");
            if by_stop {
                source.cancel();
                assert!(find_cancelled(&in_time(answer.chunk()).await.unwrap_err()).is_some());
            } else {
                drop(answer);
            }
            server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
            // Nobody takes any more of it.
            in_time(sends.closed()).await;
        }
    }
}

/// What has been answered in whole does not break off what is still sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_ended_lets_its_request_end() {
    let (probe, mut said) = Probe::new();
    let app = any(async move |request: axum::extract::Request| {
        // A task goes on with the body.
        tokio::spawn(async move {
            let handler = probe.begin();
            if axum::body::to_bytes(request.into_body(), usize::MAX).await.is_ok() {
                handler.finish();
            }
        });
        "answered"
    });
    let (_, nobody) = mpsc::unbounded_channel();
    let server = Server::of(Router::new().route("/", app), nobody, |serve| serve).await;
    let [_, by_http2] = clients();
    let (sends, sent) = mpsc::channel::<Result<Bytes, Infallible>>(4);
    let body = reqwest::Body::wrap_stream(ReceiverStream::new(sent));
    let source = Source::new();
    let sending = by_http2.post(url(&server, "/")).body(body).send_with(&source.token());
    assert_eq!(in_time(in_time(sending).await.unwrap().text()).await.unwrap(), "answered");
    assert_eq!(in_time(said.recv()).await, Some(Said::Begun));
    for _ in 0..100 {
        in_time(sends.send(Ok(Bytes::from_static(b"more")))).await.unwrap();
    }
    drop(sends);
    assert_eq!(in_time(said.recv()).await, Some(Said::Finished));
}

/// The server behind may be the first to see it, by a millisecond or two.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_of_a_time_that_is_over_is_said_by_the_token() {
    let breaks = Arc::new(Notify::new());
    let server = start_breaking(Arc::clone(&breaks)).await;
    for client in clients() {
        // A server that says so.
        let late = Late::new();
        let mut sending = client.get(url(&server, "/late")).send_with(&late.source.token());
        sent(&mut sending).await;
        late.is_over();
        breaks.notify_one();
        is_deadline(&late, sending).await;
        // One that goes.
        let late = Late::new();
        let mut sending = client.get(url(&server, "/goes")).send_with(&late.source.token());
        sent(&mut sending).await;
        late.is_over();
        breaks.notify_one();
        is_deadline(&late, sending).await;
        // Nothing is sent that had no time.
        let late = Late::new();
        late.is_over();
        is_deadline(&late, client.get("http://127.0.0.1:1/").send_with(&late.source.token())).await;
        // A body that breaks off.
        let late = Late::new();
        let sending = client.get(url(&server, "/breaks")).send_with(&late.source.token());
        let mut answer = in_time(sending).await.unwrap();
        assert!(in_time(answer.chunk()).await.unwrap().is_some());
        late.is_over();
        breaks.notify_one();
        let reading = tokio::spawn(answer.text());
        tokio::time::sleep(WHILE / 10).await;
        late.is_told();
        let error = in_time(reading).await.unwrap().unwrap_err();
        assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Deadline);
    }
}

/// It is on its way when it is polled.
async fn sent(sending: &mut desist_http::Sending) {
    let polled = tokio::time::timeout(WHILE, sending).await;
    assert!(polled.is_err(), "{polled:?}");
}

/// It waits for the token's word, though its answer has come.
async fn is_deadline(late: &Late, sending: desist_http::Sending) {
    let sending = tokio::spawn(sending);
    tokio::time::sleep(WHILE / 10).await;
    assert!(!sending.is_finished());
    late.is_told();
    let error = in_time(sending).await.unwrap().unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
}

async fn pours_and_says(State(probe): State<Probe>, token: RequestToken) -> Body {
    let streams = probe.begin();
    probe.watches(&token);
    Body::from_stream(pours().map(move |bytes| {
        let _ = &streams;
        bytes
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_stopped_leaves_no_file() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/", any(pours_and_says)).with_state(probe);
    let mut server = Server::of(app, said, |serve| serve).await;
    let folder = std::env::temp_dir().join(format!("desist-download-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for client in clients() {
        let source = Source::new();
        let (url, token) = (url(&server, "/"), source.token());
        let target = folder.join("download");
        let has_some = Arc::new(Notify::new());
        let came = Arc::clone(&has_some);
        let download = tokio::spawn(async move {
            let answer = client.get(url).send_with(&token).await.map_err(io::Error::other)?;
            let mut file = AtomicFile::create(&target, &token).await?;
            let mut stream = answer.bytes_stream();
            while let Some(bytes) = stream.next().await {
                let bytes = bytes.map_err(io::Error::other)?;
                tokio::io::AsyncWriteExt::write_all(&mut file, &bytes).await?;
                came.notify_one();
            }
            file.commit().await
        });
        server.hears(Said::Begun).await;
        in_time(has_some.notified()).await;
        source.cancel();
        let error = in_time(download).await.unwrap().unwrap_err();
        assert!(find_cancelled(&error).is_some(), "{error:?}");
        server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The token's time, the request's own, and a client's are times; a stop is none.
#[tokio::test(flavor = "multi_thread")]
async fn time_that_is_over_is_told_from_a_stop_and_from_failure() {
    let breaks = Arc::new(Notify::new());
    let mut server = start_breaking(Arc::clone(&breaks)).await;
    for client in clients() {
        let begin = Instant::now();
        let source = Source::with_timeout(WHILE);
        let late = client.get(url(&server, "/holds")).send_with(&source.token());
        let late = in_time(late.says_nothing()).await.unwrap_err();
        assert!(late.is_timeout() && begin.elapsed() >= WHILE);
        assert_eq!(late.cancelled().unwrap().reason(), Reason::Deadline);
        server.hears(Said::Begun).await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;

        let own = client.get(url(&server, "/holds")).timeout(WHILE);
        let own = in_time(own.send_with(&Token::never()).says_nothing()).await.unwrap_err();
        assert!(own.is_timeout() && own.cancelled().is_none());
        assert!(own.to_string().starts_with("no answer of 127.0.0.1:"), "{own}");
        server.hears(Said::Begun).await;
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;

        let broken = client.get(url(&server, "/breaks")).send_with(&Token::never());
        let broken = in_time(broken).await.unwrap();
        breaks.notify_one();
        let broken = in_time(broken.text()).await.unwrap_err();
        let broken = SendError::from(broken);
        assert!(broken.cancelled().is_none() && !broken.is_timeout());
        assert!(broken.to_string().contains("was broken off"), "{broken}");
    }
    let answer = |error: SendError| error.into_response().status().as_u16();
    let nobody = async |token: &Token| {
        let [client, _] = clients();
        client.get("http://127.0.0.1:1/").send_with(token).await.unwrap_err()
    };
    assert_eq!(answer(nobody(&Token::never()).await), 502);
    assert_eq!(answer(nobody(&Token::cancelled_with(Reason::Deadline)).await), 504);
    assert_eq!(answer(nobody(&Token::cancelled_with(Reason::Shutdown)).await), 503);
    let own = clients()[0].get(url(&server, "/holds")).timeout(WHILE / 10);
    assert_eq!(answer(own.send_with(&Token::never()).await.unwrap_err()), 504);
    let nonsense = Client::new().get("no url").send_with(&Token::never()).await.unwrap_err();
    assert!(nonsense.to_string().starts_with("this is no request"), "{nonsense}");
}

/// A name that is not found, whose search stops what it is for.
struct Stops(Source);

impl Resolve for Stops {
    fn resolve(&self, _: Name) -> Resolving {
        let source = self.0.clone();
        Box::pin(async move {
            source.cancel_with(Reason::Superseded);
            Err("there is no such name".into())
        })
    }
}

#[tokio::test]
async fn what_fails_after_the_stop_is_its_consequence() {
    let source = Source::new();
    let client =
        Client::builder().no_proxy().dns_resolver(Arc::new(Stops(source.clone()))).build().unwrap();
    let sending = client.get("http://nowhere.test/").send_with(&source.token());
    let error = in_time(sending).await.unwrap_err();
    assert_eq!(error.cancelled().unwrap().reason(), Reason::Superseded);
    // And otherwise it is what it is.
    let sending = client.get("http://nowhere.test/").send_with(&Token::never());
    let error = in_time(sending).await.unwrap_err();
    assert!(error.failure().unwrap().is_connect() && error.cancelled().is_none());
    assert!(error.to_string().contains("no connection to nowhere.test:80"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_token_is_cancelled_is_not_sent() {
    let mut server = start().await;
    let token = Token::cancelled_with(Reason::Overload);
    for client in clients() {
        let sending = client.get(url(&server, "/heeds")).send_with(&token);
        let error = in_time(sending).await.unwrap_err();
        assert_eq!(error.cancelled().unwrap().reason(), Reason::Overload);
    }
    server.hears_nothing().await;
}

/// Says how many milliseconds it says.
async fn said_of(sending: desist_http::Sending) -> (String, u64) {
    let text = in_time(in_time(sending).await.unwrap().text()).await.unwrap();
    let (name, value) = text.split_once(": ").unwrap_or_else(|| panic!("{text:?}"));
    (name.into(), value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_long_there_is() {
    const OTHER: HeaderName = HeaderName::from_static("x-other-ms");
    let server = start().await;
    let minute = Source::with_timeout(Duration::from_secs(60)).token();
    for client in clients() {
        let get = || client.get(url(&server, "/left"));
        for (sending, least, most) in [
            (get().send_with(&minute), 50_000, 60_000),
            // The least of all that there is.
            (get().timeout(Duration::from_secs(30)).send_with(&minute), 30_000, 30_000),
            (get().timeout(Duration::from_secs(90)).send_with(&minute), 50_000, 60_000),
            (get().timeout(Duration::from_secs(40)).send_with(&Token::never()), 40_000, 40_000),
            (get().header("x-request-timeout-ms", "9000").send_with(&minute), 9000, 9000),
            (get().header("x-request-timeout-ms", "600000").send_with(&minute), 50_000, 60_000),
            (get().header("x-request-timeout-ms", "soon").send_with(&minute), 50_000, 60_000),
            // Through a redirect, too.
            (client.get(url(&server, "/moved")).send_with(&minute), 50_000, 60_000),
        ] {
            let (name, said) = said_of(sending).await;
            assert_eq!(name, "x-request-timeout-ms");
            assert!((least..=most).contains(&said), "{said} is not in {least}..={most}");
        }
        assert_eq!(said_of(get().send_with(&minute).says_in(OTHER)).await.0, "x-other-ms");
        for nothing in [get().send_with(&minute).says_nothing(), get().send_with(&Token::never())] {
            assert_eq!(in_time(in_time(nothing).await.unwrap().text()).await.unwrap(), "");
        }
    }
}

/// However late it is polled.
#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_left_when_it_is_sent() {
    let server = start().await;
    let source = Source::with_timeout(LONG);
    let [client, _] = clients();
    let sending = client.get(url(&server, "/left")).send_with(&source.token());
    source.cancel_after(Duration::from_secs(30));
    assert!(said_of(sending).await.1 <= 30_000);
}

/// It is `reqwest`'s own, with all that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_what_it_was() {
    let server = start().await;
    let token = Source::new().token();
    for client in clients() {
        let plain = client.get(url(&server, "/json")).send().await.unwrap();
        let ours = client.get(url(&server, "/json")).send_with(&token).await.unwrap();
        assert_eq!(ours.url(), plain.url());
        assert_eq!(ours.status(), plain.status());
        assert_eq!(ours.version(), plain.version());
        assert_eq!(ours.remote_addr(), Some(server.addr));
        assert_eq!(ours.content_length(), plain.content_length());
        assert_eq!(ours.headers()["content-type"], "application/json");
        assert_eq!(ours.json::<Vec<u8>>().await.unwrap(), [1, 2, 3]);

        let head = client.head(url(&server, "/json")).send_with(&token).await.unwrap();
        assert_eq!(head.headers()["content-length"], "7");
        assert_eq!(head.bytes().await.unwrap(), "");

        let missing = client.get(url(&server, "/missing")).send_with(&token).await.unwrap();
        let error = missing.error_for_status().unwrap_err();
        assert_eq!(error.status().unwrap(), 404);
        assert_eq!(error.url().unwrap().path(), "/missing");
        assert!(SendError::from(error).to_string().ends_with("was 404 Not Found"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_a_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = start().await;
    let [client, _] = clients();
    let request = client
        .get(url(&server, "/socket"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = in_time(request.send_with(&Source::new().token())).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut stream = in_time(answer.upgrade()).await.unwrap();
    // A text of two bytes, masked with nothing, and back without a mask.
    stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    let mut echo = [0; 4];
    in_time(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(echo, [0x81, 2, b'h', b'i']);
}
