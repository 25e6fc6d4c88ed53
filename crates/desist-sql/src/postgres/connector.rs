//! How connections are made, with TLS or without.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use super::confirmed::{self, NotConfirmed};
use super::driven::{Drive, Driven};
use super::socket::{Place, Socket};
use super::watched::Watched;
use super::wire::Wire;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream to a server, below whatever TLS: what a connector is given, of
/// [`PoolBuilder::tls`](crate::postgres::PoolBuilder::tls).
///
/// ```
/// use desist_sql::postgres::RawStream;
///
/// fn can_be_wrapped<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send>() {}
/// can_be_wrapped::<RawStream>();
/// ```
pub struct RawStream(Watched<Socket>);

impl RawStream {
    fn new(socket: Socket, wire: Arc<Wire>) -> Self {
        Self(Watched::new(socket, Some(wire)))
    }

    pub(super) fn unwatched(socket: Socket) -> Self {
        Self(Watched::new(socket, None))
    }
}

impl AsyncRead for RawStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for RawStream {
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

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream").finish_non_exhaustive()
    }
}

/// A connection that is driven.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) driver: tokio::task::JoinHandle<()>,
    pub(super) driven: Arc<Driven>,
    pub(super) wire: Arc<Wire>,
    pub(super) place: Place,
}

/// Makes connections, and asks servers to cancel what runs on them.
pub(super) trait Connect: Send + Sync {
    fn connect<'a>(
        &'a self,
        config: &'a Config,
        place: Place,
    ) -> BoxFuture<'a, Result<Connected, BoxError>>;

    /// Until the server says that it has passed it on.
    fn cancel<'a>(
        &'a self,
        config: &'a Config,
        place: &'a Place,
        token: CancelToken,
    ) -> BoxFuture<'a, Result<(), NotConfirmed>>;
}

pub(super) struct Plain;

impl Connect for Plain {
    fn connect<'a>(
        &'a self,
        config: &'a Config,
        place: Place,
    ) -> BoxFuture<'a, Result<Connected, BoxError>> {
        Box::pin(async move {
            if place.host().is_none() {
                return over_the_system(config, place).await;
            }
            if config.get_ssl_mode() == SslMode::Require {
                let said = "the address asks for TLS (sslmode=require) and the pool has none; give \
                            its builder a connector, or set sslmode=prefer";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, said).into());
            }
            let socket = place.connect(config).await?;
            drive(config, place, socket, NoTls).await
        })
    }

    fn cancel<'a>(
        &'a self,
        config: &'a Config,
        place: &'a Place,
        token: CancelToken,
    ) -> BoxFuture<'a, Result<(), NotConfirmed>> {
        Box::pin(confirmed::cancel(config, place, token, None::<NoTls>))
    }
}

/// Over TLS, where the configuration asks for it and the server speaks it.
pub(super) struct Tls<T>(pub(super) T);

impl<T> Connect for Tls<T>
where
    T: MakeTlsConnect<RawStream> + Clone + Send + Sync + 'static,
    T::TlsConnect: Send,
    T::Stream: Send + 'static,
    <T::TlsConnect as TlsConnect<RawStream>>::Future: Send + 'static,
{
    fn connect<'a>(
        &'a self,
        config: &'a Config,
        place: Place,
    ) -> BoxFuture<'a, Result<Connected, BoxError>> {
        Box::pin(async move {
            let Some(host) = place.host() else {
                return over_the_system(config, place).await;
            };
            let socket = place.connect(config).await?;
            let tls = self.0.clone().make_tls_connect(host).map_err(Into::into)?;
            drive(config, place, socket, Inside(tls)).await
        })
    }

    fn cancel<'a>(
        &'a self,
        config: &'a Config,
        place: &'a Place,
        token: CancelToken,
    ) -> BoxFuture<'a, Result<(), NotConfirmed>> {
        Box::pin(async move {
            let tls = place.host().map(|host| self.0.clone().make_tls_connect(host)).transpose();
            let tls = tls.map_err(|_| NotConfirmed::NotAsked)?;
            confirmed::cancel(config, place, token, tls).await
        })
    }
}

/// By a socket of the system, over which there is no TLS, whatever is asked for.
async fn over_the_system(config: &Config, place: Place) -> Result<Connected, BoxError> {
    let socket = place.connect(config).await?;
    let mut config = config.clone();
    config.ssl_mode(SslMode::Disable);
    drive(&config, place, socket, NoTls).await
}

/// Looks at the bytes inside of TLS.
struct Inside<T>(T);

impl<T> TlsConnect<RawStream> for Inside<T>
where
    T: TlsConnect<RawStream>,
    T::Future: Send + 'static,
{
    type Stream = Watched<T::Stream>;
    type Error = T::Error;
    type Future = BoxFuture<'static, Result<Self::Stream, T::Error>>;

    fn connect(self, mut stream: RawStream) -> Self::Future {
        let wire = stream.0.take_wire();
        if let Some(wire) = &wire {
            wire.begins_again();
        }
        let connects = self.0.connect(stream);
        Box::pin(async move { Ok(Watched::new(connects.await?, wire)) })
    }
}

async fn drive<T>(
    config: &Config,
    place: Place,
    socket: Socket,
    tls: T,
) -> Result<Connected, BoxError>
where
    T: TlsConnect<RawStream>,
    T::Stream: Unpin + Send + 'static,
{
    let wire = Arc::new(Wire::new());
    let stream = RawStream::new(socket, Arc::clone(&wire));
    let (client, connection) = config.connect_raw(stream, tls).await?;
    let driven = Driven::new();
    let drive = Drive::new(connection, Arc::clone(&driven), Arc::clone(&wire));
    let driver = tokio::spawn(async move {
        // Whoever asks for something next has the error.
        let _ = drive.await;
    });
    Ok(Connected { client, driver, driven, wire, place })
}
