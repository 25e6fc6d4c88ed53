//! Clients that read a large answer slowly: the server has to wait for them.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use desist::Reason;
use desist_http::RequestToken;

use crate::common::{Client, Http2, Probe, Said, Server, WHILE, next_of};

const PIECE: usize = 64 * 1024;

/// More than what all buffers between hold: half of it is still with the handler when
/// the client has read the other half.
const LENGTH: usize = PIECE * 256;

/// On HTTP/2 the client says how much it takes, which is little.
const STREAM: usize = PIECE * 64;

#[derive(Clone)]
struct Download {
    probe: Probe,
    length: usize,
    given: Arc<AtomicUsize>,
    token: Arc<Mutex<Option<RequestToken>>>,
}

/// Byte after byte of it is known.
fn piece(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); PIECE]
}

async fn large(State(download): State<Download>, token: Option<RequestToken>) -> Response {
    if let Some(token) = &token {
        download.probe.watches(token);
    }
    *download.token.lock().unwrap() = token;
    let mut handler = Some(download.probe.begin());
    let length = download.length;
    let pieces = (0..length / PIECE).map(move |number| {
        let given = PIECE + download.given.fetch_add(PIECE, SeqCst);
        if given == length {
            handler.take().expect("it is the last one").finish();
        }
        Ok::<_, Infallible>(piece(number))
    });
    let body = Body::from_stream(tokio_stream::iter(pieces));
    Response::builder().header("content-length", length).body(body).unwrap()
}

struct Large {
    server: Server,
    download: Download,
    ours: bool,
}

impl Large {
    async fn on(ours: bool, length: usize) -> Self {
        let (probe, said) = Probe::new();
        let download = Download { probe, length, given: Arc::default(), token: Arc::default() };
        let app = Router::new().route("/large", get(large)).with_state(download.clone());
        let server = if ours {
            Server::of(app, said, |serve| serve.drain_for(WHILE).grace(WHILE)).await
        } else {
            Server::of_axum_with(app, said).await
        };
        Self { server, download, ours }
    }

    /// The server waits: it has not given all, and the token lives.
    fn assert_waits(&mut self) {
        assert!(
            self.download.given.load(SeqCst) < self.download.length,
            "the server does not wait"
        );
        let token = self.download.token.lock().unwrap();
        assert_eq!(token.as_ref().map(|token| token.is_cancelled()), self.ours.then_some(false));
        assert!(self.server.said.try_recv().is_err(), "nobody was told");
    }

    /// All was given; nobody was told, nor will be.
    async fn has_ended(mut self) {
        self.server.hears(Said::Finished).await;
        self.server.hears_nothing().await;
        self.server.stop.drain();
        assert!(self.server.ends().await.is_none_or(|report| report.is_clean()));
    }

    async fn sees_the_client_go(mut self) {
        if self.ours {
            self.server.hears_all([Said::Told(Reason::Disconnected), Said::Dropped]).await;
        } else {
            // On axum the answer is dropped, and nobody told.
            self.server.hears(Said::Dropped).await;
            self.server.hears_nothing().await;
        }
    }

    /// Asked to stop, with a client that does not read on.
    async fn stops(&mut self, begin: Instant) {
        self.server.stop.drain();
        self.server.hears_all([Said::Told(Reason::Shutdown), Said::Dropped]).await;
        assert!(begin.elapsed() >= WHILE * 2);
    }
}

fn assert_whole(body: &[u8], length: usize) {
    assert_eq!(body.len(), length);
    assert_begins(body);
}

/// It is the beginning of the answer, or all of it.
fn assert_begins(body: &[u8]) {
    for (number, read) in body.chunks(PIECE).enumerate() {
        assert!(piece(number).starts_with(read), "piece {number} is another");
    }
}

