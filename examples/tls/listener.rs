//! A listener that gives out connections when they have shaken hands.
//!
//! Each handshake is a task of its own, so one that takes its time keeps nobody waiting.
//! It has a limit, and so has their number: beyond it, clients wait in the system's queue
//! until one of those before them is done or out of time. The tasks belong to the
//! listener and end with it, that is when the server begins to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

pub(crate) struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    /// Those that go on, and those that are done and not given out yet.
    handshakes: JoinSet<(io::Result<TlsStream<TcpStream>>, SocketAddr)>,
    most: usize,
    limit: Duration,
    failed: Box<dyn FnMut(SocketAddr, io::Error) + Send>,
}

impl TlsListener {
    /// A thousand handshakes at once, of ten seconds at most, and failures are not told.
    pub(crate) fn new(tcp: TcpListener, config: Arc<ServerConfig>) -> Self {
        Self {
            tcp,
            acceptor: config.into(),
            handshakes: JoinSet::new(),
            most: 1000,
            limit: Duration::from_secs(10),
            failed: Box::new(|_, _| {}),
        }
    }

    /// So many handshakes at once.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub(crate) fn handshakes(mut self, most: usize) -> Self {
        assert!(most > 0, "without a handshake nobody is served; allow at least 1");
        self.most = most;
        self
    }

    /// So long a handshake may take.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whom to tell of a handshake that fails. The internet sends many that do.
    pub(crate) fn on_failure(
        mut self,
        failed: impl FnMut(SocketAddr, io::Error) + Send + 'static,
    ) -> Self {
        self.failed = Box::new(failed);
        self
    }

    fn begin(&mut self, tcp: TcpStream, peer: SocketAddr) {
        let (accept, limit) = (self.acceptor.accept(tcp), self.limit);
        self.handshakes.spawn(async move {
            let shaken = timeout(limit, accept).await.unwrap_or_else(|_| {
                let said = format!("it took longer than {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, said))
            });
            (shaken, peer)
        });
    }
}

/// For `serve`: what it sets and sees on a TCP connection, below the encryption.
pub(crate) fn tcp_of(stream: &TlsStream<TcpStream>) -> Option<&TcpStream> {
    Some(stream.get_ref().0)
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    /// Dropped in the middle it loses nothing: what goes on goes on in its task.
    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => match done {
                    Ok((Ok(stream), peer)) => return (stream, peer),
                    Ok((Err(error), peer)) => (self.failed)(peer, error),
                    // It panicked, which was told where it did.
                    Err(_) => {}
                },
                // That of axum, which sees to errors, as when there are no more files.
                (tcp, peer) = Listener::accept(&mut self.tcp),
                    if self.handshakes.len() < self.most => self.begin(tcp, peer),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
