//! What may stand in the place of an app: as on `axum::serve`, to which each is given as
//! well.

use std::convert::Infallible;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::handler::{Handler, HandlerWithoutStateExt};
use axum::response::Response;
use axum::routing::get;
use axum::serve::{IncomingStream, Listener, ListenerExt};
use axum::{Router, ServiceExt};
use desist_http::{Incoming, RequestToken, serve};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tower::make::Shared;
use tower_service::Service;

use crate::common::Client;

/// Whether it has a token, and who asks, where the app is told.
async fn says(request: Request) -> String {
    let token = RequestToken::of(request.extensions()).is_ok();
    let (mut parts, _) = request.into_parts();
    let peer = ConnectInfo::<SocketAddr>::from_request_parts(&mut parts, &()).await;
    format!("token: {token}, peer: {}", peer.map_or(0, |ConnectInfo(peer)| peer.port()))
}

async fn asks(addr: SocketAddr, has_token: bool, knows_peer: bool) {
    let mut client = Client::to(addr).await;
    let port = if knows_peer { client.stream.local_addr().unwrap().port() } else { 0 };
    client.send("GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    let answer = client.reads_to_the_end().await;
    assert!(answer.ends_with(&format!("\r\n\r\ntoken: {has_token}, peer: {port}")), "{answer}");
}

/// On ours, and on axum's.
async fn is_served<M, S, A>(app: M, knows_peer: bool)
where
    M: for<'a> Service<Incoming<'a, TcpListener>, Error = Infallible, Response = S>
        + for<'a> Service<IncomingStream<'a, TcpListener>, Error = Infallible, Response = A>
        + Clone
        + Send
        + 'static,
    for<'a> <M as Service<Incoming<'a, TcpListener>>>::Future: Send,
    for<'a> <M as Service<IncomingStream<'a, TcpListener>>>::Future: Send,
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    A: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    A::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = app.clone();
    tokio::spawn(async move { _ = serve(listener, served).await });
    asks(addr, true, knows_peer).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { _ = axum::serve(listener, app).await });
    asks(addr, false, knows_peer).await;
}

#[tokio::test]
async fn routers_and_their_make_services_are_served() {
    let router = || Router::new().route("/", get(says));
    is_served(router(), false).await;
    is_served(router().into_make_service(), false).await;
    is_served(router().into_make_service_with_connect_info::<SocketAddr>(), true).await;
    is_served(ServiceExt::<Request>::into_make_service(router()), false).await;
}

#[tokio::test]
async fn method_routers_and_their_make_services_are_served() {
    is_served(get(says), false).await;
    is_served(get(says).into_make_service(), false).await;
    is_served(get(says).into_make_service_with_connect_info::<SocketAddr>(), true).await;
}

#[tokio::test]
async fn handlers_are_served() {
    is_served(says.into_service(), false).await;
}

#[tokio::test]
async fn make_services_of_handlers_are_served() {
    is_served(says.into_make_service(), false).await;
    is_served(says.into_make_service_with_connect_info::<SocketAddr>(), true).await;
    is_served(says.with_state(()).into_make_service(), false).await;
    let make = says.with_state(()).into_make_service_with_connect_info::<SocketAddr>();
    is_served(make, true).await;
}

#[tokio::test]
async fn shared_services_and_make_services_of_ones_own_are_served() {
    is_served(Shared::new(Router::new().route("/", get(says))), false).await;
    is_served(Shared::new(says.into_service()), false).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let make = tower::service_fn(|incoming: Incoming<'_, TcpListener>| {
        let port = incoming.remote_addr().port();
        let said = get(move || async move { format!("token: true, peer: {port}") });
        async move { Ok::<_, Infallible>(Router::new().route("/", said)) }
    });
    tokio::spawn(async move { _ = serve(listener, make).await });
    asks(addr, true, true).await;
}

/// A listener of one's own, whose streams are no connections of TCP but have one.
struct Wraps {
    listener: TcpListener,
    /// The same sockets once more, to look at.
    twins: mpsc::UnboundedSender<std::net::TcpStream>,
}

struct Wrapped(TcpStream);

impl Listener for Wraps {
    type Io = Wrapped;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wrapped, SocketAddr) {
        let (stream, addr) = self.listener.accept().await.unwrap();
        self.twins
            .send(std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned().unwrap().into())
            .unwrap();
        (Wrapped(stream), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, read)
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_peer_is_asked_and_given_up_in_whole_seconds() {
    let seconds = Duration::from_secs;
    let nothing = Duration::ZERO;
    for (time, given_up, expected) in [
        (Some(Duration::from_millis(500)), None, (true, seconds(1), seconds(1), nothing)),
        (Some(seconds(6)), Some(seconds(3)), (true, seconds(6), seconds(1), seconds(3))),
        (Some(seconds(60)), None, (true, seconds(60), seconds(10), nothing)),
        (None, None, Default::default()),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (twins, mut sockets) = mpsc::unbounded_channel();
        let app = Router::new().route("/", get(says));
        let server = serve(Wraps { listener, twins }, app);
        let server = server.tcp_of(|Wrapped(tcp)| Some(tcp));
        let server = server.tcp_keepalive(time).tcp_user_timeout(given_up);
        tokio::spawn(server.into_future());
        asks(addr, true, false).await;
        let socket = sockets.recv().await.unwrap();
        let socket = socket2::SockRef::from(&socket);
        let is_set = (
            socket.keepalive().unwrap(),
            socket.tcp_keepalive_time().unwrap(),
            socket.tcp_keepalive_interval().unwrap(),
            socket.tcp_user_timeout().unwrap().unwrap_or_default(),
        );
        if time.is_some() {
            assert_eq!(is_set, expected, "{time:?}");
        } else {
            assert!(!is_set.0 && is_set.3.is_zero(), "{is_set:?}");
        }
    }
}

/// Its clients have their addresses; what is set on TCP is set where one says it is.
#[tokio::test]
async fn listeners_of_ones_own_are_served_and_tuned_where_they_say() {
    for says_where in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (twins, mut sockets) = mpsc::unbounded_channel();
        let app = Router::new().route("/", get(says));
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = serve(Wraps { listener, twins }, app);
        if says_where {
            server = server.tcp_of(|Wrapped(tcp)| Some(tcp));
        }
        assert_eq!(server.local_addr().unwrap(), addr);
        tokio::spawn(server.into_future());
        asks(addr, true, true).await;
        let socket = sockets.recv().await.unwrap();
        let keeps_alive = socket2::SockRef::from(&socket).keepalive().unwrap();
        assert_eq!((keeps_alive, socket.nodelay().unwrap()), (says_where, says_where));
    }
}

#[tokio::test]
async fn clients_of_a_tapped_listener_have_their_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = Listener::local_addr(&listener).unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    let app = Router::new().route("/", get(says));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(serve(listener, app).into_future());
    asks(addr, true, true).await;
}
