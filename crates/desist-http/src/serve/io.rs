//! A connection's stream, which sees the client go also while hyper does not read.
//!
//! hyper reads what it wants: with a body that nobody reads, or a request that waits
//! behind another, it reads nothing, and so does not see that the stream has ended.
//! While a request runs and hyper does not wait for bytes, whoever polls the connection
//! reads ahead here, into a buffer of bounded size; what is in it hyper gets first. So
//! the end of the stream comes to light, and nothing is lost.
//!
//! Behind more bytes than that the end is still known to the kernel, where it has
//! arrived: see `closing`. What stays unseen is an end that the client has not even been
//! able to send, behind bytes for which nobody has room.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::closing::{Closing, TcpOf, closing};
use crate::connection::Connection;

/// The half that hyper has, and after an upgrade whoever took it.
pub(super) struct Stream<I> {
    shared: Arc<Shared<I>>,
}

/// The half of whoever polls the connection.
pub(super) struct Watch<I> {
    shared: Arc<Shared<I>>,
    tcp_of: TcpOf,
    /// What the kernel knows, while there is no room to read ahead.
    closing: Option<Option<Closing>>,
}

struct Shared<I> {
    state: Mutex<State<I>>,
    /// hyper waited for bytes when it was polled last, and will see the end itself.
    is_read: AtomicBool,
    /// What is heard, as far as it goes to heads of requests: see `heard`.
    heard: AtomicU64,
    connection: Arc<Connection>,
    half_close: bool,
    most_ahead: usize,
}

struct State<I> {
    inner: I,
    ahead: VecDeque<u8>,
    /// The stream has ended, or failed.
    ended: Option<Option<io::Error>>,
}

/// What was heard of a client: how many requests had begun when it last spoke, or one
/// of these.
mod heard {
    pub(super) const NOTHING: u64 = u64::MAX;
    /// Whatever was heard was a request, by now.
    pub(super) const REQUESTS: u64 = u64::MAX - 1;
    /// HTTP/2, which sees to itself.
    pub(super) const FRAMES: u64 = u64::MAX - 2;
}

pub(super) fn watched<I>(
    inner: I,
    connection: Arc<Connection>,
    half_close: bool,
    most_ahead: usize,
    tcp_of: TcpOf,
) -> (Stream<I>, Watch<I>) {
    let state = State { inner, ahead: VecDeque::new(), ended: None };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        is_read: AtomicBool::new(false),
        heard: AtomicU64::new(heard::NOTHING),
        connection,
        half_close,
        most_ahead,
    });
    (Stream { shared: Arc::clone(&shared) }, Watch { shared, tcp_of, closing: None })
}

impl<I> Shared<I> {
    fn state(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a read has come to. Whoever runs on the connection is told without the lock.
    fn note(&self, ended: bool, failed: bool) {
        if failed || ended && !self.half_close {
            self.connection.gone();
        }
    }
}

impl<I> Shared<I> {
    fn set_read(&self, is_read: bool) {
        // Ordering: whoever polls the connection polls hyper, which sets it; after an
        // upgrade nobody looks.
        self.is_read.store(is_read, Ordering::Relaxed);
    }

    /// The client has said something: while a request runs that is its body, or the
    /// next in line, else the beginning of one.
    fn hear(&self, bytes: &[u8]) {
        if bytes.is_empty() || self.connection.is_busy() {
            return;
        }
        // Ordering: as in `set_read`.
        let before = self.heard.load(Ordering::Relaxed);
        let now = match before {
            heard::NOTHING if bytes.starts_with(b"PRI") => heard::FRAMES,
            heard::NOTHING | heard::REQUESTS => self.connection.begun(),
            _ => return,
        };
        // Ordering: as in `set_read`.
        self.heard.store(now, Ordering::Relaxed);
    }
}

impl<I> Drop for Shared<I> {
    fn drop(&mut self) {
        self.connection.stream_is_gone();
    }
}

impl<I: AsyncRead + Unpin + 'static> Watch<I> {
    /// hyper is polled now: whether it reads shows in what it does.
    pub(super) fn begin(&self) {
        self.shared.set_read(false);
    }

    /// Reads ahead where nobody else reads and somebody runs.
    pub(super) fn look(&mut self, cx: &mut Context<'_>) {
        let shared = &*self.shared;
        if !shared.connection.is_busy() {
            self.closing = None;
            return;
        }
        // Ordering: as in `set_read`.
        if shared.is_read.load(Ordering::Relaxed) {
            return;
        }
        let mut state = shared.state();
        let mut chunk = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        while state.ended.is_none() && state.ahead.len() < shared.most_ahead {
            let room = (shared.most_ahead - state.ahead.len()).min(chunk.len());
            let mut read = ReadBuf::uninit(&mut chunk[..room]);
            match Pin::new(&mut state.inner).poll_read(cx, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if read.filled().is_empty() => state.ended = Some(None),
                Poll::Ready(Ok(())) => state.ahead.extend(read.filled()),
                Poll::Ready(Err(error)) => state.ended = Some(Some(error)),
            }
        }
        if let Some(failed) = &state.ended {
            let failed = failed.is_some();
            drop(state);
            return shared.note(true, failed);
        }
        let closing = self
            .closing
            .get_or_insert_with(|| closing(&state.inner, &self.tcp_of, shared.half_close));
        drop(state);
        if closing.as_mut().is_some_and(|closing| closing.as_mut().poll(cx).is_ready()) {
            *closing = None;
            shared.connection.gone();
        }
    }

    /// Whether the client has said nothing yet, or something that is no request yet.
    pub(super) fn is_owed_a_head(&self) -> bool {
        let shared = &*self.shared;
        // Ordering: as in `set_read`.
        match shared.heard.load(Ordering::Relaxed) {
            heard::NOTHING => true,
            heard::REQUESTS | heard::FRAMES => false,
            before if before == shared.connection.begun() => true,
            _ => {
                // Ordering: as in `set_read`.
                shared.heard.store(heard::REQUESTS, Ordering::Relaxed);
                false
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Stream<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.shared;
        let mut state = shared.state();
        let before = buffer.filled().len();
        if !state.ahead.is_empty() {
            let (first, second) = state.ahead.as_slices();
            let from_first = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..from_first]);
            let from_second = second.len().min(buffer.remaining());
            buffer.put_slice(&second[..from_second]);
            state.ahead.drain(..from_first + from_second);
            drop(state);
            shared.hear(&buffer.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        if let Some(ended) = &mut state.ended {
            return Poll::Ready(ended.take().map_or(Ok(()), Err));
        }
        let polled = Pin::new(&mut state.inner).poll_read(cx, buffer);
        shared.set_read(polled.is_pending());
        let read = ready!(polled);
        let read_now = &buffer.filled()[before..];
        let ended = read_now.is_empty() && buffer.remaining() > 0;
        if ended && read.is_ok() {
            state.ended = Some(None);
        }
        drop(state);
        shared.hear(read_now);
        shared.note(ended, read.is_err());
        Poll::Ready(read)
    }
}

impl<I: AsyncWrite + Unpin> Stream<I> {
    fn write<R>(
        &self,
        write: impl FnOnce(Pin<&mut I>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut state = self.shared.state();
        let written = ready!(write(Pin::new(&mut state.inner)));
        drop(state);
        self.shared.note(false, written.is_err());
        Poll::Ready(written)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|inner| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|inner| inner.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.shared.state().inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(|inner| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(|inner| inner.poll_shutdown(cx))
    }
}
