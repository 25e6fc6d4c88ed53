//! Where a database is, and the sockets to it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// One of the places that a configuration names, found.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Tcp {
        addr: SocketAddr,
        host: Option<String>,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    /// Set when the other side has closed it.
    has_ended: Option<Ended>,
}

/// Whether a socket's other side has closed it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended(Arc<AtomicBool>);

impl Ended {
    fn sets(&self) {
        // Ordering: who asks is the task that has read.
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        // Ordering: as in `sets`.
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Place {
    /// All of them, in the order in which they are to be tried.
    pub(super) async fn all(config: &Config) -> io::Result<Vec<Self>> {
        let (hosts, addrs, ports) =
            (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let mut places = Vec::new();
        for index in 0..hosts.len().max(addrs.len()) {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            let host = hosts.get(index);
            if let Some(addr) = addrs.get(index) {
                let host = match host {
                    Some(Host::Tcp(host)) => Some(host.clone()),
                    _ => None,
                };
                places.push(Self::Tcp { addr: SocketAddr::new(*addr, port), host });
                continue;
            }
            match host {
                Some(Host::Tcp(host)) => {
                    for addr in tokio::net::lookup_host((host.as_str(), port)).await? {
                        places.push(Self::Tcp { addr, host: Some(host.clone()) });
                    }
                }
                #[cfg(unix)]
                Some(Host::Unix(folder)) => {
                    places.push(Self::Unix(folder.join(format!(".s.PGSQL.{port}"))));
                }
                #[allow(unreachable_patterns)]
                Some(_) | None => {}
            }
        }
        if places.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no host is named"));
        }
        Ok(places)
    }

    /// For TLS.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => host.as_deref(),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }

    pub(super) async fn connect(&self, config: &Config) -> io::Result<Socket> {
        let connects = self.connect_without_limit(config);
        match config.get_connect_timeout() {
            Some(limit) if !limit.is_zero() => tokio::time::timeout(*limit, connects).await?,
            _ => connects.await,
        }
    }

    async fn connect_without_limit(&self, config: &Config) -> io::Result<Socket> {
        match self {
            Self::Tcp { addr, .. } => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                keep_alive(&stream, config)?;
                Ok(Socket::of(Stream::Tcp(stream)))
            }
            #[cfg(unix)]
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Ok(Socket::of(Stream::Unix(stream)))
            }
        }
    }
}

fn keep_alive(stream: &TcpStream, config: &Config) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    if let Some(time) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*time))?;
    }
    if !config.get_keepalives() {
        return Ok(());
    }
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    let interval = config.get_keepalives_interval().unwrap_or(Duration::from_secs(10));
    keepalive = keepalive.with_interval(interval);
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    socket.set_tcp_keepalive(&keepalive)
}

impl Socket {
    fn of(stream: Stream) -> Self {
        Self { stream, has_ended: None }
    }

    /// And what says that its other side has closed it.
    pub(super) fn watched(self) -> (Self, Ended) {
        let ended = Ended::default();
        (Self { has_ended: Some(ended.clone()), ..self }, ended)
    }
}

macro_rules! with {
    ($socket:expr, $stream:ident => $does:expr) => {
        match &mut $socket.get_mut().stream {
            Stream::Tcp($stream) => $does,
            #[cfg(unix)]
            Stream::Unix($stream) => $does,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ended = self.has_ended.clone();
        let before = buf.filled().len();
        ready!(with!(self, stream => Pin::new(stream).poll_read(cx, buf)))?;
        if let Some(ended) = ended.filter(|_| buf.filled().len() == before) {
            ended.sets();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
