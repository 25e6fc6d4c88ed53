//! A server that stops, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::get;
use desist::Reason;
use desist_http::RequestToken;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use crate::common::{Client, PATIENCE, Probe, Said, Server, TcpServe, WHILE, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_is_answered_and_nothing_new_is_begun() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    idle.get("/quick").await;
    idle.reads("quick").await;
    let mut client = server.connect().await;
    client.post("/reads", 10, 5).await;
    server.hears(Said::Begun).await;
    server.stop.drain();
    // One that is idle is closed.
    idle.reads_to_the_end().await;
    // Another task closes the door, as soon as it is polled.
    let accepts_no_more = async {
        while tokio::net::TcpStream::connect(server.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, accepts_no_more).await.expect("it accepts no more");
    client.send("67890").await;
    client.reads("10 bytes").await;
    let report = server.ends().await.unwrap();
    assert!(report.is_clean() && report.asked().is_none(), "{report}");
}

/// Here and on axum.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_during_the_drain_says_that_the_connection_closes() {
    for mut server in [Server::start().await, Server::of_axum().await] {
        let mut client = server.connect().await;
        client.get("/quick").await;
        client.reads("quick").await;
        assert!(!client.has_read("connection: close"), "nobody drains");
        client.post("/reads", 10, 5).await;
        server.hears(Said::Begun).await;
        server.stop.drain();
        // Nothing shows when each connection has heard of it.
        server.hears_nothing().await;
        client.send("67890").await;
        client.reads("10 bytes").await;
        assert!(client.has_read("connection: close"));
        client.reads_to_the_end().await;
        server.hears(Said::Finished).await;
        server.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_do_not_end_are_asked_and_then_left_and_named() {
    let mut server = Server::start_with(|serve| serve.drain_for(WHILE).grace(WHILE)).await;
    let mut heeds = server.connect().await;
    heeds.get("/heeds").await;
    server.hears(Said::Begun).await;
    let mut deaf = server.connect().await;
    deaf.get("/deaf").await;
    server.hears(Said::Begun).await;
    let begin = Instant::now();
    server.stop.drain();
    server.hears(Said::Told(Reason::Shutdown)).await;
    assert!(begin.elapsed() >= WHILE);
    server.hears(Said::Finished).await;
    heeds.reads("503 Service Unavailable").await;
    heeds.reads("retry-after: 1").await;
    server.hears(Said::Dropped).await;
    let report = server.ends().await.unwrap();
    assert_eq!(report.asked().unwrap().reason(), Reason::Shutdown);
    let [running] = report.running() else { panic!("{report}") };
    assert_eq!((running.method().as_str(), running.route()), ("GET", "/deaf"));
    assert!(running.age() >= WHILE && running.peer().unwrap().starts_with("127.0.0.1:"));
    assert!(!running.is_rescued() && !report.is_clean());
    assert!(report.to_string().contains("GET /deaf, for "), "{report}");
}

/// On `axum::serve` it holds the stop for ever, if it is the first of its connection.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_of_a_request_holds_nobody_up() {
    const HALF: &str = "GET /heeds HTTP/1.1\r\nhost: te";
    for ours in [true, false] {
        for is_first in [true, false] {
            let mut server = if ours {
                Server::start_with(|serve| serve.drain_for(WHILE).grace(WHILE)).await
            } else {
                Server::of_axum().await
            };
            let mut client = server.connect().await;
            if is_first {
                client.send(HALF).await;
                // Nothing shows when it was read.
                tokio::time::sleep(WHILE).await;
            } else {
                // Behind another, with which it is read.
                client.send(format!("GET /quick HTTP/1.1\r\nhost: test\r\n\r\n{HALF}")).await;
                client.reads("quick").await;
            }
            server.stop.drain();
            if is_first && !ours {
                server.does_not_end().await;
                drop(client);
            }
            let report = server.ends().await;
            assert!(report.is_none_or(|report| report.running().is_empty()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_or_half_a_head_is_sent_away() {
    let server = Server::start_with(|serve| serve.head_timeout(WHILE)).await;
    for said in ["", "GET /heeds HTTP/1.1\r\nhost: te"] {
        let mut client = server.connect().await;
        client.send(said).await;
        client.reads_to_the_end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_outlives_its_client_is_waited_for_and_named() {
    let mut server = Server::start_with(|serve| serve.drain_for(WHILE).grace(WHILE)).await;
    let client = server.begins("/deaf").await;
    drop(client);
    server.hears_nothing().await;
    server.stop.drain();
    server.hears(Said::Dropped).await;
    let report = server.ends().await.unwrap();
    let [running] = report.running() else { panic!("{report}") };
    assert!(running.is_rescued());
    assert!(report.to_string().contains("whose client has gone"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_leaves_nobody() {
    let mut server = Server::start().await;
    let _client = server.begins("/deaf").await;
    server.abort();
    server.hears(Said::Dropped).await;
    // Whoever has kept the token of a request that runs is told as well.
    let mut server = crate::streams::server(true).await;
    let mut client = server.connect().await;
    client.get("/events").await;
    server.hears(Said::Begun).await;
    server.abort();
    server.hears_all([Said::Told(Reason::Dropped), Said::Dropped]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_open_than_allowed() {
    let mut server = Server::start_with(|serve| serve.max_connections(1)).await;
    let mut first = server.connect().await;
    first.get("/heeds").await;
    server.hears(Said::Begun).await;
    let mut second = server.connect().await;
    second.get("/heeds").await;
    server.hears_nothing().await;
    drop(first);
    server.hears_all([Said::Told(Reason::Disconnected), Said::Finished, Said::Begun]).await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_are_left_are_named_the_oldest_first() {
    let mut server = Server::start_with(|serve| serve.drain_for(WHILE).grace(WHILE)).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut first, &mut second] {
        client.get("/quick").await;
        client.reads("quick").await;
    }
    // In another order than their connections.
    for (client, path) in [(&mut second, "/deaf"), (&mut first, "/waits")] {
        client.get(path).await;
        server.hears(Said::Begun).await;
    }
    server.stop.drain();
    let report = server.ends().await.unwrap();
    let named: Vec<_> = report.running().iter().map(|running| running.route()).collect();
    assert_eq!(named, ["/deaf", "/waits"]);
}

/// Its destructor takes a moment.
struct Lingers(Probe);

impl Drop for Lingers {
    fn drop(&mut self) {
        std::thread::sleep(WHILE);
        self.0.say(Said::Dropped);
    }
}

async fn lingers(State(probe): State<Probe>) {
    probe.say(Said::Begun);
    let _lingers = Lingers(probe);
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_server_has_ended_those_that_are_left_have_been_dropped() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/lingers", get(lingers)).with_state(probe);
    let set_up = |serve: TcpServe| serve.drain_for(WHILE).grace(WHILE);
    let mut server = Server::of(app, said, set_up).await;
    let _client = server.begins("/lingers").await;
    let mut said = std::mem::replace(&mut server.said, mpsc::unbounded_channel().1);
    server.stop.drain();
    let report = server.ends().await.unwrap();
    assert_eq!(said.try_recv(), Ok(Said::Dropped));
    assert_eq!(report.running().len(), 1, "{report}");
}

/// Pieces of that many bytes for ever, until that fails; and how many there were.
fn pieces(
    size: usize,
    until: impl Fn() -> Result<(), desist::Cancelled> + Send + 'static,
    made: Arc<AtomicUsize>,
) -> Body {
    let piece = Bytes::from(vec![b'x'; size]);
    Body::from_stream(tokio_stream::iter(std::iter::repeat_with(move || {
        // Ordering: it only counts.
        made.fetch_add(1, Ordering::Relaxed);
        until().map(|()| piece.clone())
    })))
}

/// More than a client, a server and two kernels hold: behind such a piece nobody asks for
/// another one before the client reads. Of small pieces some are written, which leaves room
/// for one more, and whatever wakes the connection then asks for it.
const MORE_THAN_THERE_IS_ROOM_FOR: usize = 64 << 20;

/// Who waits for a client alone was not left; one that is deaf was, whoever reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off_and_is_no_failure() {
    let made = Arc::new(AtomicUsize::new(0));
    let (for_those, for_deaf) = (Arc::clone(&made), Arc::clone(&made));
    let heeds = |token: RequestToken| async move {
        pieces(MORE_THAN_THERE_IS_ROOM_FOR, move || token.check(), for_those)
    };
    let app = Router::new()
        .route("/heeds", get(heeds))
        .route("/deaf", get(|| async { pieces(65_536, || Ok(()), for_deaf) }));
    for (path, is_read) in [("/heeds", false), ("/deaf", true)] {
        let (_nobody, said) = mpsc::unbounded_channel();
        let quick = |serve: TcpServe| serve.drain_for(Duration::ZERO).grace(WHILE);
        let server = Server::of(app.clone(), said, quick).await;
        let mut client = Client::with_little_room(server.addr).await;
        client.get(path).await;
        client.reads("xxxx").await;
        let reads = tokio::spawn(async move {
            let mut piece = vec![0; 1 << 20];
            while is_read && client.stream.read(&mut piece).await.is_ok_and(|bytes| bytes > 0) {}
            // It stays.
            std::future::pending::<()>().await;
        });
        if is_read {
            // It is asked for more, again and again.
            // Ordering: it only counts.
            let made = || made.load(Ordering::Relaxed);
            let before = made();
            until(|| made() > before + 10).await;
        }
        server.stop.cancel();
        let report = server.ends().await.unwrap();
        let [left] = report.running() else { panic!("{report}") };
        assert_eq!(left.is_untaken(), !is_read, "{report}");
        assert_eq!(report.to_string().contains("did not take its answer"), !is_read);
        assert!(!report.is_clean());
        assert_eq!(report.into_result().is_err(), is_read);
        reads.abort();
    }
}
