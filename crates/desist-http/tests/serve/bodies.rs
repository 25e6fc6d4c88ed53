//! Bodies of requests that end in the middle: reading fails, and does not hang.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use bytes::Bytes;
use desist::{Reason, find_cancelled};
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::common::{Http2, PATIENCE, Probe, Said, Server};
use desist_http::RequestToken;

/// How a body ended: after so many bytes, which are what they were, or with that.
type Ended = Result<usize, axum::Error>;

#[derive(Clone)]
struct Reads {
    probe: Probe,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Reads {
    async fn reads(&self, request: Request) {
        let body = request.into_body().collect().await;
        let _ = self.ended.send(body.map(|body| {
            let body = body.to_bytes();
            assert!(body.iter().all(|byte| *byte == b'x'), "it is another body");
            body.len()
        }));
    }
}

/// Reads from the start.
async fn early(State(reads): State<Reads>, token: Option<RequestToken>, request: Request) {
    let handler = reads.probe.begin();
    reads.reads(request).await;
    drop(token);
    handler.finish();
}

/// Reads only after it was told that there will be no more.
async fn late(State(reads): State<Reads>, token: Option<RequestToken>, request: Request) {
    let handler = reads.probe.begin();
    let Some(token) = token else { std::future::pending().await };
    let why = token.cancelled().await;
    reads.probe.say(Said::Told(why.reason()));
    reads.reads(request).await;
    handler.finish();
}

/// Ours, or axum's.
async fn server(ours: bool) -> (Server, mpsc::UnboundedReceiver<Ended>) {
    let (probe, said) = Probe::new();
    let (ended, ends) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/early", post(early))
        .route("/late", post(late))
        .with_state(Reads { probe, ended });
    let server = if ours {
        Server::of(app, said, |serve| serve).await
    } else {
        Server::of_axum_with(app, said).await
    };
    (server, ends)
}

async fn ended(ends: &mut mpsc::UnboundedReceiver<Ended>) -> Ended {
    let ended = tokio::time::timeout(PATIENCE, ends.recv()).await;
    ended.expect("reading ends").expect("somebody reads")
}

/// It was not read to its end, and says why; ours says so as one that was stopped.
async fn fails(ends: &mut mpsc::UnboundedReceiver<Ended>, ours: bool) {
    let error = ended(ends).await.expect_err("it is not whole");
    let cancelled = find_cancelled(&error).map(|cancelled| cancelled.reason());
    assert_eq!(cancelled, ours.then_some(Reason::Disconnected), "{error:?}");
}

/// Neither whole, nor anything that could be taken for it.
const PARTS: [(usize, usize); 3] = [(1_000_000, 4_000), (1_000_000, 0), (10, 9)];

/// Here and on axum.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_can_no_longer_be_read_fails() {
    for ours in [true, false] {
        let (mut server, mut ends) = server(ours).await;
        for (length, sent) in PARTS {
            for reset in [false, true] {
                let mut client = server.connect().await;
                client.post("/early", length, sent).await;
                server.hears(Said::Begun).await;
                if reset {
                    client.reset();
                } else {
                    drop(client);
                }
                fails(&mut ends, ours).await;
                server.hears(Said::Finished).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_read_only_after_its_client_has_gone_fails() {
    let (mut server, mut ends) = server(true).await;
    for (length, sent) in PARTS {
        for reset in [false, true] {
            let mut client = server.connect().await;
            client.post("/late", length, sent).await;
            server.hears(Said::Begun).await;
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            server.hears(Said::Told(Reason::Disconnected)).await;
            fails(&mut ends, true).await;
            server.hears(Said::Finished).await;
        }
    }
    // On axum nobody is told.
    let (mut server, _ends) = self::server(false).await;
    let mut client = server.connect().await;
    client.post("/late", 1_000_000, 4_000).await;
    server.hears(Said::Begun).await;
    drop(client);
    server.hears_nothing().await;
}

/// What had come whole before its client went is whole still.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_sent_whole_is_read_whole() {
    let (mut server, mut ends) = server(true).await;
    for length in [5, 300_000] {
        let mut client = server.connect().await;
        client.post("/late", length, length).await;
        server.hears(Said::Begun).await;
        drop(client);
        server.hears(Said::Told(Reason::Disconnected)).await;
        assert_eq!(ended(&mut ends).await.unwrap(), length);
        server.hears(Said::Finished).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_in_the_middle_of_its_body_fails_to_be_read() {
    for (ours, path) in [(true, "/early"), (true, "/late"), (false, "/early")] {
        let (mut server, mut ends) = server(ours).await;
        for goes in [false, true] {
            let mut connection = Http2::to(server.addr).await;
            let (_answer, mut body) = connection.request("POST", path, false);
            body.send_data(Bytes::from_static(&[b'x'; 4_000]), false).unwrap();
            server.hears(Said::Begun).await;
            if goes {
                connection.goes().await;
            } else {
                body.send_reset(h2::Reason::CANCEL);
            }
            if path == "/late" {
                server.hears(Said::Told(Reason::Disconnected)).await;
            }
            fails(&mut ends, ours).await;
            server.hears(Said::Finished).await;
        }
    }
}
