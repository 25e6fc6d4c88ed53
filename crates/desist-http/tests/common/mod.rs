//! A server with handlers that say what becomes of them, and clients that misbehave.
#![allow(dead_code)] // Not every binary uses all of it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{any, get};
use desist::Reason;
use desist_http::{RequestToken, Serve, ServeReport, Stopped};
use desist_tokio::StopSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for what must not.
pub(crate) const WHILE: Duration = Duration::from_millis(300);

/// The beginning of a WebSocket, at `/socket`.
pub(crate) const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a handler has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Begun,
    Told(Reason),
    /// It came to its end.
    Finished,
    /// It was dropped in the middle.
    Dropped,
}

#[derive(Clone)]
pub(crate) struct Probe {
    says: mpsc::UnboundedSender<Said>,
}

/// Says how a handler ended.
struct Handler {
    probe: Probe,
    finished: bool,
}

impl Probe {
    pub(crate) fn say(&self, said: Said) {
        let _ = self.says.send(said);
    }

    fn begin(&self) -> Handler {
        self.say(Said::Begun);
        Handler { probe: self.clone(), finished: false }
    }
}

impl Handler {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.probe.say(if self.finished { Said::Finished } else { Said::Dropped });
    }
}

/// Waits for its token, and for as long again as its cleanup takes.
async fn heeds(State(probe): State<Probe>, token: RequestToken) -> Result<&'static str, Stopped> {
    let handler = probe.begin();
    let why = token.cancelled().await;
    probe.say(Said::Told(why.reason()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    handler.finish();
    Err(why.into())
}

/// Takes no token and waits.
async fn waits(State(probe): State<Probe>) -> &'static str {
    let handler = probe.begin();
    tokio::time::sleep(PATIENCE * 3).await;
    handler.finish();
    "waited"
}

/// Has its token and never looks at it.
async fn deaf(State(probe): State<Probe>, token: RequestToken) -> &'static str {
    let handler = probe.begin();
    tokio::time::sleep(PATIENCE * 3).await;
    drop(token);
    handler.finish();
    "waited"
}

/// Reads all of the body, says how it went, and answers.
async fn reads(
    State(probe): State<Probe>,
    token: RequestToken,
    request: Request,
) -> Result<String, Stopped> {
    let handler = probe.begin();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
    if let Some(cancelled) = token.cancellation() {
        probe.say(Said::Told(cancelled.reason()));
        handler.finish();
        return Err(cancelled.into());
    }
    handler.finish();
    Ok(format!("{} bytes", body.map_or(0, |body| body.len())))
}

/// The handlers, at paths of their names.
pub(crate) fn app() -> (Router, mpsc::UnboundedReceiver<Said>) {
    let (says, said) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/heeds", any(heeds))
        .route("/waits", any(waits))
        .route("/deaf", any(deaf))
        .route("/reads", any(reads))
        .route("/quick", get(|| async { "quick" }))
        .with_state(Probe { says });
    (app, said)
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) stop: StopSource,
    pub(crate) said: mpsc::UnboundedReceiver<Said>,
    serves: JoinHandle<Option<ServeReport>>,
}

pub(crate) type TcpServe = Serve<TcpListener, Router, Router>;

impl Server {
    /// Ours, set up by `set_up`.
    pub(crate) async fn start_with(set_up: impl FnOnce(TcpServe) -> TcpServe) -> Self {
        let (app, said) = app();
        Self::of(app, said, set_up).await
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(|serve| serve).await
    }

    pub(crate) async fn of(
        app: Router,
        said: mpsc::UnboundedReceiver<Said>,
        set_up: impl FnOnce(TcpServe) -> TcpServe,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let serve = set_up(desist_http::serve(listener, app).until(stop.stop()));
        let serves = tokio::spawn(async move { Some(serve.await) });
        Self { addr, stop, said, serves }
    }

    /// The same handlers on `axum::serve`, to show what that does.
    pub(crate) async fn of_axum() -> Self {
        let (app, said) = app();
        Self::of_axum_with(app, said).await
    }

    pub(crate) async fn of_axum_with(app: Router, said: mpsc::UnboundedReceiver<Said>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = StopSource::new();
        let draining = stop.stop().draining().clone();
        let serves = axum::serve(listener, app).with_graceful_shutdown(async move {
            draining.cancelled().await;
        });
        let serves = tokio::spawn(async move {
            serves.await.unwrap();
            None
        });
        Self { addr, stop, said, serves }
    }

    pub(crate) async fn hears(&mut self, said: Said) {
        let heard = tokio::time::timeout(PATIENCE, self.said.recv()).await;
        assert_eq!(heard.unwrap_or_else(|_| panic!("nobody says {said:?}")), Some(said));
    }

    pub(crate) async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(WHILE, self.said.recv()).await;
        assert!(heard.is_err(), "somebody says {:?}", heard.unwrap());
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap(), read: Vec::new() }
    }

    /// A client whose request has come to its handler.
    pub(crate) async fn begins(&mut self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.get(path).await;
        self.hears(Said::Begun).await;
        client
    }

    /// Waits for the end of the server.
    pub(crate) async fn ends(self) -> Option<ServeReport> {
        let ended = tokio::time::timeout(PATIENCE, self.serves).await;
        ended.expect("the server ends").unwrap()
    }

    /// Drops the server in the middle.
    pub(crate) fn abort(&self) {
        self.serves.abort();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.serves.is_finished()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    }

    /// The head of a request with a body of that length, and so much of the body.
    pub(crate) async fn post(&mut self, path: &str, length: usize, sent: usize) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        self.send(vec![b'x'; sent]).await;
    }

    /// Reads until the answer has that in it.
    pub(crate) async fn reads(&mut self, text: &str) {
        let reads = async {
            while !self.has_read(text) {
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "it ends with {:?}", String::from_utf8_lossy(&self.read));
            }
        };
        tokio::time::timeout(PATIENCE, reads).await.unwrap_or_else(|_| panic!("never: {text}"));
    }

    fn has_read(&self, text: &str) -> bool {
        self.read.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Reads to the end of the connection.
    pub(crate) async fn reads_to_the_end(&mut self) -> String {
        let reads = self.stream.read_to_end(&mut self.read);
        let _ = tokio::time::timeout(PATIENCE, reads).await.expect("it ends");
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Goes without a word of goodbye.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(self.stream);
    }
}
