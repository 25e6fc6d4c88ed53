//! What `axum::serve` does where there is nothing more to show than that.

use tokio::io::AsyncReadExt;

use crate::common::{Said, Server, WHILE};

#[tokio::test(flavor = "multi_thread")]
async fn axum_sends_nobody_away_who_says_nothing_or_half_a_head() {
    let server = Server::of_axum().await;
    for said in ["", "GET /heeds HTTP/1.1\r\nhost: te"] {
        let mut client = server.connect().await;
        client.send(said).await;
        let read = tokio::time::timeout(WHILE * 2, client.stream.read_u8()).await;
        assert!(read.is_err(), "{said:?} is answered: {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_asks_no_request_to_stop_and_waits_for_it() {
    let mut server = Server::of_axum().await;
    let mut client = server.begins("/waits").await;
    server.stop.drain();
    server.does_not_end().await;
    assert!(server.said.try_recv().is_err(), "nobody is told");
    let read = tokio::time::timeout(WHILE, client.stream.read_u8()).await;
    assert!(read.is_err(), "it is answered: {read:?}");
    // Its client has to go.
    drop(client);
    server.hears(Said::Dropped).await;
    assert!(server.ends().await.is_none());
}
