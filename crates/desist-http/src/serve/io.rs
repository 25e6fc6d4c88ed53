//! A connection's stream, which sees the client go also while hyper does not read.
//!
//! hyper reads what it wants: with a body that nobody reads, or a request that waits
//! behind another, it reads nothing, and so does not see that the stream has ended.
//! While a request runs and hyper does not wait for bytes, whoever polls the connection
//! reads ahead here, into a buffer of bounded size; what is in it hyper gets first. So
//! the end of the stream comes to light, and nothing is lost.
//!
//! What stays unseen: an end that lies behind more unread bytes than the buffer holds
//! and the kernel keeps, for then the client has not even been able to send it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Connection, Upgraded};

/// The half that hyper has, and after an upgrade whoever took it.
pub(super) struct Stream<I> {
    shared: Arc<Shared<I>>,
}

/// The half of whoever polls the connection.
pub(super) struct Watch<I> {
    shared: Arc<Shared<I>>,
}

struct Shared<I> {
    state: Mutex<State<I>>,
    connection: Arc<Connection>,
    half_close: bool,
    most_ahead: usize,
    /// The request that this stream was upgraded from: it ends with it.
    _upgraded: Arc<Upgraded>,
}

struct State<I> {
    inner: I,
    ahead: VecDeque<u8>,
    /// The stream has ended, or failed.
    ended: Option<Option<io::Error>>,
    /// hyper waited for bytes when it was polled last, and will see the end itself.
    is_read: bool,
    /// What is heard, as far as it goes to heads of requests.
    heard: Heard,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// Something since so many requests have begun.
    Since(u64),
    /// Whatever was heard was a request, by now.
    Requests,
    /// HTTP/2, which sees to itself.
    Frames,
}

pub(super) fn watched<I>(
    inner: I,
    connection: Arc<Connection>,
    half_close: bool,
    most_ahead: usize,
) -> (Stream<I>, Watch<I>) {
    let upgraded = Arc::new(Upgraded::default());
    connection.upgrades_to(&upgraded);
    let state =
        State { inner, ahead: VecDeque::new(), ended: None, is_read: false, heard: Heard::Nothing };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        connection,
        half_close,
        most_ahead,
        _upgraded: upgraded,
    });
    (Stream { shared: Arc::clone(&shared) }, Watch { shared })
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

impl<I: AsyncRead + Unpin> Watch<I> {
    /// hyper is polled now: whether it reads shows in what it does.
    pub(super) fn begin(&self) {
        self.shared.state().is_read = false;
    }

    /// Reads ahead where nobody else reads and somebody runs.
    pub(super) fn look(&self, cx: &mut Context<'_>) {
        let shared = &self.shared;
        if shared.most_ahead == 0 || !shared.connection.is_busy() {
            return;
        }
        let mut state = shared.state();
        let mut chunk = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        while state.ended.is_none() && !state.is_read && state.ahead.len() < shared.most_ahead {
            let room = (shared.most_ahead - state.ahead.len()).min(chunk.len());
            let mut read = ReadBuf::uninit(&mut chunk[..room]);
            match Pin::new(&mut state.inner).poll_read(cx, &mut read) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if read.filled().is_empty() => state.ended = Some(None),
                Poll::Ready(Ok(())) => state.ahead.extend(read.filled()),
                Poll::Ready(Err(error)) => state.ended = Some(Some(error)),
            }
        }
        let (ended, failed) = (state.ended.is_some(), matches!(state.ended, Some(Some(_))));
        drop(state);
        self.shared.note(ended, failed);
    }

    /// Whether the client has said nothing yet, or something that is no request yet.
    pub(super) fn is_owed_a_head(&self) -> bool {
        let begun = self.shared.connection.begun();
        let mut state = self.shared.state();
        if matches!(state.heard, Heard::Since(before) if before != begun) {
            state.heard = Heard::Requests;
        }
        matches!(state.heard, Heard::Nothing | Heard::Since(_))
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
        if !state.ahead.is_empty() {
            let (first, second) = state.ahead.as_slices();
            let from_first = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..from_first]);
            let from_second = second.len().min(buffer.remaining());
            buffer.put_slice(&second[..from_second]);
            state.ahead.drain(..from_first + from_second);
            state.is_read = false;
            return Poll::Ready(Ok(()));
        }
        if let Some(ended) = &mut state.ended {
            return Poll::Ready(ended.take().map_or(Ok(()), Err));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut state.inner).poll_read(cx, buffer);
        state.is_read = polled.is_pending();
        let read = ready!(polled);
        let read_now = &buffer.filled()[before..];
        let ended = read_now.is_empty() && buffer.remaining() > 0;
        match state.heard {
            _ if read_now.is_empty() => {}
            Heard::Nothing if read_now.starts_with(b"PRI") => state.heard = Heard::Frames,
            Heard::Nothing | Heard::Requests => {
                state.heard = Heard::Since(shared.connection.begun());
            }
            Heard::Since(_) | Heard::Frames => {}
        }
        if ended && read.is_ok() {
            state.ended = Some(None);
        }
        drop(state);
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
