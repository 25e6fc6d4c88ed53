//! Bytes that nobody reads, and bodies that do not come: what lies behind them is seen,
//! and what is missing is said.
#![cfg(feature = "axum")]

mod common;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::routing::post;
use common::{PATIENCE, Said, Server, WHILE, app};
use desist::{Reason, find_cancelled};
use desist_http::{RequestToken, Stopped};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// Writes until nobody has room for more: the kernel here, the kernel there, the server.
async fn fill(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let (piece, mut sent) = (vec![b'x'; 64 * 1024], 0);
    while let Ok(written) = tokio::time::timeout(WHILE, stream.write(&piece)).await {
        sent += written.unwrap();
    }
    sent
}

const HEAD: &str = "POST /heeds HTTP/1.1\r\nhost: test\r\ncontent-length: 100000000\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn a_client_that_resets_behind_more_than_anybody_holds_is_noticed() {
    for half_close in [false, true] {
        let set_up = |serve: common::TcpServe| serve.read_ahead(10_000).half_close(half_close);
        let mut server = Server::start_with(set_up).await;
        let mut client = server.connect().await;
        client.send(HEAD).await;
        server.hears(Said::Begun).await;
        assert!(fill(&mut client.stream).await > 100_000);
        client.reset();
        server.hears(Said::Told(Reason::Disconnected)).await;
        server.hears(Said::Finished).await;
    }
    // The kernel is asked: where it cannot be, nobody knows.
    let mut server = Server::start_with(|serve| serve.read_ahead(10_000).tcp_of(|_| None)).await;
    let mut client = server.connect().await;
    client.send(HEAD).await;
    server.hears(Said::Begun).await;
    fill(&mut client.stream).await;
    client.reset();
    server.hears_nothing().await;
    // Nor on axum.
    let mut server = Server::of_axum().await;
    let mut client = server.connect().await;
    client.send(HEAD.replace("heeds", "waits")).await;
    server.hears(Said::Begun).await;
    fill(&mut client.stream).await;
    client.reset();
    server.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn a_client_that_closes_behind_unread_bytes_is_noticed_without_reading_ahead() {
    let mut server = Server::start_with(|serve| serve.read_ahead(0)).await;
    let mut client = server.connect().await;
    client.post("/heeds", 20_000, 20_000).await;
    server.hears(Said::Begun).await;
    // Urgent bytes are no goodbye.
    SockRef::from(&client.stream).send_out_of_band(b"!").unwrap();
    server.hears_nothing().await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    // One that may close its side has not gone by that.
    let mut server = Server::start_with(|serve| serve.read_ahead(0).half_close(true)).await;
    let mut client = server.connect().await;
    client.post("/heeds", 20_000, 20_000).await;
    server.hears(Said::Begun).await;
    client.stream.shutdown().await.unwrap();
    server.hears_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn on_a_unix_socket_too() {
    let path = std::env::temp_dir().join(format!("desist-http-unread-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (app, mut said) = app();
    tokio::spawn(async move { _ = desist_http::serve(listener, app).read_ahead(0).await });
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    client.write_all(HEAD.as_bytes()).await.unwrap();
    assert_eq!(said.recv().await, Some(Said::Begun));
    fill(&mut client).await;
    drop(client);
    let told = tokio::time::timeout(PATIENCE, said.recv()).await;
    assert_eq!(told.unwrap(), Some(Said::Told(Reason::Disconnected)));
}

/// A handler that has begun, and answers with more than anybody holds.
async fn pours(State(says): State<mpsc::UnboundedSender<String>>, token: RequestToken) -> Body {
    tokio::spawn(async move {
        let why = token.cancelled().await;
        says.send(why.reason().as_str().into()).unwrap();
    });
    let pieces = std::iter::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 16_384]));
    Body::from_stream(tokio_stream::iter(pieces))
}

/// While the server waits to write it reads ahead all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_while_it_reads_nothing_is_noticed() {
    let (says, mut said) = mpsc::unbounded_channel();
    let app = Router::new().route("/", axum::routing::get(pours)).with_state(says);
    let (_probe, nobody) = mpsc::unbounded_channel();
    let server = Server::of(app, nobody, |serve| serve).await;
    let mut client = server.connect().await;
    // With another request behind, so that hyper reads nothing.
    client.get("/").await;
    client.get("/").await;
    client.reads("xxxx").await;
    tokio::time::sleep(WHILE).await;
    assert!(said.is_empty());
    client.stream.shutdown().await.unwrap();
    let told = tokio::time::timeout(PATIENCE, said.recv()).await;
    assert_eq!(told.unwrap().as_deref(), Some("disconnected"));
}

