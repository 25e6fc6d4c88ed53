//! HTTP/1.1: clients that go.

use desist::Reason;
use desist_http::Policy;
use tokio::io::AsyncWriteExt;

use crate::common::{Said, Server, WHILE};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_tells_its_handler_which_then_finishes() {
    let mut server = Server::start().await;
    let client = server.begins("/heeds").await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    // On axum a handler that waits is dropped, and told nothing.
    let mut server = Server::of_axum().await;
    let client = server.begins("/waits").await;
    drop(client);
    server.hears(Said::Dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_tells_its_handler() {
    let mut server = Server::start().await;
    let client = server.begins("/heeds").await;
    client.reset();
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_took_no_token_is_dropped_as_ever() {
    let mut server = Server::start().await;
    let client = server.begins("/waits").await;
    drop(client);
    server.hears(Said::Dropped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_heed_its_token_has_its_grace_and_no_more() {
    let policy = Policy::Cooperate { grace: WHILE };
    let mut server = Server::start_with(|serve| serve.policy(policy)).await;
    let client = server.begins("/deaf").await;
    let begin = std::time::Instant::now();
    drop(client);
    server.hears(Said::Dropped).await;
    assert!(begin.elapsed() >= WHILE);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_policy_it_is_dropped_or_let_alone() {
    let mut server = Server::start_with(|serve| serve.policy(Policy::Drop)).await;
    let client = server.begins("/heeds").await;
    drop(client);
    server.hears(Said::Dropped).await;
    let mut server = Server::start_with(|serve| serve.policy(Policy::Detach)).await;
    let client = server.begins("/heeds").await;
    drop(client);
    server.hears_nothing().await;
    // A stop of the server is still told.
    server.stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    server.hears(Said::Finished).await;
    assert!(server.ends().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn those_for_whom_there_is_no_room_are_dropped() {
    let mut server = Server::start_with(|serve| serve.max_rescued(1)).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = server.begins("/deaf").await;
        clients.push(client);
    }
    drop(clients);
    // One goes on, in its grace of five seconds, and one does not.
    server.hears(Said::Dropped).await;
    server.hears_nothing().await;
}

/// What hyper alone does not see: nobody reads the body.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_behind_a_body_that_nobody_reads_is_noticed() {
    for (length, sent) in [(5, 5), (300_000, 300_000), (1_000_000, 4_000), (1_000_000, 0)] {
        for reset in [false, true] {
            let mut server = Server::start().await;
            let mut client = server.connect().await;
            client.post("/heeds", length, sent).await;
            server.hears(Said::Begun).await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            server.hears(Said::Told(Reason::Disconnected)).await;
            server.hears(Said::Finished).await;
        }
    }
    // On axum nobody is told: it goes on waiting.
    let mut server = Server::of_axum().await;
    let mut client = server.connect().await;
    client.post("/waits", 300_000, 300_000).await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_with_another_request_waiting_is_noticed() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.get("/heeds").await;
    client.get("/quick").await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    let mut server = Server::of_axum().await;
    let mut client = server.connect().await;
    client.get("/waits").await;
    client.get("/quick").await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears_nothing().await;
}

/// What was read ahead is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_behind_another_is_answered() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.post("/reads", 300_000, 1_000).await;
    server.hears(Said::Begun).await;
    client.send(vec![b'x'; 299_000]).await;
    client.get("/quick").await;
    client.reads("300000 bytes").await;
    client.reads("quick").await;
    server.hears(Said::Finished).await;
    // Many at once, more than are read in one piece.
    let mut client = server.connect().await;
    for _ in 0..2_000 {
        client.get("/quick").await;
    }
    client.send("GET /nowhere HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    let answers = client.reads_to_the_end().await;
    assert_eq!(answers.matches("quick").count(), 2_000);
    assert!(answers.contains("404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_can_no_longer_be_read_fails() {
    let mut server = Server::start().await;
    let mut client = server.connect().await;
    client.post("/reads", 1_000_000, 4_000).await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
}

/// It is legal, and by default not told from going.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_only_its_side_is_served_where_that_is_set() {
    let mut server = Server::start_with(|serve| serve.half_close(true)).await;
    let mut client = server.connect().await;
    client.post("/reads", 5, 5).await;
    client.stream.shutdown().await.unwrap();
    client.reads("5 bytes").await;
    server.hears(Said::Begun).await;
    server.hears(Said::Finished).await;
    let mut client = server.connect().await;
    client.get("/heeds").await;
    client.stream.shutdown().await.unwrap();
    server.hears(Said::Begun).await;
    server.hears_nothing().await;
    let mut server = Server::start().await;
    let mut client = server.begins("/heeds").await;
    client.stream.shutdown().await.unwrap();
    server.hears(Said::Told(Reason::Disconnected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_before_or_after_disturbs_nobody() {
    let mut server = Server::start().await;
    // Before a request, and in the middle of one.
    drop(server.connect().await);
    let mut client = server.connect().await;
    client.send("GET /heeds HT").await;
    drop(client);
    // After its answer.
    let mut client = server.connect().await;
    client.get("/quick").await;
    client.reads("quick").await;
    drop(client);
    server.hears_nothing().await;
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}

/// The same connection again, after a request whose token was cancelled by the handler.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_after_a_request_that_was_stopped() {
    use axum::{Router, routing::get};
    use desist_http::{RequestToken, Stopped};
    async fn stops_itself(token: RequestToken) -> Result<(), Stopped> {
        token.source().cancel_with(Reason::Superseded);
        token.check()?;
        Ok(())
    }
    let (_says, said) = tokio::sync::mpsc::unbounded_channel();
    let app = Router::new()
        .route("/stops", get(stops_itself))
        .route("/looks", get(|token: RequestToken| async move { format!("{:?}", token.reason()) }));
    let server = Server::of(app, said, |serve| serve).await;
    let mut client = server.connect().await;
    client.get("/stops").await;
    client.reads("499").await;
    client.reads("cancelled: superseded").await;
    client.get("/looks").await;
    client.reads("None").await;
}
