//! Whatever `axum::serve` takes, and the layer without our server.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::connect_info::Connected;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use desist::Reason;
use desist_http::{Incoming, Policy, PolicyLayer, RequestLayer, RequestToken, serve};
use desist_tokio::StopSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{PATIENCE, Said, Server, app};

/// What a client on that stream is answered.
async fn answer(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    answer
}

#[derive(Clone)]
struct Port(u16);

impl Connected<Incoming<'_, TcpListener>> for Port {
    fn connect_info(incoming: Incoming<'_, TcpListener>) -> Self {
        assert!(incoming.io().peer_addr().is_ok());
        Self(incoming.remote_addr().port())
    }
}

#[tokio::test]
async fn make_services_know_who_is_connected() {
    let app = Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serves = serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    tokio::spawn(async move { _ = serves.await });
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let own = stream.local_addr().unwrap().to_string();
    assert!(answer(&mut stream).await.ends_with(&own));

    let app = Router::new().route(
        "/",
        get(|ConnectInfo(Port(port)): ConnectInfo<Port>| async move { port.to_string() }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        _ = serve(listener, app.into_make_service_with_connect_info::<Port>()).await;
    });
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let own = stream.local_addr().unwrap().port().to_string();
    assert!(answer(&mut stream).await.ends_with(&own));
}

#[tokio::test]
#[cfg(unix)]
async fn any_listener_is_served() {
    let app = || {
        Router::new()
            .route("/", get(|token: RequestToken| async move { format!("{:?}", token.reason()) }))
    };
    let path = std::env::temp_dir().join(format!("desist-http-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { _ = serve(listener, app()).await });
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    assert!(answer(&mut stream).await.ends_with("None"));
    std::fs::remove_file(&path).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = Listener::local_addr(&listener).unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    tokio::spawn(async move { _ = serve(listener, app()).await });
    assert!(answer(&mut TcpStream::connect(addr).await.unwrap()).await.ends_with("None"));
}

/// The layer's half of it works under any server: the handler is told, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn under_axums_own_server_the_layer_tells_as_well() {
    let (app, said) = app();
    let stop = StopSource::new();
    let app = app.layer(RequestLayer::new(stop.stop()));
    let mut server = Server::of_axum_with(app, said).await;
    let client = server.begins("/heeds").await;
    drop(client);
    server.hears(Said::Told(Reason::Disconnected)).await;
    server.hears(Said::Finished).await;
    // And a stop of the server's.
    let mut client = server.begins("/heeds").await;
    stop.cancel_with(Reason::Shutdown);
    server.hears(Said::Told(Reason::Shutdown)).await;
    client.reads("503 Service Unavailable").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_a_policy_of_its_own_and_a_second_layer_changes_nothing() {
    let (app, said) = app();
    let app = app
        .route_layer(PolicyLayer::new(Policy::Drop))
        .layer(RequestLayer::new(StopSource::new().stop()).policy(Policy::Detach));
    let mut server = Server::of(app, said, |serve| serve).await;
    let client = server.begins("/heeds").await;
    drop(client);
    server.hears(Said::Dropped).await;
}

#[tokio::test]
async fn a_handler_without_a_layer_is_told_what_to_do() {
    let (app, said) = app();
    let server = Server::of_axum_with(app, said).await;
    let mut client = server.connect().await;
    client.get("/heeds").await;
    client.reads("500 Internal Server Error").await;
    client.reads("desist_http::serve").await;
}

/// A handler that panics takes its connection along, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_is_a_failure_of_its_own() {
    let (_says, said) = tokio::sync::mpsc::unbounded_channel();
    let app = Router::new()
        .route(
            "/panics",
            get(|token: RequestToken| async move {
                if !token.is_cancelled() {
                    panic!("no ink");
                }
            }),
        )
        .route("/quick", get(|| async { "quick" }));
    let server = Server::of(app, said, |serve| serve).await;
    let mut client = server.connect().await;
    client.get("/panics").await;
    assert_eq!(client.reads_to_the_end().await, "");
    let mut client = server.connect().await;
    client.get("/quick").await;
    client.reads("quick").await;
    drop(client);
    server.stop.drain();
    assert!(server.ends().await.unwrap().is_clean());
}
