//! HTTP/1.1: clients that go.

use axum::{Router, routing::get};
use desist::{Reason, Token};
use desist_http::{Policy, RequestToken, Stopped};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::common::{Probe, Said, Server, WHILE, frames};

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
    // On axum a handler that waits is dropped.
    let mut server = Server::of_axum().await;
    let client = server.begins("/waits").await;
    client.reset();
    server.hears(Said::Dropped).await;
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

/// What hyper alone does not see: nobody reads the body, be it held or dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_behind_a_body_that_nobody_reads_is_noticed() {
    const UNREAD: [(usize, usize); 3] = [(300_000, 300_000), (1_000_000, 4_000), (1_000_000, 0)];
    for reset in [false, true] {
        for path in ["/heeds", "/holds"] {
            for body in UNREAD.into_iter().chain([(5, 5)]) {
                let mut server = Server::start().await;
                goes_behind(&mut server, path, body, reset).await;
                server.hears(Said::Told(Reason::Disconnected)).await;
                server.hears(Said::Finished).await;
            }
        }
        // On axum it goes on waiting, unless all of the body was read with the head.
        let mut server = Server::of_axum().await;
        goes_behind(&mut server, "/holds", (5, 5), reset).await;
        server.hears(Said::Dropped).await;
        for body in UNREAD {
            goes_behind(&mut server, "/waits", body, reset).await;
            goes_behind(&mut server, "/holds", body, reset).await;
        }
        server.hears_nothing().await;
    }
}

async fn goes_behind(server: &mut Server, path: &str, body: (usize, usize), reset: bool) {
    let mut client = server.connect().await;
    client.post(path, body.0, body.1).await;
    server.hears(Said::Begun).await;
    if reset {
        client.reset();
    }
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

/// Behind the first, which is told, come others: not one of them begins and is not told.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_waited_behind_a_client_that_goes_are_told_if_they_begin() {
    for (path, size) in [("/heeds", 0), ("/heeds", 5), ("/holds", 5), ("/holds", 100_000)] {
        for reset in [false, true] {
            let mut server = Server::start().await;
            let mut client = server.connect().await;
            for _ in 0..5 {
                client.post(path, size, size).await;
            }
            server.hears(Said::Begun).await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            let told = Said::Told(Reason::Disconnected);
            server.hears_all([told, Said::Finished]).await;
            // Whoever is not told holds this up, until it is told something else.
            server.stop.drain();
            let mut said = std::mem::replace(&mut server.said, mpsc::unbounded_channel().1);
            assert!(server.ends().await.unwrap().is_clean());
            let (mut begun, mut ended) = (0, 0);
            while let Ok(said) = said.try_recv() {
                match said {
                    Said::Begun => begun += 1,
                    Said::Finished => ended += 1,
                    said => assert_eq!(said, told, "{path} {size} {reset}"),
                }
            }
            assert_eq!(begun, ended);
        }
    }
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
    // On HTTP/2 there is no such thing: a GET of /heeds, and the end.
    let mut server = Server::start_with(|serve| serve.half_close(true)).await;
    let mut client = server.connect().await;
    client.send(frames::hello()).await;
    client.send(frames::get(1, "/heeds")).await;
    server.hears(Said::Begun).await;
    client.stream.shutdown().await.unwrap();
    server.hears(Said::Told(Reason::Disconnected)).await;
    let mut server = Server::start().await;
    let mut client = server.begins("/heeds").await;
    client.stream.shutdown().await.unwrap();
    server.hears(Said::Told(Reason::Disconnected)).await;
    // On axum its handler is dropped, and there is no setting for it.
    let mut server = Server::of_axum().await;
    let mut client = server.begins("/waits").await;
    client.stream.shutdown().await.unwrap();
    server.hears(Said::Dropped).await;
    assert_eq!(client.reads_to_the_end().await, "");
}

/// Neither here nor on axum.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_before_or_after_disturbs_nobody() {
    for mut server in [Server::start().await, Server::of_axum().await] {
        // Before a request, and in the middle of one.
        drop(server.connect().await);
        server.connect().await.reset();
        let mut client = server.connect().await;
        client.send("GET /heeds HT").await;
        drop(client);
        // After its answer.
        for reset in [false, true] {
            let mut client = server.connect().await;
            client.get("/quick").await;
            client.reads("quick").await;
            if reset {
                client.reset();
            }
        }
        server.hears_nothing().await;
        server.stop.drain();
        let report = server.ends().await;
        assert!(report.is_none_or(|report| report.is_clean() && report.asked().is_none()));
    }
}

/// The same connection again, after a request that was stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_after_a_request_that_was_stopped() {
    async fn stops_itself(token: Option<RequestToken>) -> Result<(), Stopped> {
        let Some(token) = token else {
            return Err(Token::cancelled_with(Reason::Superseded).check().unwrap_err().into());
        };
        token.source().cancel_with(Reason::Superseded);
        token.check()?;
        Ok(())
    }
    async fn looks(token: Option<RequestToken>) -> String {
        format!("{:?}", token.map(|token| token.reason()))
    }
    let app = Router::new().route("/stops", get(stops_itself)).route("/looks", get(looks));
    let (_probe, said) = Probe::new();
    let server = Server::of(app.clone(), said, |serve| serve).await;
    let (_probe, said) = Probe::new();
    let axum = Server::of_axum_with(app, said).await;
    for (server, looked) in [(server, "Some(None)"), (axum, "None")] {
        let mut client = server.connect().await;
        client.get("/stops").await;
        client.reads("499").await;
        client.reads("cancelled: superseded").await;
        client.get("/looks").await;
        client.reads(looked).await;
    }
}
