//! Blocking streams that look at a token between their calls.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use desist::Token;

/// A blocking reader, writer, or both, that looks at its token before every call: for
/// a parser or a compressor in `spawn_blocking` that knows no token.
///
/// A call that has begun is not ended; a regular file does not let it wait long, and
/// for pipes, sockets and terminals there is `Interruptible`. The error is the
/// [`Cancelled`](desist::Cancelled) as an [`io::Error`].
///
/// ```
/// use desist::{Reason, Source, find_cancelled};
/// use desist_tokio::io::Checked;
/// use std::io::Read;
///
/// let source = Source::new();
/// let mut endless = Checked::new(std::io::repeat(7), &source.token());
/// let mut chunk = [0; 1024];
/// endless.read_exact(&mut chunk).unwrap();
///
/// source.cancel_with(Reason::Shutdown);
/// let error = endless.read_exact(&mut chunk).unwrap_err();
/// assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Shutdown);
/// ```
#[derive(Debug)]
pub struct Checked<T> {
    inner: T,
    token: Token,
}

impl<T> Checked<T> {
    /// That stream, until the stop.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let stream = desist_tokio::io::Checked::new(std::io::empty(), &Token::never());
    /// let _empty: std::io::Empty = stream.into_inner();
    /// ```
    pub fn new(inner: T, token: &Token) -> Self {
        Self { inner, token: token.clone() }
    }

    /// The stream in it.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let stream = desist_tokio::io::Checked::new(&b"1234"[..], &Token::never());
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
    /// let mut stream = desist_tokio::io::Checked::new(&b"1234"[..], &Token::never());
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
    /// let stream = desist_tokio::io::Checked::new(&b"1234"[..], &Token::never());
    /// assert_eq!(stream.into_inner(), b"1234");
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Read> Read for Checked<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.token.check()?;
        self.inner.read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.token.check()?;
        self.inner.read_vectored(buffers)
    }
}

impl<T: BufRead> BufRead for Checked<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.token.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl<T: Write> Write for Checked<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.token.check()?;
        self.inner.write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.token.check()?;
        self.inner.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.token.check()?;
        self.inner.flush()
    }
}

impl<T: Seek> Seek for Checked<T> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.token.check()?;
        self.inner.seek(position)
    }
}