/// Half a head that came while another request ran is one that does not come, too.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_behind_a_request_is_waited_for_no_longer() {
    let (app, said) = app();
    let go_on = std::sync::Arc::new(tokio::sync::Notify::new());
    let (says, mut begun) = mpsc::unbounded_channel();
    let waits = std::sync::Arc::clone(&go_on);
    let waits = async move || {
        says.send(()).unwrap();
        waits.notified().await;
        "it went on"
    };
    let app = app.route("/waits-for-us", axum::routing::get(waits));
    let server = Server::of(app, said, |serve| serve.head_timeout(WHILE)).await;
    let mut client = server.connect().await;
    client.get("/waits-for-us").await;
    begun.recv().await.unwrap();
    client.send("GET /quick HT").await;
    // Its time begins when its turn comes.
    tokio::time::sleep(WHILE * 2).await;
    go_on.notify_one();
    let read = client.reads_to_the_end().await;
    assert!(read.ends_with("it went on"), "{read}");
}

/// The time for a head is none for a body, nor for what comes after.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_take_longer_than_a_head() {
    let mut server = Server::start_with(|serve| serve.head_timeout(WHILE)).await;
    let mut client = server.connect().await;
    client.post("/reads", 4, 1).await;
    server.hears(Said::Begun).await;
    for _ in 0..3 {
        tokio::time::sleep(WHILE).await;
        client.send("x").await;
    }
    client.reads("4 bytes").await;
    server.hears(Said::Finished).await;
    // Idle for longer, and used again.
    tokio::time::sleep(WHILE * 2).await;
    client.get("/quick").await;
    client.reads("quick").await;
    // Half of the next head is one that does not come.
    client.send("GET /quick HT").await;
    client.reads_to_the_end().await;
}

/// Whoever sends it is there, and is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_none_is_no_goodbye() {
    let (says, mut said) = mpsc::unbounded_channel();
    let app = Router::new().route("/reads", post(reads)).with_state(says);
    let (_probe, nobody) = mpsc::unbounded_channel();
    let server = Server::of(app, nobody, |serve| serve).await;
    let mut client = server.connect().await;
    let head = "POST /reads HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(format!("{head}no number\r\n")).await;
    client.reads("HTTP/1.1 200 OK").await;
    assert_eq!(said.recv().await.unwrap(), "begun");
    assert_eq!(said.recv().await.unwrap(), "None, and the token None");
}

/// Reads when it was told, and says what it finds.
async fn reads_late(
    State(says): State<mpsc::UnboundedSender<String>>,
    token: RequestToken,
    request: Request,
) -> Result<(), Stopped> {
    says.send("begun".into()).unwrap();
    let why = token.cancelled().await;
    let read = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let error = read.expect_err("it is cut short");
    let found = find_cancelled(&error).map(|cancelled| cancelled.reason());
    says.send(format!("{found:?}: {}", std::error::Error::source(&error).unwrap())).unwrap();
    Err(why.into())
}

/// Reads at once, and says whether it knows why when that fails.
async fn reads(
    State(says): State<mpsc::UnboundedSender<String>>,
    token: RequestToken,
    request: Request,
) -> Result<(), Stopped> {
    says.send("begun".into()).unwrap();
    let read = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    let error = read.expect_err("it is cut short");
    let found = find_cancelled(&error).map(|cancelled| cancelled.reason());
    says.send(format!("{found:?}, and the token {:?}", token.reason())).unwrap();
    Ok(token.check()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_says_why() {
    let (says, mut said) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/late", post(reads_late))
        .route("/reads", post(reads))
        .with_state(says);
    let (_probe, nobody) = mpsc::unbounded_channel();
    let server = Server::of(app, nobody, |serve| serve).await;
    let mut hears = async || tokio::time::timeout(PATIENCE, said.recv()).await.unwrap().unwrap();
    let late = "Some(Disconnected): the rest of the request's body cannot be read; what came \
                of it is not all";
    let both = "Some(Disconnected), and the token Some(Disconnected)";
    for (path, expected) in [("/late", late), ("/reads", both)] {
        let mut client = server.connect().await;
        client.post(path, 1_000_000, 4_000).await;
        assert_eq!(hears().await, "begun");
        drop(client);
        assert_eq!(hears().await, expected);
        // The same in a stream of HTTP/2.
        let stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { _ = connection.await });
        let mut requests = requests.ready().await.unwrap();
        let request = http::Request::post(format!("http://test{path}")).body(()).unwrap();
        let (_answer, mut body) = requests.send_request(request, false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"half of it"), false).unwrap();
        assert_eq!(hears().await, "begun");
        body.send_reset(h2::Reason::CANCEL);
        assert_eq!(hears().await, expected);
    }
}
