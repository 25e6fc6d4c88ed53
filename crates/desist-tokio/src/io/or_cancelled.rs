//! Streams of bytes whose waits end with the stop.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use desist::{Cancelled, Token, WhenCancelled};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

/// A reader, a writer, or both, whose pending operation ends when the stop is asked
/// for: for code that knows no token.
///
/// The operation then fails with the [`Cancelled`](desist::Cancelled) as an
/// [`io::Error`], and so does every later one, before it touches the stream. What is
/// ready in the moment of the stop is given, to an operation that was pending, or to the
/// next one where that was given up. Nothing that was read is lost: it is
/// still in the stream, which [`into_inner`](Self::into_inner) gives back, for
/// instance to say goodbye on it. That goes for the shutdown as well, which a peer
/// that is gone may hold up for ever.
///
/// Both halves of a [split](tokio::io::split) end.
///
/// ```
/// use desist::{Reason, Source, find_cancelled};
/// use desist_tokio::io::OrCancelled;
/// use tokio::io::AsyncReadExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (_peer, stream) = tokio::io::duplex(64);
/// let source = Source::new();
/// let mut stream = OrCancelled::new(stream, &source.token());
/// let read = async { stream.read_u8().await };
/// let stop = async { source.cancel_with(Reason::Shutdown) };
/// let (read, _) = tokio::join!(read, stop);
/// let error = read.unwrap_err();
/// assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Shutdown);
/// # }
/// ```
#[derive(Debug)]
pub struct OrCancelled<T> {
    inner: T,
    token: Token,
    reads: Waits,
    writes: Waits,
}

/// The halves may be polled by different tasks, so each has a wait of its own.
#[derive(Debug, Default)]
struct Waits {
    /// While an operation is pending: then what is ready comes before the stop.
    wait: Option<Pin<Box<WhenCancelled<'static>>>>,
}

impl<T> OrCancelled<T> {
    /// That stream, until the stop.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let stream = desist_tokio::io::OrCancelled::new(tokio::io::empty(), &Token::never());
    /// let _empty: tokio::io::Empty = stream.into_inner();
    /// ```
    pub fn new(inner: T, token: &Token) -> Self {
        Self { inner, token: token.clone(), reads: Waits::default(), writes: Waits::default() }
    }

    /// The stream in it.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let stream = desist_tokio::io::OrCancelled::new(&b"1234"[..], &Token::never());
    /// assert_eq!(stream.get_ref().len(), 4);
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream in it, which knows nothing of the token.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let mut stream = desist_tokio::io::OrCancelled::new(&b"1234"[..], &Token::never());
    /// *stream.get_mut() = b"56";
    /// assert_eq!(stream.get_ref().len(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The stream back.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let stream = desist_tokio::io::OrCancelled::new(&b"1234"[..], &Token::never());
    /// assert_eq!(stream.into_inner(), b"1234");
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// Fails first; after that, what is ready comes before the stop.
fn or_cancelled<T: Unpin, R>(
    inner: &mut T,
    token: &Token,
    waits: &mut Waits,
    cx: &mut Context<'_>,
    operation: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    waits.begin(token)?;
    match operation(Pin::new(inner), cx) {
        Poll::Ready(done) => {
            waits.end();
            Poll::Ready(done)
        }
        Poll::Pending => waits.wait(token, cx).map(|cancelled| Err(cancelled.into())),
    }
}

impl Waits {
    fn begin(&self, token: &Token) -> io::Result<()> {
        // What has begun before is polled first.
        if self.wait.is_none() {
            token.check()?;
        }
        Ok(())
    }

    fn wait(&mut self, token: &Token, cx: &mut Context<'_>) -> Poll<Cancelled> {
        let wait = self.wait.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        let waited = wait.as_mut().poll(cx);
        if waited.is_ready() {
            self.end();
        }
        waited
    }

    /// Nobody's waker stays with the token.
    fn end(&mut self) {
        self.wait = None;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for OrCancelled<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, token, reads, .. } = self.get_mut();
        or_cancelled(inner, token, reads, cx, |inner, cx| inner.poll_read(cx, buffer))
    }
}

impl<T: AsyncBufRead + Unpin> AsyncBufRead for OrCancelled<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let Self { inner, token, reads, .. } = self.get_mut();
        reads.begin(token)?;
        // Once: a stream that has ended may not be asked again.
        match Pin::new(inner).poll_fill_buf(cx) {
            Poll::Ready(filled) => {
                reads.end();
                Poll::Ready(filled)
            }
            Poll::Pending => reads.wait(token, cx).map(|cancelled| Err(cancelled.into())),
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.get_mut().inner).consume(amount);
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for OrCancelled<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, token, writes, .. } = self.get_mut();
        or_cancelled(inner, token, writes, cx, |inner, cx| inner.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, token, writes, .. } = self.get_mut();
        or_cancelled(inner, token, writes, cx, |inner, cx| inner.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, token, writes, .. } = self.get_mut();
        or_cancelled(inner, token, writes, cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, token, writes, .. } = self.get_mut();
        or_cancelled(inner, token, writes, cx, |inner, cx| inner.poll_shutdown(cx))
    }
}

impl<T: AsyncSeek + Unpin> AsyncSeek for OrCancelled<T> {
    fn start_seek(self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        let this = self.get_mut();
        this.token.check()?;
        Pin::new(&mut this.inner).start_seek(position)
    }

    fn poll_complete(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let Self { inner, token, reads, .. } = self.get_mut();
        or_cancelled(inner, token, reads, cx, |inner, cx| inner.poll_complete(cx))
    }
}
