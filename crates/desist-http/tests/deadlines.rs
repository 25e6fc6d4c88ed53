//! How long requests may take, over real sockets.
#![cfg(feature = "axum")]

mod common;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{any, get};
use common::{Probe, Said, Server, TcpServe, WHILE, left, next_of};
use desist::Reason;
use desist_http::{DeadlineLayer, Deadlines, Policy, PolicyLayer, RequestToken};
use tokio::sync::Notify;
use tokio_stream::Stream;
use tokio_stream::wrappers::IntervalStream;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

fn asks() -> Deadlines {
    Deadlines::new().from_header(Deadlines::HEADER)
}

async fn start(set_up: impl FnOnce(TcpServe) -> TcpServe) -> Server {
    let (app, said) = common::app();
    let app = app.route("/left", get(left));
    Server::of(app, said, set_up).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_heeds_its_token_is_told_and_answers() {
    let mut server = start(|serve| serve.deadlines(Deadlines::new().otherwise(WHILE))).await;
    let begin = Instant::now();
    let mut client = server.begins("/heeds").await;
    server.hears(Said::Told(Reason::Deadline)).await;
    assert!(begin.elapsed() >= WHILE);
    server.hears(Said::Finished).await;
    client.reads("504 Gateway Timeout").await;
    client.reads("cancelled: deadline").await;
    // And its connection lives.
    client.get("/quick").await;
    client.reads("quick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_took_no_token_is_dropped_and_one_that_is_deaf_has_its_grace() {
    let policy = Policy::Cooperate { grace: WHILE };
    let deadlines = Deadlines::new().otherwise(WHILE);
    let mut server = start(|serve| serve.deadlines(deadlines).policy(policy)).await;
    for (path, least) in [("/waits", WHILE), ("/deaf", WHILE * 2)] {
        let begin = Instant::now();
        let mut client = server.begins(path).await;
        client.reads("504 Gateway Timeout").await;
        assert!(begin.elapsed() >= least, "{path} after {:?}", begin.elapsed());
        server.hears(Said::Dropped).await;
    }
}

/// It goes on, and its client is answered.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_detached_goes_on_without_an_answer_of_its_own() {
    let (probe, said) = Probe::new();
    let ends = Arc::new(Notify::new());
    let may_end = Arc::clone(&ends);
    let works = get(async move |token: RequestToken| {
        let handler = probe.begin();
        may_end.notified().await;
        probe.say(Said::Told(token.cancellation().unwrap().reason()));
        handler.finish();
    });
    let works = works.route_layer(PolicyLayer::new(Policy::Detach));
    let app = Router::new().route("/works", works);
    let deadlines = Deadlines::new().otherwise(WHILE);
    let mut server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    let mut client = server.begins("/works").await;
    client.reads("504 Gateway Timeout").await;
    server.hears_nothing().await;
    ends.notify_one();
    server.hears(Said::Told(Reason::Deadline)).await;
    server.hears(Said::Finished).await;
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_says_is_seen_up_to_the_cap_and_otherwise_the_routes_or_the_servers() {
    let (app, said) = common::app();
    let long = DeadlineLayer::new(LONG * 2).at_most(LONG * 4);
    let app = app
        .route("/left", get(left))
        .route("/long", get(left).route_layer(long))
        .route("/ever", get(left).route_layer(DeadlineLayer::none()))
        .route("/both", get(left).route_layer(DeadlineLayer::none()).layer(long));
    let deadlines = asks().from_grpc().otherwise(LONG).at_most(LONG * 3);
    let server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    for (path, header, seconds) in [
        ("/left", "", 599),
        ("/left", "x-request-timeout-ms: 5000", 4),
        ("/left", "grpc-timeout: 2M", 119),
        ("/left", "x-request-timeout-ms: 99999999999999999999999", 1799),
        ("/left", "x-request-timeout-ms: 9000\r\nx-request-timeout-ms: 7000", 6),
        // None of these is a time, and so nothing is said.
        ("/left", "x-request-timeout-ms: -5", 599),
        ("/left", "x-request-timeout-ms: ", 599),
        ("/left", "x-request-timeout-ms: 5s", 599),
        ("/left", "grpc-timeout: 5", 599),
        ("/long", "", 1199),
        ("/long", "x-request-timeout-ms: 5000", 4),
        ("/long", "grpc-timeout: 99999999H", 2399),
        ("/ever", "x-request-timeout-ms: 5000", 4),
    ] {
        let mut client = server.connect().await;
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        client.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{header}\r\n")).await;
        client.reads(&format!("\r\n\r\n{seconds}.")).await;
    }
    for path in ["/ever", "/both"] {
        let mut client = server.connect().await;
        client.get(path).await;
        client.reads("for ever").await;
    }
    // Nobody is asked who is not to be.
    let server = start(|serve| serve).await;
    let mut client = server.connect().await;
    client.send("GET /left HTTP/1.1\r\nhost: test\r\nx-request-timeout-ms: 1\r\n\r\n").await;
    client.reads("for ever").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_time_is_refused_where_that_is_set() {
    let mut server = start(|serve| serve.deadlines(asks().refuse_malformed())).await;
    let mut client = server.connect().await;
    client.send("GET /waits HTTP/1.1\r\nhost: test\r\nx-request-timeout-ms: soon\r\n\r\n").await;
    client.reads("400 Bad Request").await;
    client.reads("x-request-timeout-ms is no time: \"soon\"; send milliseconds, as digits").await;
    server.hears_nothing().await;
    client.get("/quick").await;
    client.reads("quick").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_without_any_time_does_not_begin() {
    let mut server = start(|serve| serve.deadlines(asks())).await;
    let mut client = server.connect().await;
    client.send("GET /heeds HTTP/1.1\r\nhost: test\r\nx-request-timeout-ms: 0\r\n\r\n").await;
    client.reads("504 Gateway Timeout").await;
    server.hears_nothing().await;
}

/// It is told like one that answers, and cut off where it is deaf.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_on_its_way_has_the_same_time() {
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/pours", any(pours))
        .route("/heeds", any(pours_while_it_may))
        .with_state(probe);
    let deadlines = Deadlines::new().otherwise(WHILE);
    let mut server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    for (path, whole) in [("/pours", false), ("/heeds", true)] {
        let begin = Instant::now();
        let mut client = server.begins(path).await;
        let read = client.reads_to_the_end_of(|read| read.ends_with("0\r\n\r\n")).await;
        assert!(begin.elapsed() >= WHILE);
        assert_eq!(read.ends_with("0\r\n\r\n"), whole, "{path}");
        server.hears(Said::Dropped).await;
    }
}

async fn deaf_after_a_stop_of_its_own(token: RequestToken) {
    token.source().cancel_with(Reason::Superseded);
    std::future::pending().await
}

async fn pours_after_a_stop_of_its_own(State(probe): State<Probe>, token: RequestToken) -> Body {
    token.source().cancel_with(Reason::Superseded);
    Body::from_stream(ticks(&probe))
}

/// Which is no way to have more time.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_stopped_itself_has_the_same_time() {
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/deaf", any(deaf_after_a_stop_of_its_own))
        .route("/pours", any(pours_after_a_stop_of_its_own))
        .with_state(probe);
    let policy = Policy::Cooperate { grace: WHILE };
    let deadlines = Deadlines::new().otherwise(WHILE);
    let mut server = Server::of(app, said, |serve| serve.deadlines(deadlines).policy(policy)).await;
    let begin = Instant::now();
    let mut client = server.connect().await;
    client.get("/deaf").await;
    client.reads("504 Gateway Timeout").await;
    assert!(begin.elapsed() >= WHILE * 2);
    let mut client = server.begins("/pours").await;
    let read = client.reads_to_the_end_of(|read| read.ends_with("0\r\n\r\n")).await;
    assert!(!read.ends_with("0\r\n\r\n"), "it looks whole");
    server.hears(Said::Dropped).await;
}

async fn looks(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    assert!(!RequestToken::peek(request.extensions()).unwrap().is_cancelled());
    next.run(request).await
}

/// Somebody has looked at its token when it gets the time of its route.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_cannot_lengthen_the_time_of_its_route() {
    let lengthens = get(async |token: RequestToken| {
        token.source().cancel_after(LONG);
        desist_http::Stopped::from(token.cancelled().await)
    });
    let app = Router::new()
        .route("/", lengthens.route_layer(DeadlineLayer::new(WHILE)))
        .layer(axum::middleware::from_fn(looks));
    let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::of(app, said, |serve| serve).await;
    let mut client = server.connect().await;
    client.get("/").await;
    client.reads("504 Gateway Timeout").await;
}

type Ticks = std::pin::Pin<Box<dyn Stream<Item = Result<&'static str, Infallible>> + Send>>;

fn ticks(probe: &Probe) -> Ticks {
    let handler = probe.begin();
    let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(20)));
    Box::pin(tokio_stream::StreamExt::map(ticks, move |_| {
        let _held = &handler;
        Ok("tick ")
    }))
}

