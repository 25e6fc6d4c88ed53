//! How soon a handler hears that its client is gone.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::routing::any;
use desist_http::{RequestToken, Stopped};
use desist_tokio::StopSource;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::load::KEPT;
use super::percentile;

pub(super) fn hearing(goes: usize) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one");
    runtime.block_on(async {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let begun = Arc::new(tokio::sync::Notify::new());
        let begins = Arc::clone(&begun);
        let app = Router::new().route(
            "/",
            any(move |token: RequestToken| {
                let (tell, begins) = (tell.clone(), Arc::clone(&begins));
                async move {
                    begins.notify_one();
                    let why = token.cancelled().await;
                    let _ = tell.send(Instant::now());
                    Err::<(), _>(Stopped::from(why))
                }
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stop = StopSource::new();
        let serves =
            tokio::spawn(desist_http::serve(listener, app).until(stop.stop()).into_future());
        let unread = |size: usize| {
            let mut request =
                format!("POST / HTTP/1.1\r\nhost: bench\r\ncontent-length: {size}\r\n\r\n")
                    .into_bytes();
            request.resize(request.len() + size, b'x');
            request
        };
        let pipelined = [KEPT, KEPT].concat();
        for (what, request) in [
            ("a plain GET", KEPT.to_vec()),
            ("behind 300 kB that nobody reads", unread(300_000)),
            ("with another request waiting", pipelined),
        ] {
            let mut took = Vec::new();
            for _ in 0..goes {
                let mut client = TcpStream::connect(addr).await.expect("it accepts");
                client.write_all(&request).await.expect("it takes it");
                begun.notified().await;
                let gone = Instant::now();
                drop(client);
                let heard = told.recv().await.expect("it says so");
                took.push(heard.saturating_duration_since(gone).as_secs_f64() * 1e3);
            }
            report(what, &mut took);
        }
        for (what, whole) in
            [("HTTP/2, a stream reset", false), ("HTTP/2, a connection closed", true)]
        {
            let mut took = Vec::new();
            for _ in 0..goes {
                let stream = TcpStream::connect(addr).await.expect("it accepts");
                // Else its own kernel holds the reset back, until what went before is heard.
                stream.set_nodelay(true).expect("it is a socket");
                let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
                let drives = tokio::spawn(async move { _ = connection.await });
                let mut requests = requests.ready().await.expect("it is there");
                let request = http::Request::builder()
                    .method("POST")
                    .uri("http://bench/")
                    .body(())
                    .expect("one");
                let (_answer, mut body) = requests.send_request(request, false).expect("it goes");
                body.send_data(bytes::Bytes::from(vec![b'x'; 300_000]), false).expect("it goes");
                begun.notified().await;
                let gone = Instant::now();
                if whole {
                    drives.abort();
                } else {
                    body.send_reset(h2::Reason::CANCEL);
                }
                let heard = told.recv().await.expect("it says so");
                took.push(heard.saturating_duration_since(gone).as_secs_f64() * 1e3);
                drives.abort();
            }
            report(what, &mut took);
        }
        stop.cancel();
        let _report = serves.await;
    });
}

fn report(what: &str, took: &mut [f64]) {
    let (half, most) = (percentile(took, 0.5), percentile(took, 0.99));
    println!("client gone, {what}: heard after {half:.3} ms, p99 {most:.3} ms, aim ≤ 5 ms");
}
