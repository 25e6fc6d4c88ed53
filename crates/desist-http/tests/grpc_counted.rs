//! How calls of gRPC are counted, whose HTTP status says nothing.
#![cfg(all(feature = "axum", feature = "metrics", feature = "tonic"))]

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::any;
use bytes::Bytes;
use common::{Http2, Server, Sums, next_of};
use desist_http::{Deadlines, RequestToken, Stopped};
use http::{HeaderMap, Response};
use http_body::Frame;
use tokio_stream::{Stream, StreamExt, once};
use tonic::Status;

fn of_grpc(body: Body) -> Response<Body> {
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// Says it in the place of an answer.
async fn head(Path(status): Path<String>) -> Response<Body> {
    let mut answer = of_grpc(Body::empty());
    answer.headers_mut().insert("grpc-status", status.parse().unwrap());
    answer
}

fn ends_with(status: &str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        status.parse().unwrap(),
    )]))
}

type Framed = Result<Frame<Bytes>, Infallible>;

/// Not one that says by itself that it is over.
fn body(frames: impl Stream<Item = Framed> + Send + 'static) -> Body {
    Body::new(http_body_util::StreamBody::new(frames))
}

fn data() -> Framed {
    Ok(Frame::data(Bytes::from_static(b"some")))
}

/// Says it at the end.
async fn trailers(Path(status): Path<String>) -> Response<Body> {
    of_grpc(body(tokio_stream::iter([data(), Ok(ends_with(&status))])))
}

/// Says it at the end, which is when it is told.
async fn heeds(Path(status): Path<String>, token: RequestToken) -> Response<Body> {
    let (sends, frames) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        token.cancelled().await;
        sends.send(Ok(ends_with(&status))).await.unwrap();
    });
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
    of_grpc(body(once(data()).chain(frames)))
}

/// It has less time than anybody else says.
async fn short_of_time(token: RequestToken) -> Response<Body> {
    let own = token.child_with_timeout(Duration::ZERO);
    let why = Stopped::from(own.token().cancelled().await);
    Status::from(why).into_http()
}

async fn stops(token: RequestToken) -> Response<Body> {
    Status::from(Stopped::from(token.cancelled().await)).into_http()
}

/// How these are counted: by the name of what counts them, without `desist_http_`.
fn counted(calls: &[(&str, &str)]) -> BTreeMap<String, f64> {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = Router::new()
        .route("/head/{status}", any(head))
        .route("/trailers/{status}", any(trailers))
        .route("/heeds/{status}", any(heeds))
        .route("/short", any(short_of_time))
        .route("/stops", any(stops));
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
            let deadlines = Deadlines::new().from_grpc();
            let server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
            let mut client = Http2::to(server.addr).await;
            for (path, timeout) in calls {
                let mut request = http::Request::post(format!("http://test{path}"))
                    .header("content-type", "application/grpc");
                if !timeout.is_empty() {
                    request = request.header("grpc-timeout", *timeout);
                }
                let request = request.body(()).unwrap();
                let (answer, _) = client.requests.send_request(request, true).unwrap();
                let answer = tokio::time::timeout(common::PATIENCE, answer).await.unwrap();
                let answer = answer.unwrap();
                assert_eq!(answer.status(), 200);
                let mut body = answer.into_body();
                while next_of(&mut body).await.is_some() {}
                body.trailers().await.unwrap();
            }
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    sums.all()
        .into_iter()
        .filter_map(|(name, sum)| Some((name.strip_prefix("desist_http_")?.to_owned(), sum)))
        .filter(|(name, _)| !name.starts_with("cancel_latency"))
        .collect()
}

fn sums<const N: usize>(sums: [(&str, f64); N]) -> BTreeMap<String, f64> {
    sums.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect()
}

#[test]
fn what_is_answered_is_done_refused_or_has_failed() {
    let done = ["0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "16"];
    let failed = ["2", "4", "12", "13", "14", "15"];
    for form in ["head", "trailers"] {
        let paths = |of: &[&str]| of.iter().map(|end| format!("/{form}/{end}")).collect::<Vec<_>>();
        let paths = [paths(&done), paths(&failed)].concat();
        let calls: Vec<_> = paths.iter().map(|path| (path.as_str(), "")).collect();
        let expected = sums([
            ("requests_total outcome=completed reason=", done.len() as f64),
            ("requests_total outcome=failed reason=", failed.len() as f64),
        ]);
        assert_eq!(counted(&calls), expected, "{form}");
    }
}

#[test]
fn what_was_stopped_is_counted_as_that() {
    let stopped = sums([
        ("deadlines_total whose=client", 1.0),
        ("requests_total outcome=cancelled reason=deadline", 1.0),
    ]);
    for path in ["/stops", "/heeds/4", "/heeds/1", "/heeds/14"] {
        assert_eq!(counted(&[(path, "500m")]), stopped, "{path}");
    }
    // It came to its end all the same.
    let done = sums([("requests_total outcome=completed reason=", 1.0)]);
    assert_eq!(counted(&[("/heeds/0", "500m")]), done);
    let own = sums([
        ("deadlines_total whose=handler", 1.0),
        ("requests_total outcome=cancelled reason=deadline", 1.0),
    ]);
    assert_eq!(counted(&[("/short", "")]), own);
}
