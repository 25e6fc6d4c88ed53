use std::error::Error;
use std::fmt;
use std::io;

use desist::Cancelled;

/// A [`copy`](crate::io::copy()) that did not come to its end: why, and how far it
/// came.
///
/// [`find_cancelled`](desist::find_cancelled) tells a stop from a failure, and `?`
/// makes an [`io::Error`] of it where one is wanted.
///
/// ```
/// use desist::{Reason, Token, find_cancelled};
/// use desist_tokio::io::{Side, copy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let token = Token::cancelled_with(Reason::Disconnected);
/// let error = copy(&b"12345678"[..], tokio::io::sink(), &token, |_| {}).await.unwrap_err();
/// assert_eq!(error.bytes(), 0);
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
/// assert_eq!(error.to_string(), "the copy was cancelled after 0 bytes");
/// assert!(find_cancelled(&std::io::Error::from(error)).is_some());
///
/// let mut full = std::io::Cursor::new(vec![0; 3].into_boxed_slice());
/// let error = copy(&b"12345678"[..], &mut full, &Token::never(), |_| {}).await.unwrap_err();
/// assert_eq!((error.bytes(), error.side()), (3, Some(Side::Write)));
/// assert_eq!(error.to_string(), "writing failed after 3 bytes");
/// # }
/// ```
#[derive(Debug)]
pub struct CopyError {
    bytes: u64,
    why: Why,
}

/// Where a copy failed.
///
/// ```
/// assert_ne!(desist_tokio::io::Side::Read, desist_tokio::io::Side::Write);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The source could not be read.
    Read,
    /// The target could not be written.
    Write,
}

#[derive(Debug)]
enum Why {
    Failed(Side, io::Error),
    Cancelled(Cancelled),
}

impl CopyError {
    pub(super) fn failed(bytes: u64, side: Side, error: io::Error) -> Self {
        Self { bytes, why: Why::Failed(side, error) }
    }

    pub(super) fn cancelled_after(bytes: u64, cancelled: Cancelled) -> Self {
        Self { bytes, why: Why::Cancelled(cancelled) }
    }

    /// So many bytes went through: the writer has taken them. One that holds bytes back,
    /// as a buffer or `tokio::fs::File` does, may have lost some of those since.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// let copied = desist_tokio::io::copy(&b"1"[..], tokio::io::sink(), &token, |_| {}).await;
    /// assert_eq!(copied.unwrap_err().bytes(), 0);
    /// # }
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it failed; `None`: it was cancelled.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// let copied = desist_tokio::io::copy(&b"1"[..], tokio::io::sink(), &token, |_| {}).await;
    /// assert_eq!(copied.unwrap_err().side(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match self.why {
            Why::Failed(side, _) => Some(side),
            Why::Cancelled(_) => None,
        }
    }

    /// The stop that ended it: its own, or one that the reader or the writer obeyed.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// let copied = desist_tokio::io::copy(&b"1"[..], tokio::io::sink(), &token, |_| {}).await;
    /// assert_eq!(copied.unwrap_err().cancelled().unwrap().reason(), Reason::Shutdown);
    /// # }
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        match &self.why {
            Why::Failed(_, error) => desist::find_cancelled(error),
            Why::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.why {
            Why::Failed(Side::Read, _) => "reading failed",
            Why::Failed(Side::Write, _) => "writing failed",
            Why::Cancelled(_) => "the copy was cancelled",
        };
        write!(f, "{what} after {} bytes", self.bytes)
    }
}

impl Error for CopyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Failed(_, error) => Some(error),
            Why::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

/// Of the same kind as what ended it.
impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> Self {
        let kind = match &error.why {
            Why::Failed(_, error) => error.kind(),
            Why::Cancelled(cancelled) => Self::from(cancelled.clone()).kind(),
        };
        Self::new(kind, error)
    }
}
