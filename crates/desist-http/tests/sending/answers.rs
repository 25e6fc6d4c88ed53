//! Answers, and what is read of them and still sent.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use crate::apps::{clients, pours_and_says, start, url};
use crate::common::{Probe, Said, Server, in_time};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::any;
use bytes::Bytes;
use desist::{Reason, Source, find_cancelled};
use desist_http::{RequestToken, SendError, SendWith};
use desist_tokio::io::AtomicFile;
use tokio::sync::{Notify, mpsc};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

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
