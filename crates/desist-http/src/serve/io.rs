//! A connection's stream, which sees the client go also while hyper does not read.
//!
//! hyper reads what it wants: with a body that nobody reads, or a request that waits
//! behind another, it reads nothing, and so does not see that the stream has ended.
//! But whenever it is polled it flushes, or writes. While a request runs and hyper has
//! not asked for bytes since it was polled, that is when bytes are read ahead here, into
//! a buffer of bounded size; what is in it hyper gets first. So the end of the stream
//! comes to light, and nothing is lost. The same holds for whoever was given the stream,
//! as a WebSocket: while somebody waits to read, nobody else reads, and wakes nobody else.
//!
//! Behind more bytes than that the end is still known to the kernel, where it has
//! arrived: see `closing`. What stays unseen is an end that the client has not even been
//! able to send, behind bytes for which nobody has room.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use desist::WhenCancelled;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use super::closing::{Closing, closing};
use super::drive::Serving;
use crate::connection::Connection;

pub(super) struct Stream<I> {
    inner: I,
    ahead: VecDeque<u8>,
    /// Something was read of it.
    has_begun: bool,
    /// The stream has ended, or failed.
    ended: Option<Option<io::Error>>,
    /// What the kernel knows, while there is no room to read ahead.
    closing: Option<Option<Closing>>,
    connection: Arc<Connection>,
    server: Arc<Serving>,
    /// For whoever was given the stream, when the server waits no longer: hyper's is
    /// dropped then.
    aborted: Option<Pin<Box<WhenCancelled<'static>>>>,
    /// Its place among those that may be open at once.
    _room: Room,
}

/// `None`: any number may be open.
pub(super) type Room = Option<OwnedSemaphorePermit>;

impl<I> Stream<I> {
    pub(super) fn new(
        inner: I,
        connection: Arc<Connection>,
        server: Arc<Serving>,
        room: Room,
    ) -> Self {
        Self {
            inner,
            ahead: VecDeque::new(),
            has_begun: false,
            ended: None,
            closing: None,
            connection,
            server,
            aborted: None,
            _room: room,
        }
    }

    /// The server waits no longer for whoever was given the stream.
    fn is_aborted(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.connection.is_upgraded() {
            return false;
        }
        let abort = &self.server.abort;
        let aborted = self.aborted.get_or_insert_with(|| Box::pin(abort.clone().cancelled_owned()));
        aborted.as_mut().poll(cx).is_ready()
    }

    /// What a read has come to.
    fn note(&self, ended: bool, failed: bool) {
        if failed || ended && !self.server.half_close {
            self.connection.gone();
        }
    }
}

impl<I> Drop for Stream<I> {
    fn drop(&mut self) {
        self.connection.stream_is_gone();
    }
}

impl<I: AsyncRead + Unpin + 'static> Stream<I> {
    /// Whoever has this stream is polled, and is about to wait.
    fn look(&mut self, cx: &mut Context<'_>) {
        if !self.connection.is_unread() {
            self.closing = None;
        } else if self.connection.is_fresh() && !self.connection.is_upgraded() {
            // Whoever reads will read on, and needs no copy. If not, that shows next time;
            // of an upgraded stream nobody says when that is.
            cx.waker().wake_by_ref();
        } else {
            self.read_ahead(cx);
        }
    }

    #[cold]
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let most = self.server.read_ahead;
        let mut chunk = [MaybeUninit::uninit(); 8 * 1024];
        while self.ended.is_none() && self.ahead.len() < most {
            let room = (most - self.ahead.len()).min(chunk.len());
            let mut read = ReadBuf::uninit(&mut chunk[..room]);
            match Pin::new(&mut self.inner).poll_read(cx, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.ended = Some(None),
                Poll::Ready(Ok(())) => self.ahead.extend(read.filled()),
                Poll::Ready(Err(error)) => self.ended = Some(Some(error)),
            }
        }
        if let Some(failed) = &self.ended {
            return self.note(true, failed.is_some());
        }
        let Serving { tcp_of, half_close, .. } = &*self.server;
        let closing = self.closing.get_or_insert_with(|| closing(&self.inner, tcp_of, *half_close));
        if closing.as_mut().is_some_and(|closing| closing.as_mut().poll(cx).is_ready()) {
            *closing = None;
            self.connection.gone();
        }
    }

    /// What was read before hyper asked for it.
    #[cold]
    fn read_behind(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            // It has ended, and says so once if it failed.
            return Poll::Ready(self.ended.as_mut().and_then(Option::take).map_or(Ok(()), Err));
        }
        let (first, second) = self.ahead.as_slices();
        let from_first = first.len().min(buffer.remaining());
        buffer.put_slice(&first[..from_first]);
        let from_second = second.len().min(buffer.remaining());
        buffer.put_slice(&second[..from_second]);
        self.ahead.drain(..from_first + from_second);
        if self.ahead.is_empty() {
            // What was needed once is not kept by a connection that is idle.
            self.ahead = VecDeque::new();
        }
        self.connection.hear();
        Poll::Ready(Ok(()))
    }
}

/// So much in several pieces goes as a whole: the system's call for pieces costs more
/// than to copy them.
const SMALL: usize = 1024;

/// What a stream says that outlives its server.
fn server_gone() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the server has stopped and waits no longer")
}

impl<I: AsyncRead + Unpin + 'static> AsyncRead for Stream<I> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() || this.ended.is_some() {
            return this.read_behind(buffer);
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buffer);
        this.connection.set_awaited(polled.is_pending());
        if polled.is_pending() && this.is_aborted(cx) {
            return Poll::Ready(Err(server_gone()));
        }
        let read = ready!(polled);
        if buffer.filled().len() > before {
            if !this.has_begun {
                this.has_begun = true;
                this.connection.begins_with(&buffer.filled()[before..]);
            }
            this.connection.hear();
            return Poll::Ready(read);
        }
        let ended = buffer.remaining() > 0;
        if ended && read.is_ok() {
            this.ended = Some(None);
        }
        this.note(ended, read.is_err());
        Poll::Ready(read)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin + 'static> Stream<I> {
    #[inline]
    fn write<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let written = write(Pin::new(&mut self.inner), cx);
        self.connection.set_blocked(written.is_pending());
        match &written {
            Poll::Ready(Err(_)) => self.note(false, true),
            Poll::Pending if self.is_aborted(cx) => return Poll::Ready(Err(server_gone())),
            Poll::Pending => self.look(cx),
            Poll::Ready(Ok(_)) => {}
        }
        written
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin + 'static> AsyncWrite for Stream<I> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); SMALL];
        let mut joined = ReadBuf::uninit(&mut room);
        if bytes.iter().map(|piece| piece.len()).sum::<usize>() > SMALL {
            return self.write(cx, |inner, cx| inner.poll_write_vectored(cx, bytes));
        }
        bytes.iter().for_each(|piece| joined.put_slice(piece));
        self.write(cx, |inner, cx| inner.poll_write(cx, joined.filled()))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.write(cx, |inner, cx| inner.poll_flush(cx));
        if flushed.is_ready() {
            self.look(cx);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}
