//! Requests to cancel that are known to have been passed on.
//!
//! The server says so by closing the connection that one came by, after it has sent the signal.
//! The driver shuts its side down as soon as it has written, and goes. So whatever stream it has
//! is wrapped, outside of all TLS, which knows of no such end: to shut it down is to read on
//! until the other side has closed. A stream that breaks before that has confirmed nothing: its
//! request may be on its way still.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Config};

use super::connector::RawStream;
use super::socket::{Ended, Place};

/// What became of a request.
#[derive(Debug)]
pub(super) enum NotConfirmed {
    /// Nobody was asked.
    NotAsked,
    /// Somebody may have been, and will pass it on whenever.
    Perhaps,
}

/// Asks the server to cancel, without TLS or with it, until it has passed that on.
pub(super) async fn cancel<T>(
    config: &Config,
    place: &Place,
    token: CancelToken,
    tls: Option<T>,
) -> Result<(), NotConfirmed>
where
    T: TlsConnect<RawStream>,
    T::Future: Send + 'static,
{
    let socket = place.connect(config).await.map_err(|_| NotConfirmed::NotAsked)?;
    let (socket, ended) = socket.watched();
    let stream = RawStream::unwatched(socket);
    let asked = match tls {
        Some(tls) => {
            // Where the server speaks none it is the stream itself that is shut down.
            let tls = Outside { tls, ended: ended.clone() };
            token.cancel_query_raw(UntilItCloses { stream, ended }, Inner(tls)).await
        }
        None => token.cancel_query_raw(UntilItCloses { stream, ended }, NoTls).await,
    };
    asked.map_err(|_| NotConfirmed::Perhaps)
}

/// A stream that is shut down when the other side has closed it.
struct UntilItCloses<S> {
    stream: S,
    ended: Ended,
}

/// TLS, and that around it.
struct Outside<T> {
    tls: T,
    ended: Ended,
}

/// It takes the stream out of what is around it.
struct Inner<T>(Outside<T>);

impl<T> TlsConnect<UntilItCloses<RawStream>> for Inner<T>
where
    T: TlsConnect<RawStream>,
    T::Future: Send + 'static,
{
    type Stream = UntilItCloses<T::Stream>;
    type Error = T::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, T::Error>> + Send>>;

    fn connect(self, stream: UntilItCloses<RawStream>) -> Self::Future {
        let Outside { tls, ended } = self.0;
        let connects = tls.connect(stream.stream);
        Box::pin(async move { Ok(UntilItCloses { stream: connects.await?, ended }) })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UntilItCloses<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilItCloses<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut bytes = [0; 64];
            let mut buf = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                // TLS finds that nobody has said goodbye; the socket's other side is closed.
                Err(_) if self.ended.is_set() => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl<S: TlsStream + Unpin> TlsStream for UntilItCloses<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}
