//! What calls of gRPC are told by the layers of a server, on `serve` and on tonic's own.
#![cfg(all(feature = "axum", feature = "tonic"))]

mod common;
mod counting;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use common::{Http2, Said, Server, WHILE, in_time, next_of, until};
use counting::{framed, milliseconds, service, status_in};
use desist_http::{AdmissionLayer, DeadlineLayer, Deadlines, RequestLayer};
use desist_tokio::StopSource;
use http::Response;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn asks() -> Deadlines {
    // Of calls of gRPC, too: what `grpc-timeout` says tonic's own server sees to as well.
    Deadlines::new().from_header(Deadlines::HEADER)
}

/// On `serve`.
async fn start(limit: &AdmissionLayer, deadlines: Deadlines) -> Server {
    let (app, said) = counting::app();
    Server::of(app.layer(limit.clone()), said, |serve| serve.deadlines(deadlines)).await
}

/// On tonic's own server.
async fn start_tonic(limit: &AdmissionLayer, deadlines: Deadlines) -> Server {
    let (service, said) = service();
    let limit = limit.clone();
    Server::of_other(said, |listener: TcpListener, stop: &StopSource| {
        let layer = RequestLayer::new(stop.stop()).deadlines(deadlines);
        let mut serves = tonic::transport::Server::builder().layer(layer).layer(limit);
        let serves = serves.add_service(service);
        async move { serves.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() }
    })
    .await
}

/// A client that keeps no time of its own, and sees the answer as it is.
struct Raw(Http2);

impl Raw {
    async fn to(addr: SocketAddr) -> Self {
        Self(Http2::to(addr).await)
    }

    /// Its answer.
    fn call(
        &mut self,
        method: &str,
        time: Duration,
        headers: &[(&str, &str)],
    ) -> impl Future<Output = Response<h2::RecvStream>> + use<> {
        let mut request = http::Request::post(format!("http://test/counting.Counting/{method}"))
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let (answer, mut body) = self.0.requests.send_request(request, false).unwrap();
        // It may have its answer by now.
        let _ = body.send_data(framed(&milliseconds(time)), true);
        async { in_time(answer).await.unwrap() }
    }
}

/// The status of an answer that is nothing but a head, as gRPC has it.
async fn status_of_a_head(answer: Response<h2::RecvStream>) -> String {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert!(!answer.headers().contains_key("retry-after"));
    let status = status_in(answer.headers()).expect("a status in the head");
    assert!(!answer.headers()["grpc-message"].is_empty());
    assert!(next_of(&mut answer.into_body()).await.is_none());
    status
}

/// Whether or not anybody asks for times.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_finds_no_place_is_told_in_the_way_of_grpc() {
    for tonic in [false, true] {
        for times in [false, true] {
            let deadlines = if times { asks() } else { Deadlines::new() };
            let limit = AdmissionLayer::at_most(1).queue(1);
            let mut server = if tonic {
                start_tonic(&limit, deadlines).await
            } else {
                start(&limit, deadlines).await
            };
            let mut client = Raw::to(server.addr).await;
            let _held = tokio::spawn(client.call("Wait", LONG, &[]));
            server.hears(Said::Begun).await;
            let waits = client.call("Wait", LONG, &[("x-request-timeout-ms", "300")]);
            let waits = tokio::spawn(waits);
            until(|| limit.waiting() == 1).await;
            let answer = client.call("Wait", LONG, &[]).await;
            assert_eq!(status_of_a_head(answer).await, "14", "on tonic's server: {tonic}");
            if times {
                let answer = in_time(waits).await.unwrap();
                assert_eq!(status_of_a_head(answer).await, "4", "on tonic's server: {tonic}");
            }
            server.hears_nothing().await;
        }
    }
}

/// Where nobody asks for times but the route, and where what is said is no time.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_handler_is_told_in_the_way_of_grpc() {
    let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
    let waits = post(std::future::pending::<()>).route_layer(DeadlineLayer::new(WHILE));
    let app = Router::new().route("/counting.Counting/Wait", waits);
    let server = Server::of(app, said, |serve| serve).await;
    let answer = Raw::to(server.addr).await.call("Wait", LONG, &[]).await;
    assert_eq!(status_of_a_head(answer).await, "4");
    let (app, said) = counting::app();
    let refusing = Deadlines::new().from_grpc().refuse_malformed();
    let server = Server::of(app, said, |serve| serve.deadlines(refusing)).await;
    let said = [("grpc-timeout", "50%")];
    let answer = Raw::to(server.addr).await.call("Wait", LONG, &said).await;
    assert!(answer.headers()["grpc-message"].to_str().unwrap().contains("\"50%25\""));
    assert_eq!(status_of_a_head(answer).await, "13");
}
