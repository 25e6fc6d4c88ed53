//! HTTP/2: streams that are reset, connections that go.

use bytes::Bytes;
use desist::Reason;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::{Said, Server};

struct Connection {
    requests: SendRequest<Bytes>,
    drives: JoinHandle<()>,
}

impl Connection {
    async fn to(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let drives = tokio::spawn(async move { _ = connection.await });
        Self { requests: requests.ready().await.unwrap(), drives }
    }

    fn request(
        &mut self,
        method: &str,
        path: &str,
        ends: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let request =
            Request::builder().method(method).uri(format!("http://test{path}")).body(()).unwrap();
        self.requests.send_request(request, ends).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_tells_its_handler_and_no_other() {
    let mut server = Server::start().await;
    let mut connection = Connection::to(&server).await;
    let (_answer, mut body) = connection.request("POST", "/heeds", false);
    server.hears(Said::Begun).await;
    let (other, _) = connection.request("GET", "/quick", true);
    body.send_reset(h2::Reason::CANCEL);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    assert_eq!(other.await.unwrap().status(), 200);
    // On axum it is dropped.
    let mut server = Server::of_axum().await;
    let mut connection = Connection::to(&server).await;
    let (_answer, mut body) = connection.request("POST", "/waits", false);
    server.hears(Said::Begun).await;
    body.send_reset(h2::Reason::CANCEL);
    server.hears(Said::Dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_tells_all_of_its_handlers() {
    let mut server = Server::start().await;
    let mut connection = Connection::to(&server).await;
    let _first = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    let _second = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    connection.drives.abort();
    drop(connection);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    server.hears(Said::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_behind_a_body_that_nobody_reads_is_noticed() {
    let mut server = Server::start().await;
    let mut connection = Connection::to(&server).await;
    let (_answer, mut body) = connection.request("POST", "/heeds", false);
    body.reserve_capacity(300_000);
    body.send_data(Bytes::from(vec![b'x'; 300_000]), true).unwrap();
    server.hears(Said::Begun).await;
    body.send_reset(h2::Reason::CANCEL);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

/// It is told to go away, what runs goes on, and the next request is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_says_goodbye() {
    let mut server = Server::start().await;
    let mut connection = Connection::to(&server).await;
    let (answer, _) = connection.request("GET", "/heeds", true);
    server.hears(Said::Begun).await;
    server.stop.drain();
    server.hears_nothing().await;
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["retry-after"].as_bytes()),
        (http::StatusCode::SERVICE_UNAVAILABLE, &b"1"[..])
    );
    assert!(server.ends().await.unwrap().is_clean());
    let _ = connection.drives.await;
}