async fn pours(State(probe): State<Probe>) -> Body {
    Body::from_stream(ticks(&probe))
}

async fn pours_while_it_may(State(probe): State<Probe>, token: RequestToken) -> Body {
    use desist_tokio::StreamExt;
    Body::from_stream(ticks(&probe).until_cancelled(&token))
}

/// What a handler says that took no token, at the very moment, is said whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_is_given_whole() {
    for policy in [Policy::default(), Policy::Drop] {
        let (_nobody, said) = tokio::sync::mpsc::unbounded_channel();
        let late = any(|| async {
            std::thread::sleep(WHILE);
            "as much as there was"
        });
        let app = Router::new().route("/late", late);
        let deadlines = Deadlines::new().otherwise(WHILE / 2);
        let set_up = |serve: TcpServe| serve.deadlines(deadlines).policy(policy);
        let server = Server::of(app, said, set_up).await;
        let mut client = server.connect().await;
        client.get("/late").await;
        client.reads("200 OK").await;
        client.reads("as much as there was").await;
    }
}

/// As tonic and others have it: the status is at the end, wherever that is.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_grpc_are_told_in_their_own_way() {
    let (probe, said) = Probe::new();
    let app = Router::new()
        .route("/unary", any(std::future::pending::<()>))
        .route("/stream", any(pours))
        .with_state(probe);
    let deadlines = Deadlines::new().from_grpc().refuse_malformed();
    let server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    let mut connection = common::Http2::to(server.addr).await;
    for (path, timeout, status) in
        [("/unary", "200m", "4"), ("/stream", "200m", "4"), ("/unary", "soon", "13")]
    {
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://test{path}"))
            .header("content-type", "application/grpc+proto")
            .header("grpc-timeout", timeout)
            .body(())
            .unwrap();
        let (answer, _) = connection.requests.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let said = if path == "/stream" {
            let mut body = answer.into_body();
            while let Some(bytes) = next_of(&mut body).await {
                bytes.unwrap();
            }
            body.trailers().await.unwrap().expect("it ends with a status")
        } else {
            answer.headers().clone()
        };
        assert_eq!(said["grpc-status"], status, "{path} {timeout}");
        assert!(!said["grpc-message"].is_empty());
    }
}

