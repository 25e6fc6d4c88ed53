//! Where a database is, and the sockets to it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
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

/// Where a server is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Tcp {
        addr: SocketAddr,
        /// As it is named, and as TLS is to know it.
        host: String,
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

/// One of the places that a configuration names.
#[derive(Debug, Clone)]
pub(super) enum Named {
    /// A name that has to be resolved.
    Host {
        host: String,
        port: u16,
    },
    Place(Place),
}

impl Named {
    /// All of them, in the order in which they are to be tried.
    pub(super) fn all(config: &Config) -> Result<VecDeque<Self>, &'static str> {
        let (hosts, addrs, ports) =
            (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = hosts.len().max(addrs.len());
        if count == 0 {
            return Err("it names no host");
        }
        if !hosts.is_empty() && !addrs.is_empty() && hosts.len() != addrs.len() {
            return Err("it names more hosts than addresses of hosts, or fewer");
        }
        if ports.len() > 1 && ports.len() != count {
            return Err("it names more hosts than ports, or fewer; name one, or one for each");
        }
        let port = |index| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        Ok((0..count)
            .map(|index| Self::of(hosts.get(index), addrs.get(index), port(index)))
            .collect())
    }

    fn of(host: Option<&Host>, addr: Option<&IpAddr>, port: u16) -> Self {
        match (host, addr) {
            (Some(Host::Tcp(host)), Some(addr)) => {
                Self::Place(Place::tcp(SocketAddr::new(*addr, port), host.clone()))
            }
            (_, Some(addr)) => {
                Self::Place(Place::tcp(SocketAddr::new(*addr, port), addr.to_string()))
            }
            #[cfg(unix)]
            (Some(Host::Unix(folder)), None) => {
                Self::Place(Place::Unix(folder.join(format!(".s.PGSQL.{port}"))))
            }
            (Some(Host::Tcp(host)), None) => Self::Host { host: host.clone(), port },
            (None, None) => unreachable!("one of them names it"),
        }
    }

    /// Where that is now.
    pub(super) async fn find(self) -> io::Result<VecDeque<Place>> {
        match self {
            Self::Place(place) => Ok([place].into()),
            Self::Host { host, port } => {
                let found = tokio::net::lookup_host((host.as_str(), port)).await?;
                Ok(found.map(|addr| Place::tcp(addr, host.clone())).collect())
            }
        }
    }
}

impl Place {
    fn tcp(addr: SocketAddr, host: String) -> Self {
        Self::Tcp { addr, host }
    }

    /// For TLS.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
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

/// For so long nobody is heard of who is there, if the configuration says nothing else.
const UNHEARD: Duration = Duration::from_secs(30);

fn keep_alive(stream: &TcpStream, config: &Config) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.get_tcp_user_timeout().copied().unwrap_or(UNHEARD)))?;
    if !config.get_keepalives() {
        return Ok(());
    }
    // Two hours are what the driver has where nobody has said anything.
    let idle = config.get_keepalives_idle();
    let idle = if idle == Duration::from_secs(2 * 60 * 60) { UNHEARD } else { idle };
    let mut keepalive = TcpKeepalive::new().with_time(idle);
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
