//! Whoever waits takes no time of the processor.
#![cfg(all(feature = "axum", target_os = "linux"))]

mod common;

use std::time::Duration;

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::routing::any;
use common::{HANDSHAKE, Probe, Said, Server};

/// What this process has used, all threads together.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>());
    // A hundred in a second, whatever the kernel counts in.
    Duration::from_millis(ticks.map(Result::unwrap).sum::<u64>() * 10)
}

/// One that has heard something, and then says more than its peer takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_that_is_not_read_is_not_polled_for_nothing() {
    for ours in [true, false] {
        let (probe, said) = Probe::new();
        let talks = async move |upgrade: WebSocketUpgrade| {
            upgrade.on_upgrade(async move |mut socket| {
                socket.recv().await.unwrap().unwrap();
                let handler = probe.begin();
                let _gone = socket.send(Message::Binary(vec![0; 30_000_000].into())).await;
                handler.finish();
            })
        };
        let app = Router::new().route("/socket", any(talks));
        let mut server = if ours {
            Server::of(app, said, |serve| serve).await
        } else {
            Server::of_axum_with(app, said).await
        };
        let mut client = server.connect().await;
        client.send(HANDSHAKE).await;
        client.reads("\r\n\r\n").await;
        client.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
        server.hears(Said::Begun).await;
        // Until all that lies between is full.
        server.hears_nothing().await;
        let before = used();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let used = used() - before;
        assert!(used < Duration::from_millis(500), "{used:?} in a second");
        drop(client);
        server.hears(Said::Finished).await;
    }
}