async fn never(_: http::Request<()>) -> Result<http::Response<Body>, Infallible> {
    std::future::pending().await
}

/// The layer alone, as under another server: the answer has no words.
#[tokio::test(start_paused = true)]
async fn a_layer_under_any_server_gives_the_same_answers() {
    use tower::{Layer, ServiceExt};
    let app = tower::service_fn(never);
    let layer = desist_http::RequestLayer::new(desist_tokio::Stop::never());
    let layer = layer.deadlines(asks().refuse_malformed());
    for (time, status) in [("20", 504), ("0", 504), ("x", 400)] {
        let request = http::Request::builder().header("x-request-timeout-ms", time).body(());
        let answer = layer.layer(app).oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), status);
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
        assert!(body.to_bytes().is_empty());
    }
}

/// That is no time: what a server does then is its own affair, as with those without.
#[tokio::test]
async fn a_stop_of_the_server_does_not_count_as_time() {
    use tower::{Layer, ServiceExt};
    let stop = desist_tokio::StopSource::new();
    let deadlines = Deadlines::new().otherwise(LONG);
    let policy = Policy::Cooperate { grace: Duration::ZERO };
    let layer = desist_http::RequestLayer::new(stop.stop()).deadlines(deadlines).policy(policy);
    let app = layer.layer(tower::service_fn(never));
    let mut answer = std::pin::pin!(app.oneshot(http::Request::new(())));
    stop.cancel_with(Reason::Shutdown);
    assert!(tokio::time::timeout(WHILE, &mut answer).await.is_err(), "it is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_time_is_told_of_a_stop_of_the_server() {
    let deadlines = Deadlines::new().otherwise(LONG);
    let mut server = start(|serve| serve.deadlines(deadlines)).await;
    let mut client = server.begins("/heeds").await;
    server.stop.cancel();
    server.hears_all([Said::Told(Reason::Shutdown), Said::Finished]).await;
    client.reads("503 Service Unavailable").await;
    assert!(server.ends().await.unwrap().is_clean());
}

/// What a handler sets itself is its own to heed, also where the server has times.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_of_the_handlers_own_is_not_the_requests() {
    async fn works(token: RequestToken) -> &'static str {
        token.source().cancel_after(Duration::from_millis(1));
        token.cancelled().await;
        // It goes on, and answers.
        tokio::time::sleep(WHILE / 10).await;
        "in its own time"
    }
    let (_, said) = Probe::new();
    let app = Router::new().route("/", any(works));
    let server = Server::of(app, said, |serve| {
        serve.deadlines(Deadlines::new().otherwise(LONG)).policy(Policy::Detach)
    });
    let mut client = server.await.connect().await;
    client.get("/").await;
    client.reads("200 OK").await;
    client.reads("in its own time").await;
}

/// There it could not say how it ends, and would look whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_calls_itself_grpc_on_http1_is_broken_off_like_any_other() {
    let (probe, said) = Probe::new();
    let app = Router::new().route("/pours", any(pours)).with_state(probe);
    let deadlines = Deadlines::new().otherwise(WHILE);
    let mut server = Server::of(app, said, |serve| serve.deadlines(deadlines)).await;
    let mut client = server.connect().await;
    let kind = "content-type: application/grpc";
    client.send(format!("GET /pours HTTP/1.1\r\nhost: test\r\n{kind}\r\n\r\n")).await;
    server.hears(Said::Begun).await;
    let read = client.reads_to_the_end_of(|read| read.ends_with("0\r\n\r\n")).await;
    assert!(!read.ends_with("0\r\n\r\n"), "it looks whole");
    server.hears(Said::Dropped).await;
}
