//! A client of HTTP/1.1 that misbehaves.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(addr).await.unwrap(), read: Vec::new() }
    }

    /// One that has little room for what it does not read.
    pub(crate) async fn with_little_room(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        Self { stream: socket.connect(addr).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    }

    /// The head of a request with a body of that length, and so much of the body.
    pub(crate) async fn post(&mut self, path: &str, length: usize, sent: usize) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        self.send(vec![b'x'; sent]).await;
    }

    /// Reads until the answer has that in it.
    pub(crate) async fn reads(&mut self, text: &str) {
        let reads = async {
            while !self.has_read(text) {
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "it ends with {:?}", String::from_utf8_lossy(&self.read));
            }
        };
        tokio::time::timeout(PATIENCE, reads).await.unwrap_or_else(|_| panic!("never: {text}"));
    }

    /// The same, and forgets it: the next time it is another one.
    pub(crate) async fn reads_another(&mut self, text: &str) {
        self.reads(text).await;
        self.read.clear();
    }

    pub(crate) fn has_read(&self, text: &str) -> bool {
        self.read.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Reads until it has that many bytes of the answer's body, which is all that it keeps.
    pub(crate) async fn reads_body(&mut self, length: usize) -> &[u8] {
        const END: &[u8] = b"\r\n\r\n";
        let reads = async {
            loop {
                let head = self.read.windows(END.len()).position(|window| window == END);
                if let Some(head) = head.map(|place| place + END.len()) {
                    if self.read.len() - head >= length {
                        return head;
                    }
                }
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "it ends after {} bytes", self.read.len());
            }
        };
        let head = tokio::time::timeout(PATIENCE, reads).await.expect("a body");
        &self.read[head..]
    }

    /// Reads to the end of the connection.
    pub(crate) async fn reads_to_the_end(&mut self) -> String {
        let reads = self.stream.read_to_end(&mut self.read);
        let _ = tokio::time::timeout(PATIENCE, reads).await.expect("it ends");
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads to the end of the connection, or until it has read enough.
    pub(crate) async fn reads_to_the_end_of(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let reads = async {
            loop {
                let text = String::from_utf8_lossy(&self.read).into_owned();
                if enough(&text) || self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                    return text;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reads).await.expect("it ends")
    }

    /// Goes without a word of goodbye.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(self.stream);
    }
}
