//! Copying, chunk by chunk.
//!
//! A chunk is read, and written before the next one is; while a write waits, what is
//! left of the buffer is filled. The token is looked at before every read and every
//! write, and waited for beside them, so a copy whose two sides are always ready ends
//! as well as one whose sides never are. A byte counts when the writer has taken it.
//!
//! The buffer begins small, for the many copies that carry little, and doubles
//! whenever a read has filled it.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use desist::{Token, WhenCancelled};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::copy_error::{CopyError, Side};
use super::progress::Progress;

const SMALL: usize = 8 * 1024;
const LARGE: usize = 32 * 1024;

/// Copies until the reader's end, flushes the writer, and gives how many bytes there
/// were.
///
/// `progress` is called whenever some were written: draw or store it now and then,
/// and not every time. [`Copy::total`] says how many there will be.
///
/// The reader and the writer are given, or lent as `&mut`; neither is closed. What
/// was read and not written when it ends is lost, [`Copy::buffer`] bytes at most.
///
/// # Errors
///
/// The stop was asked for, reading failed, or writing did. Each tells how many bytes
/// went through.
///
/// # Cancel safety
///
/// Dropped in the middle it has read more than it has written; ask for the stop by
/// the token to know how far it came.
///
/// ```
/// use desist::Source;
/// use desist_tokio::io::copy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// let endless = tokio::io::repeat(7);
/// let mut target = Vec::new();
/// let error = copy(endless, &mut target, &source.token(), |progress| {
///     if progress.bytes() > 100_000 {
///         source.cancel();
///     }
/// })
/// .await
/// .unwrap_err();
/// assert!(error.cancelled().is_some());
/// assert_eq!(error.bytes(), target.len() as u64);
/// # }
/// ```
pub fn copy<'a, R, W, P>(reader: R, writer: W, token: &'a Token, progress: P) -> Copy<'a, R, W, P>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    P: FnMut(Progress),
{
    let pump = Pump {
        reader,
        writer,
        report: progress,
        progress: Progress { bytes: 0, total: None, begin: Instant::now() },
        has_begun: false,
        buffer: Vec::new(),
        most: LARGE,
        held: 0..0,
        filled: false,
        read_all: false,
        torn: None,
        unflushed: false,
    };
    Copy { pump, token, wait: token.cancelled() }
}

pin_project! {
    /// The future of [`copy`].
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct Copy<'a, R, W, P> {
        pump: Pump<R, W, P>,
        token: &'a Token,
        #[pin]
        wait: WhenCancelled<'a>,
    }
}

struct Pump<R, W, P> {
    reader: R,
    writer: W,
    report: P,
    progress: Progress,
    has_begun: bool,
    buffer: Vec<u8>,
    most: usize,
    /// What was read and is not written.
    held: Range<usize>,
    /// The last read took all the room there was.
    filled: bool,
    read_all: bool,
    /// Reading failed: what was read before goes out first.
    torn: Option<io::Error>,
    unflushed: bool,
}

impl<R, W, P> Copy<'_, R, W, P> {
    /// So many bytes there will be, for the [`Progress`]. It limits nothing.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::copy;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::never();
    /// let copied = copy(&b"1234"[..], tokio::io::sink(), &token, |progress| {
    ///     assert_eq!(progress.total(), Some(4));
    /// });
    /// assert_eq!(copied.total(4).await.unwrap(), 4);
    /// # }
    /// ```
    pub fn total(mut self, total: u64) -> Self {
        self.pump.progress.total = Some(total);
        self
    }

    /// So many bytes are read at once at most; as it is made, 32 kB.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::copy;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut chunks = 0;
    /// copy(&b"1234"[..], tokio::io::sink(), &Token::never(), |_| chunks += 1).buffer(1).await.unwrap();
    /// assert_eq!(chunks, 4);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn buffer(mut self, most: usize) -> Self {
        assert!(most > 0, "a copy needs a buffer; give it at least one byte");
        self.pump.most = most;
        self
    }
}

