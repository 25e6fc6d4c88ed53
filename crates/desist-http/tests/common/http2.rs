//! A client of HTTP/2.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Http2 {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) drives: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        // Else its words about windows wait for an acknowledgement.
        stream.set_nodelay(true).unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let drives = tokio::spawn(connection);
        Self { requests: requests.ready().await.unwrap(), drives }
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let request =
            Request::builder().method(method).uri(format!("http://test{path}")).body(()).unwrap();
        self.requests.send_request(request, ends).unwrap()
    }

    /// The connection goes, without a word of goodbye.
    pub(crate) async fn goes(self) {
        self.drives.abort();
        let _ = self.drives.await;
    }

    /// What is said of a new request, once the server has said that it takes no more.
    pub(crate) async fn is_refused(&mut self) -> h2::Error {
        let refused = async {
            loop {
                if let Err(error) = poll_fn(|cx| self.requests.poll_ready(cx)).await {
                    return error;
                }
                // There is no event for it; the connection is driven elsewhere.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, refused).await.expect("it is refused")
    }
}

/// Of an answer, its next bytes, for which there is room again.
pub(crate) async fn next_of(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let next = tokio::time::timeout(PATIENCE, body.data()).await.expect("it goes on")?;
    Some(next.inspect(|bytes| {
        let _ = body.flow_control().release_capacity(bytes.len());
    }))
}
