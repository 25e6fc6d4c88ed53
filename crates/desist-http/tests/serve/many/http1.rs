//! On HTTP/1.1: connections that are kept for as long as nobody goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::books::{Books, Plan, answer};

pub(crate) async fn client(addr: SocketAddr, books: Arc<Books>, ids: impl Iterator<Item = usize>) {
    let mut kept = None;
    for id in ids {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(addr).await.unwrap(),
        };
        let plan = Plan::of(id);
        let mut request =
            format!("POST /{id} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", plan.size);
        request.extend(std::iter::repeat_n('x', plan.sent));
        stream.write_all(request.as_bytes()).await.unwrap();
        let Some(goes) = plan.goes else {
            assert_eq!(reads_answer(&mut stream).await, answer(id));
            kept = Some(stream);
            continue;
        };
        books.moment(id, goes).await;
        if plan.resets {
            socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}

async fn reads_answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "it ends in the middle");
        let text = std::str::from_utf8(&read).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.split_once("content-length: ").expect("a length").1;
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if body.len() >= length {
            return body.to_owned();
        }
    }
}
