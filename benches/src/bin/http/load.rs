//! Requests, one after the other and at a steady rate.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::percentile;

const CONNECTIONS: usize = 32;

pub(super) async fn round_trip(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) {
    stream.write_all(request).await.expect("it is there");
    answer.clear();
    while !answer.ends_with(b"hello") {
        assert!(stream.read_buf(answer).await.expect("it answers") > 0);
    }
}

pub(super) const KEPT: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n";
const CLOSED: &[u8] = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";

/// Requests in a second, from so many connections at once, for so long.
pub(super) async fn throughput(addr: SocketAddr, keep: bool, time: Duration) -> f64 {
    let end = Instant::now() + time;
    let begin = Instant::now();
    let clients = (0..CONNECTIONS).map(|_| {
        tokio::task::spawn_local(async move {
            let (mut answered, mut answer) = (0_u64, Vec::new());
            let mut kept = TcpStream::connect(addr).await.expect("it accepts");
            kept.set_nodelay(true).expect("it is a socket");
            while Instant::now() < end {
                if keep {
                    round_trip(&mut kept, KEPT, &mut answer).await;
                } else {
                    let mut once = TcpStream::connect(addr).await.expect("it accepts");
                    round_trip(&mut once, CLOSED, &mut answer).await;
                    // Otherwise the ports run out.
                    socket2::SockRef::from(&once).set_linger(Some(Duration::ZERO)).expect("so");
                }
                answered += 1;
            }
            answered
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("it does not panic");
    }
    answered as f64 / begin.elapsed().as_secs_f64()
}

/// The 99th percentile of the time to an answer, in µs, at a steady rate: from when each
/// request was due, whether or not the one before was answered by then.
pub(super) async fn latency(addr: SocketAddr, rate: f64, time: Duration) -> f64 {
    let interval = Duration::from_secs_f64(CONNECTIONS as f64 / rate);
    let (mut streams, mut answer) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(addr).await.expect("it accepts");
        stream.set_nodelay(true).expect("it is a socket");
        round_trip(&mut stream, KEPT, &mut answer).await;
        streams.push(stream);
    }
    let begin = Instant::now();
    let clients = streams.into_iter().enumerate().map(|(number, mut stream)| {
        tokio::task::spawn_local(async move {
            let (mut took, mut answer) = (Vec::new(), Vec::new());
            let mut due = begin + interval.mul_f64(number as f64 / CONNECTIONS as f64);
            while due < begin + time {
                // A timer is too coarse for this.
                while Instant::now() < due {
                    tokio::task::yield_now().await;
                }
                round_trip(&mut stream, KEPT, &mut answer).await;
                took.push(due.elapsed().as_secs_f64() * 1e6);
                due += interval;
            }
            took
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.expect("it does not panic"));
    }
    percentile(&mut took, 0.99)
}

/// Bodies of requests, one after the other on one connection, in MB in a second.
pub(super) async fn upload(addr: SocketAddr, time: Duration) -> f64 {
    const SIZE: usize = 8 << 20;
    let head = format!("POST /upload HTTP/1.1\r\nhost: bench\r\ncontent-length: {SIZE}\r\n\r\n");
    let piece = vec![b'x'; 64 << 10];
    let mut stream = TcpStream::connect(addr).await.expect("it accepts");
    let (mut bodies, mut answer) = (0, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < time {
        stream.write_all(head.as_bytes()).await.expect("it is there");
        for _ in 0..SIZE / piece.len() {
            stream.write_all(&piece).await.expect("it takes it");
        }
        answer.clear();
        while !answer.ends_with(b"hello") {
            assert!(stream.read_buf(&mut answer).await.expect("it answers") > 0);
        }
        bodies += 1;
    }
    (bodies * SIZE) as f64 / 1e6 / begin.elapsed().as_secs_f64()
}

/// Bodies of answers, in the same way.
pub(super) async fn download(addr: SocketAddr, time: Duration) -> f64 {
    let mut stream = TcpStream::connect(addr).await.expect("it accepts");
    let (mut bytes, mut read) = (0, vec![0; 256 << 10]);
    let begin = Instant::now();
    while begin.elapsed() < time {
        let request = b"GET /download HTTP/1.1\r\nhost: bench\r\n\r\n";
        stream.write_all(request).await.expect("it is there");
        // The head is a part of it, too: it is small.
        let mut left = super::DOWNLOAD;
        while left > 0 {
            let some = stream.read(&mut read).await.expect("it answers");
            assert!(some > 0);
            bytes += some;
            left = left.saturating_sub(some);
        }
    }
    bytes as f64 / 1e6 / begin.elapsed().as_secs_f64()
}
