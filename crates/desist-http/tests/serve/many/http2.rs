//! On HTTP/2: many streams on few connections, and some connections that go.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::books::{Books, Plan, REQUESTS, answer};

pub(crate) async fn connect(
    addr: SocketAddr,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // Answers to streams that were reset are on their way, and no offence.
    let (requests, connection) = h2::client::Builder::new()
        .max_concurrent_reset_streams(REQUESTS)
        .max_local_error_reset_streams(None)
        .handshake(stream)
        .await
        .unwrap();
    (requests, tokio::spawn(connection))
}

/// The client of those ids, on a connection that it shares.
pub(crate) async fn client(
    requests: SendRequest<Bytes>,
    books: Arc<Books>,
    ids: impl Iterator<Item = usize>,
) {
    for id in ids {
        let (response, body) = send(requests.clone(), id).await;
        let Some(goes) = Plan::of(id).goes else {
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(reads(response.into_body()).await, answer(id));
            continue;
        };
        books.moment(id, goes).await;
        // Whoever drops both resets the stream.
        drop((response, body));
    }
}

/// A connection of its own for those, which goes while all of them run.
pub(crate) async fn goes_with_all(addr: SocketAddr, books: Arc<Books>, ids: Vec<usize>) {
    let (requests, drives) = connect(addr).await;
    let mut sent = Vec::new();
    for &id in &ids {
        sent.push(send(requests.clone(), id).await);
    }
    for &id in &ids {
        books.has_begun(id).await;
    }
    drives.abort();
    assert!(drives.await.unwrap_err().is_cancelled());
}

async fn send(requests: SendRequest<Bytes>, id: usize) -> (ResponseFuture, SendStream<Bytes>) {
    let plan = Plan::of(id);
    let request = Request::post(format!("http://test/{id}")).body(()).unwrap();
    let mut requests = requests.ready().await.unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(Bytes::from(vec![b'x'; plan.sent]), plan.sent == plan.size).unwrap();
    (response, body)
}

async fn reads(mut body: RecvStream) -> String {
    let mut read = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes.unwrap();
        body.flow_control().release_capacity(bytes.len()).unwrap();
        read.extend(bytes);
    }
    String::from_utf8(read).unwrap()
}
