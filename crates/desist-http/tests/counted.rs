//! What is counted and timed, in one place.
#![cfg(all(feature = "axum", feature = "metrics"))]

mod common;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use common::{Said, Server, Sums, WHILE};
use desist::Reason;
use desist_http::{DeadlineLayer, Deadlines, Policy, RequestToken, Stopped};
use tokio::sync::Notify;

#[test]
fn requests_are_counted_by_outcome_and_reason() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let policy = Policy::Cooperate { grace: std::time::Duration::from_millis(500) };
            let mut server = Server::start_with(|serve| serve.policy(policy).max_rescued(1)).await;
            let mut client = server.connect().await;
            client.get("/quick").await;
            client.reads("quick").await;
            drop(client);
            // One that heeds, one that has no room, one that is deaf.
            for path in ["/heeds", "/waits", "/deaf"] {
                let mut client = server.connect().await;
                client.get(path).await;
                server.hears(Said::Begun).await;
                drop(client);
                if path == "/heeds" {
                    server.hears(Said::Told(Reason::Disconnected)).await;
                }
                let ended = server.said.recv().await.unwrap();
                assert!(matches!(ended, Said::Finished | Said::Dropped));
            }
            server.stop.cancel_with(Reason::Shutdown);
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    let counted = sums.all();
    let of = |name: &str| counted.get(name).copied().unwrap_or_default();
    assert_eq!(of("desist_http_requests_total outcome=completed reason="), 1.0, "{counted:?}");
    assert_eq!(of("desist_http_requests_total outcome=cancelled reason=disconnected"), 3.0);
    assert_eq!(of("desist_http_cancel_latency_seconds reason=disconnected"), 3.0);
    assert_eq!(of("desist_http_rescued_total "), 2.0);
    assert_eq!(of("desist_http_abandoned_total why=grace_over"), 1.0);
    let described = sums.described();
    let names = counted.keys().map(|key| key.split(' ').next().unwrap().to_owned());
    let mut names: std::collections::BTreeSet<_> = names.collect();
    names.insert("desist_http_deadlines_total".into());
    assert_eq!(described, names, "each of them, and nothing else");
}

/// Waits for a deadline of its own, shorter than that of anybody else.
async fn short_of_time(token: RequestToken) -> Result<(), Stopped> {
    let own = token.child_with_timeout(std::time::Duration::ZERO);
    Err(own.token().cancelled().await.into())
}

/// Waits until it is told.
async fn heeds(token: RequestToken) -> Result<(), Stopped> {
    Err(token.cancelled().await.into())
}

#[test]
fn a_time_that_is_over_is_counted_by_whose_it_was() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Long enough that what is shorter is over before, on a busy machine as well.
    let short = WHILE * 3;
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let app = Router::new()
                .route("/late", get(short_of_time))
                .route("/heeds", get(heeds))
                .route("/deaf", get(std::future::pending::<()>))
                .route("/route", get(heeds).route_layer(DeadlineLayer::new(short)));
            let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
            let deadlines = Deadlines::new()
                .from_header(Deadlines::HEADER)
                .otherwise(short * 1000)
                .at_most(short);
            let server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
            for (path, header) in [
                // Its own, which is shorter than that of anybody else.
                ("/late", ""),
                ("/heeds", "x-request-timeout-ms: 1\r\n"),
                ("/deaf", "x-request-timeout-ms: 2\r\n"),
                // Capped, and of the route.
                ("/heeds", "x-request-timeout-ms: 60000\r\n"),
                ("/route", ""),
            ] {
                let mut client = server.connect().await;
                client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{header}\r\n")).await;
                client.reads("504").await;
            }
        });
    });
    let of = |whose| sums.of(&format!("desist_http_deadlines_total whose={whose}"));
    assert_eq!((of("handler"), of("client"), of("server")), (1.0, 2.0, 2.0), "{:?}", sums.all());
    assert_eq!(sums.of("desist_http_requests_total outcome=cancelled reason=deadline"), 5.0);
}

/// Panics when it is told, its client gone.
async fn panics_late(State(begins): State<Arc<Notify>>, token: RequestToken) {
    begins.notify_one();
    token.cancelled().await;
    panic!("in the cleanup");
}

async fn refuses(token: RequestToken) -> http::StatusCode {
    token.source().cancel_with(Reason::Superseded);
    http::StatusCode::BAD_REQUEST
}

async fn socket(upgrade: axum::extract::WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|mut socket| async move { while socket.recv().await.is_some() {} })
}