impl<R, W, P> Future for Copy<'_, R, W, P>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    P: FnMut(Progress),
{
    type Output = Result<u64, CopyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !mem::replace(&mut this.pump.has_begun, true) {
            this.pump.progress.begin = Instant::now();
        }
        let bytes = |pump: &Pump<R, W, P>| pump.progress.bytes;
        loop {
            if let Some(cancelled) = this.token.cancellation() {
                let cancelled = CopyError::cancelled_after(bytes(this.pump), cancelled);
                return Poll::Ready(Err(cancelled));
            }
            match this.pump.step(cx) {
                Poll::Ready(Ok(Step::Moved)) => {}
                Poll::Ready(Ok(Step::Done)) => return Poll::Ready(Ok(bytes(this.pump))),
                Poll::Ready(Err((side, error))) => {
                    let failed = CopyError::failed(bytes(this.pump), side, error);
                    return Poll::Ready(Err(failed));
                }
                // Whatever it waits for, it waits for the stop as well.
                Poll::Pending => {
                    let cancelled = ready!(this.wait.poll(cx));
                    let cancelled = CopyError::cancelled_after(bytes(this.pump), cancelled);
                    return Poll::Ready(Err(cancelled));
                }
            }
        }
    }
}

enum Step {
    /// Something was read or written.
    Moved,
    Done,
}

type Failed = (Side, io::Error);

impl<R, W, P> Pump<R, W, P>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    P: FnMut(Progress),
{
    /// One read and one write. Of those that are always ready the task's turn has only
    /// so many.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Failed>> {
        let turn = ready!(coop::poll_proceed(cx));
        let step = self.step_in_turn(cx);
        if step.is_ready() {
            turn.made_progress();
        }
        step
    }

    fn step_in_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Failed>> {
        if !self.held.is_empty() {
            let written = self.write(cx);
            if written.is_pending() && self.fill(cx).is_ready() {
                // There is more to write by the time it can be written.
                return self.write(cx);
            }
            return written;
        }
        if !self.read_all && self.fill(cx).is_ready() {
            let moved = Poll::Ready(Ok(Step::Moved));
            return if self.held.is_empty() { moved } else { self.write(cx) };
        }
        if let Some(error) = self.torn.take() {
            return Poll::Ready(Err((Side::Read, error)));
        }
        if self.unflushed {
            // Nothing more comes for now: who reads there shall have it.
            let flushed = ready!(Pin::new(&mut self.writer).poll_flush(cx));
            flushed.map_err(|error| (Side::Write, error))?;
            self.unflushed = false;
        }
        if self.read_all { Poll::Ready(Ok(Step::Done)) } else { Poll::Pending }
    }

    /// Reads what there is room for. Pending also where there is none.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.held.is_empty() {
            self.held = 0..0;
            self.grow();
        }
        let room = &mut self.buffer[self.held.end..];
        if self.read_all || room.is_empty() {
            return Poll::Pending;
        }
        let mut room = ReadBuf::new(room);
        let polled = ready!(Pin::new(&mut self.reader).poll_read(cx, &mut room));
        let read = if polled.is_ok() { room.filled().len() } else { 0 };
        self.torn = polled.err();
        self.filled = room.remaining() == 0;
        self.held.end += read;
        self.read_all = read == 0;
        // Whatever the writer held before goes out with it.
        self.unflushed |= self.read_all;
        Poll::Ready(())
    }

    /// Small at first, and twice as large whenever all of it was filled.
    fn grow(&mut self) {
        let size = self.buffer.len();
        if size == 0 || self.filled && size < self.most {
            self.buffer = vec![0; (size * 2).max(SMALL).min(self.most)];
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Failed>> {
        let held = &self.buffer[self.held.clone()];
        let written = match ready!(Pin::new(&mut self.writer).poll_write(cx, held)) {
            Ok(0) => {
                Err(io::Error::new(io::ErrorKind::WriteZero, "the target takes no more bytes"))
            }
            Ok(written) if written > held.len() => {
                Err(io::Error::other("the target took more bytes than it was given"))
            }
            written => written,
        };
        let written = written.map_err(|error| (Side::Write, error))?;
        self.held.start += written;
        self.progress.bytes += written as u64;
        self.unflushed = true;
        (self.report)(self.progress);
        Poll::Ready(Ok(Step::Moved))
    }
}

impl<R, W, P> fmt::Debug for Copy<'_, R, W, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy").field("progress", &self.pump.progress).finish_non_exhaustive()
    }
}