/// On HTTP/1.1: reads up to so many bytes, slowly.
async fn reads_slowly(client: &mut Client, from: usize, to: usize) -> &[u8] {
    for length in (from..to).step_by(4 * PIECE) {
        client.reads_body(length + 4 * PIECE).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.reads_body(to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_answered_whole_and_its_token_lives_meanwhile() {
    for ours in [true, false] {
        let mut large = Large::on(ours, LENGTH).await;
        let mut client = Client::with_little_room(large.server.addr).await;
        client.get("/large").await;
        large.server.hears(Said::Begun).await;
        reads_slowly(&mut client, 0, LENGTH / 2).await;
        large.assert_waits();
        assert_whole(reads_slowly(&mut client, LENGTH / 2, LENGTH).await, LENGTH);
        large.has_ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_that_goes_in_the_middle_is_noticed() {
    for ours in [true, false] {
        for reset in [true, false] {
            let mut large = Large::on(ours, LENGTH).await;
            let mut client = Client::with_little_room(large.server.addr).await;
            client.get("/large").await;
            large.server.hears(Said::Begun).await;
            reads_slowly(&mut client, 0, LENGTH / 4).await;
            large.assert_waits();
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            large.sees_the_client_go().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_no_stop_up() {
    let mut large = Large::on(true, LENGTH).await;
    let mut client = Client::with_little_room(large.server.addr).await;
    client.get("/large").await;
    large.server.hears(Said::Begun).await;
    client.reads_body(PIECE).await;
    large.assert_waits();
    large.stops(Instant::now()).await;
    let report = large.server.ends().await.unwrap();
    let [running] = report.running() else { panic!("{report}") };
    assert_eq!(running.route(), "/large");
    // On axum the stop takes as long as the client.
    let mut large = Large::on(false, LENGTH).await;
    let mut client = Client::with_little_room(large.server.addr).await;
    client.get("/large").await;
    large.server.hears(Said::Begun).await;
    client.reads_body(PIECE).await;
    large.server.stop.drain();
    large.server.does_not_end().await;
    assert_whole(client.reads_body(LENGTH).await, LENGTH);
    large.server.hears(Said::Finished).await;
    large.server.ends().await;
}

/// On HTTP/2: reads on to so many bytes, slowly.
async fn reads_stream(body: &mut h2::RecvStream, read: &mut Vec<u8>, to: usize) {
    while read.len() < to {
        for _ in 0..16 {
            if read.len() < STREAM {
                read.extend(next_of(body).await.expect("there is more").unwrap());
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn begins_stream(large: &mut Large) -> (Http2, h2::RecvStream) {
    let mut connection = Http2::to(large.server.addr).await;
    let (answer, _) = connection.request("GET", "/large", true);
    large.server.hears(Said::Begun).await;
    (connection, answer.await.unwrap().into_body())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_stream_is_answered_whole_and_its_token_lives_meanwhile() {
    for ours in [true, false] {
        let mut large = Large::on(ours, STREAM).await;
        let (connection, mut body) = begins_stream(&mut large).await;
        let mut read = Vec::new();
        reads_stream(&mut body, &mut read, STREAM / 2).await;
        large.assert_waits();
        reads_stream(&mut body, &mut read, STREAM).await;
        while let Some(more) = next_of(&mut body).await {
            read.extend(more.unwrap());
        }
        assert_whole(&read, STREAM);
        drop((body, connection.requests));
        large.has_ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_stream_that_goes_in_the_middle_is_noticed() {
    for ours in [true, false] {
        for goes in [true, false] {
            let mut large = Large::on(ours, STREAM).await;
            let (connection, mut body) = begins_stream(&mut large).await;
            reads_stream(&mut body, &mut Vec::new(), STREAM / 4).await;
            large.assert_waits();
            if goes {
                connection.goes().await;
                large.sees_the_client_go().await;
            } else {
                drop(body);
                large.sees_the_client_go().await;
                drop(connection);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_stream_holds_no_stop_up() {
    let mut large = Large::on(true, STREAM).await;
    let (_connection, _body) = begins_stream(&mut large).await;
    large.assert_waits();
    large.stops(Instant::now()).await;
    let report = large.server.ends().await.unwrap();
    let [running] = report.running() else { panic!("{report}") };
    assert_eq!(running.route(), "/large");
    // On axum the stop takes as long as the client.
    let mut large = Large::on(false, STREAM).await;
    let (_connection, mut body) = begins_stream(&mut large).await;
    large.server.stop.drain();
    large.server.does_not_end().await;
    let mut read = Vec::new();
    while read.len() < STREAM {
        match next_of(&mut body).await.expect("there is more") {
            Ok(more) => read.extend(more),
            // It closes the connection with words about windows unread, which resets it:
            // what the client has not read by then is lost.
            Err(error) if is_reset(&error) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_begins(&read);
    large.server.hears(Said::Finished).await;
    large.server.ends().await;
}

/// That its connection is reset, as it shows before the server's close and behind it.
fn is_reset(error: &h2::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    error.get_io().is_some_and(|error| matches!(error.kind(), ConnectionReset | BrokenPipe))
}
