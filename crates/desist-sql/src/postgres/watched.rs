//! A stream whose bytes are looked at on their way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::wire::Wire;

pin_project! {
    pub(super) struct Watched<S> {
        #[pin]
        inner: S,
        // `None`: it is looked at inside of TLS, or by nobody.
        wire: Option<Arc<Wire>>,
    }
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, wire: Option<Arc<Wire>>) -> Self {
        Self { inner, wire }
    }

    /// Whoever is around it looks from here on.
    pub(super) fn take_wire(&mut self) -> Option<Arc<Wire>> {
        self.wire.take()
    }
}

impl<S: AsyncRead> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let Some(wire) = this.wire else { return this.inner.poll_read(cx, buf) };
        let before = buf.filled().len();
        ready!(wire.read_by(cx, |cx| this.inner.poll_read(cx, buf)))?;
        wire.has_come(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.inner.poll_write(cx, bytes);
        if let Some(wire) = this.wire {
            match &written {
                Poll::Ready(Ok(written)) => wire.has_sent(&bytes[..*written]),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => wire.is_blocked(),
            }
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

impl<S: TlsStream> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}