#[test]
fn what_ends_in_other_ways_is_counted_as_what_it_is() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Arc::new(Notify::new());
    let app = Router::new()
        .route("/late", get(short_of_time))
        .route("/panics", get(panics_late))
        .route("/refuses", get(refuses))
        .route("/socket", get(socket))
        .route("/plain", get(async || http::StatusCode::INTERNAL_SERVER_ERROR))
        .with_state(Arc::clone(&begun));
    let counted = |name: &str| sums.of(name);
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
            let server = Server::of(app, said, |serve| serve).await;
            for (path, status) in [("/late", "504"), ("/refuses", "400"), ("/plain", "500")] {
                let mut client = server.connect().await;
                client.get(path).await;
                client.reads(status).await;
            }
            let mut client = server.connect().await;
            client.send(common::HANDSHAKE).await;
            client.reads("101 Switching Protocols").await;
            assert_eq!(counted("desist_http_requests_total outcome=completed reason="), 0.0);
            // It says goodbye, and is said goodbye to.
            client.send(b"\x88\x80\0\0\0\0").await;
            client.reads_to_the_end().await;
            let mut client = server.connect().await;
            client.get("/panics").await;
            begun.notified().await;
            drop(client);
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    assert_eq!(counted("desist_http_requests_total outcome=cancelled reason=deadline"), 1.0);
    assert_eq!(counted("desist_http_requests_total outcome=cancelled reason=superseded"), 1.0);
    // The one that says so, and the one that panics.
    assert_eq!(counted("desist_http_requests_total outcome=failed reason="), 2.0);
    assert_eq!(counted("desist_http_requests_total outcome=completed reason="), 1.0);
    assert_eq!(counted("desist_http_rescued_total "), 1.0);
}

/// A body without an end, or one that panics.
async fn pours(request: axum::extract::Request) -> axum::body::Body {
    let panics = request.uri().path() == "/breaks";
    axum::body::Body::from_stream(tokio_stream::iter((0_u32..).map(move |piece| {
        assert!(!(panics && piece > 0), "the body breaks");
        Ok::<_, std::convert::Infallible>(vec![b'x'; 16_384])
    })))
}

#[test]
fn an_answer_that_breaks_off_is_counted_by_who_broke_it() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let app = Router::new().route("/pours", get(pours)).route("/breaks", get(pours));
            let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
            // Whatever the policy: of an answer that nobody reads nothing goes on.
            let server = Server::of(app, said, |serve| serve.policy(Policy::Detach)).await;
            let mut client = server.connect().await;
            client.get("/breaks").await;
            client.reads_to_the_end().await;
            let mut client = server.connect().await;
            client.get("/pours").await;
            client.reads("xxxx").await;
            drop(client);
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    let counted = sums.all();
    assert_eq!(counted["desist_http_requests_total outcome=failed reason="], 1.0, "{counted:?}");
    assert_eq!(counted["desist_http_requests_total outcome=cancelled reason=disconnected"], 1.0);
}

/// Says more than may be said: a body of a `HEAD`, and of what has not changed.
async fn says_too_much(
    request: axum::extract::Request,
) -> Result<axum::response::Response, std::convert::Infallible> {
    let mut response = axum::response::Response::new("nobody reads this".into());
    if request.method() == "POST" {
        *response.body_mut() = axum::body::Body::new(Exact(Some(bytes::Bytes::from("all of it"))));
    }
    if request.method() == "GET" {
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
    }
    Ok(response)
}

/// Says how long it is, and not that it is over.
struct Exact(Option<bytes::Bytes>);

impl http_body::Body for Exact {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(http_body::Frame::data).map(Ok))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.as_ref().map_or(0, |left| left.len() as u64))
    }
}

#[test]
fn answers_of_which_nobody_reads_a_body_are_complete_without() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let stop = desist_tokio::StopSource::new();
            let app = tower::make::Shared::new(tower::service_fn(says_too_much));
            let serves = desist_http::serve(listener, app).until(stop.stop()).into_future();
            let serves = tokio::spawn(serves);
            let mut client = common::Client::to(addr).await;
            client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n").await;
            client.reads("200 OK").await;
            client.get("/").await;
            client.reads("304 Not Modified").await;
            client.post("/", 0, 0).await;
            client.reads("all of it").await;
            stop.drain();
            assert!(serves.await.unwrap().is_clean());
        });
    });
    let counted = sums.all();
    assert_eq!(
        counted,
        BTreeMap::from([("desist_http_requests_total outcome=completed reason=".into(), 3.0)])
    );
}

/// A WebSocket on a stream of HTTP/2 ends with its token.
#[test]
fn a_socket_on_a_stream_is_counted_when_it_ends() {
    let sums = Sums::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counted = || sums.all();
    metrics::with_local_recorder(&sums, || {
        runtime.block_on(async {
            let app = Router::new().route("/socket", axum::routing::any(socket_with_a_token));
            let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
            let server = Server::of(app, said, |serve| serve).await;
            let mut client = common::Http2::to(server.addr).await;
            let (answer, _) = client.request("GET", "/nowhere", true);
            assert_eq!(answer.await.unwrap().status(), 404);
            let request = http::Request::builder()
                .method("CONNECT")
                .uri("http://test/socket")
                .header("sec-websocket-version", "13")
                .extension(h2::ext::Protocol::from_static("websocket"))
                .body(())
                .unwrap();
            let (answer, mut sends) = client.requests.send_request(request, false).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
            assert_eq!(counted()["desist_http_requests_total outcome=completed reason="], 1.0);
            sends.send_data(bytes::Bytes::new(), true).unwrap();
            server.stop.drain();
            assert!(server.ends().await.unwrap().is_clean());
        });
    });
    assert_eq!(counted()["desist_http_requests_total outcome=completed reason="], 2.0);
}

async fn socket_with_a_token(
    token: RequestToken,
    upgrade: axum::extract::WebSocketUpgrade,
) -> axum::response::Response {
    upgrade.on_upgrade(async move |mut socket| {
        while let Some(Ok(_)) = socket.recv().await {}
        drop(token);
    })
}
