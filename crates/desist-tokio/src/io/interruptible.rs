//! Blocking pipes, sockets and terminals whose idle wait ends with the stop.
//!
//! Before a call would wait, `poll(2)` waits in its place: for the stream, and for a
//! descriptor that a callback of the token makes readable. The stream's own flags are
//! not touched, for a terminal, or a pipe, may be shared with other processes.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use desist::{Registration, Token};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// So many bytes a stream that is ready to be written takes without waiting: `PIPE_BUF`.
#[cfg(target_os = "linux")]
const AT_ONCE: usize = 4096;
#[cfg(not(target_os = "linux"))]
const AT_ONCE: usize = 512;

/// A blocking pipe, socket or terminal whose idle wait ends when the stop is asked
/// for, from whichever thread.
///
/// What is ready in the moment of the stop is read. The error is the
/// [`Cancelled`](desist::Cancelled) as an [`io::Error`]; later calls fail with it at
/// once. A write takes a few kB at most, as much as a stream that is ready takes
/// without waiting.
///
/// It reads and writes the descriptor itself: a buffer in `T`, such as the one of
/// [`std::io::Stdin`], it does not see. Two threads that read the same stream may both
/// find it ready, and then one waits in the read itself. Regular files are always
/// ready, and their calls are not interruptible. A terminal is written through a
/// description of our own; where the system gives none, byte by byte, and then a write
/// may wait for the terminal.
///
/// ```
/// use desist::{Reason, Source, find_cancelled};
/// use desist_tokio::io::Interruptible;
/// use std::io::Read;
///
/// let (_peer, stream) = std::os::unix::net::UnixStream::pair().unwrap();
/// let source = Source::new();
/// let mut idle = Interruptible::new(stream, &source.token()).unwrap();
/// let waits = std::thread::spawn(move || idle.read(&mut [0; 64]).unwrap_err());
/// source.cancel_with(Reason::Shutdown);
/// let error = waits.join().unwrap();
/// assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Shutdown);
/// ```
pub struct Interruptible<T> {
    inner: T,
    /// A terminal is ready for a byte and waits for the rest, so it is written through a
    /// description of our own, which does not wait.
    terminal: Option<OwnedFd>,
    /// It is a terminal, and there is no such description.
    waits_in_writes: bool,
    token: Token,
    bell: Arc<Bell>,
    _rings: Registration,
}

/// What the callback makes readable.
struct Bell {
    heard: OwnedFd,
    /// Where it is rung, if that is another end.
    rung: Option<OwnedFd>,
}

impl Bell {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let heard = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { heard, rung: None })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn new() -> io::Result<Self> {
        use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
        let (heard, rung) = rustix::pipe::pipe()?;
        for end in [&heard, &rung] {
            fcntl_setfd(end, FdFlags::CLOEXEC)?;
            ioctl_fionbio(end, true)?;
        }
        Ok(Self { heard, rung: Some(rung) })
    }

    fn ring(&self) {
        // One is enough, and it cannot be full before.
        let _rung =
            rustix::io::write(self.rung.as_ref().unwrap_or(&self.heard), &1_u64.to_ne_bytes());
    }
}

impl<T: AsFd> Interruptible<T> {
    /// That stream, until the stop.
    ///
    /// # Errors
    ///
    /// No file descriptor can be had for the bell.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::Interruptible;
    ///
    /// let stdin = Interruptible::new(std::io::stdin(), &Token::never()).unwrap();
    /// let _stdin: std::io::Stdin = stdin.into_inner();
    /// ```
    pub fn new(inner: T, token: &Token) -> io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        let rings = Arc::clone(&bell);
        let registration = token.on_cancel(move |_| rings.ring());
        let terminal = own_terminal(inner.as_fd());
        let waits_in_writes = terminal.is_none() && rustix::termios::isatty(inner.as_fd());
        Ok(Self {
            inner,
            terminal,
            waits_in_writes,
            token: token.clone(),
            bell,
            _rings: registration,
        })
    }

    /// The stream in it.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::Interruptible;
    /// use std::os::fd::AsFd;
    ///
    /// let stdin = Interruptible::new(std::io::stdin(), &Token::never()).unwrap();
    /// let _fd = stdin.get_ref().as_fd();
    /// ```
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The stream in it, which knows nothing of the token. It is not to be replaced.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::Interruptible;
    ///
    /// let mut stdin = Interruptible::new(std::io::stdin(), &Token::never()).unwrap();
    /// let _stdin: &mut std::io::Stdin = stdin.get_mut();
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The stream back.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::io::Interruptible;
    ///
    /// let stdin = Interruptible::new(std::io::stdin(), &Token::never()).unwrap();
    /// let _stdin: std::io::Stdin = stdin.into_inner();
    /// ```
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Waits until the stream is ready, and fails where the stop is.
    fn until_ready(&self, stream: BorrowedFd<'_>, ready: PollFlags) -> io::Result<()> {
        loop {
            self.token.check()?;
            let mut both = [
                PollFd::from_borrowed_fd(stream, ready),
                PollFd::new(&self.bell.heard, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Err(Errno::INTR) => continue,
                polled => polled?,
            };
            // Hung up and broken are ready, too: the call itself tells.
            if !both[0].revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn when_ready(
        &self,
        stream: BorrowedFd<'_>,
        ready: PollFlags,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            self.until_ready(stream, ready)?;
            match call(stream) {
                // Somebody made it non-blocking, and somebody else was quicker.
                Err(Errno::AGAIN) => {}
                done => return Ok(done?),
            }
        }
    }
}

/// The same terminal once more, for whoever does not want to wait. The side of whoever
/// has made a terminal cannot be had twice: to open it makes another.
fn own_terminal(inner: BorrowedFd<'_>) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let has_made_it = rustix::pty::ptsname(inner, Vec::new()).is_ok();
    if !rustix::termios::isatty(inner) || has_made_it {
        return None;
    }
    let path = format!("/proc/self/fd/{}", inner.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

impl<T: AsFd> Read for Interruptible<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(self.token.check().map(|()| 0)?);
        }
        let source = self.inner.as_fd();
        self.when_ready(source, PollFlags::IN, |source| rustix::io::read(source, &mut *buffer))
    }
}

impl<T: AsFd> Write for Interruptible<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(self.token.check().map(|()| 0)?);
        }
        let most = if self.waits_in_writes { 1 } else { AT_ONCE };
        let piece = &bytes[..bytes.len().min(most)];
        let target = self.terminal.as_ref().map_or(self.inner.as_fd(), AsFd::as_fd);
        self.when_ready(target, PollFlags::OUT, |target| rustix::io::write(target, piece))
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(self.token.check()?)
    }
}

impl<T: fmt::Debug> fmt::Debug for Interruptible<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interruptible")
            .field("inner", &self.inner)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
