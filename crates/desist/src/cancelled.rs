use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use crate::Reason;
use crate::cause::Detail;
use crate::node::RecordRef;

/// "Stop now, please", as an error: the work was cancelled, and this is why.
///
/// One word, cheap to clone; every clone and every descendant of the signal
/// tells the same story. Its `Display` is one level (`cancelled: deadline`);
/// the detail, if there is one, is the [`source`](Error::source).
///
/// Return it as an error with `?` and let it travel: [`find_cancelled`] tells
/// it from a failure at the other end. What to do when you meet it: clean up
/// and return, do not retry and do not count it as a failure.
///
/// ```
/// use desist::{Cancelled, Reason, Source, Token};
///
/// fn sum(numbers: &[u64], token: &Token) -> Result<u64, Cancelled> {
///     let mut sum = 0;
///     for number in numbers {
///         token.check()?;
///         sum += number;
///     }
///     Ok(sum)
/// }
///
/// let source = Source::new();
/// assert_eq!(sum(&[1, 2, 3], &source.token()).unwrap(), 6);
/// source.cancel_with("the user pressed stop");
/// let cancelled = sum(&[1, 2, 3], &source.token()).unwrap_err();
/// assert_eq!(cancelled.reason(), Reason::Requested);
/// assert_eq!(cancelled.to_string(), "cancelled: requested");
/// assert_eq!(cancelled.detail().unwrap().to_string(), "the user pressed stop");
/// assert!(cancelled.origin().file().ends_with(".rs"));
/// ```
#[derive(Clone)]
pub struct Cancelled {
    record: RecordRef,
}

impl Cancelled {
    pub(crate) fn new(record: RecordRef) -> Self {
        Self { record }
    }

    pub(crate) fn into_record(self) -> RecordRef {
        self.record
    }

    /// Why: the category to decide by.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// let cancelled = Token::cancelled_with(Reason::Overload).check().unwrap_err();
    /// assert_eq!(cancelled.reason(), Reason::Overload);
    /// ```
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.record.reason
    }

    /// What else there is to say: an error, or a message as an error.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// let cancelled = Token::cancelled_with("newer upload").check().unwrap_err();
    /// assert_eq!(cancelled.detail().unwrap().to_string(), "newer upload");
    /// ```
    #[must_use]
    pub fn detail(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.record.detail.as_ref().map(|detail| detail.as_error())
    }

    /// Where the stop was asked for: the call of `cancel`, the place where the
    /// deadline was armed, the call of `guard`.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// source.cancel();
    /// let here = source.token().cancellation().unwrap().origin();
    /// assert!(here.line() > 0);
    /// ```
    #[must_use]
    pub fn origin(&self) -> &'static Location<'static> {
        self.record.origin
    }

    /// When the stop was asked for; for a deadline, when it fired. On the clock of
    /// the signal that was cancelled.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::Instant;
    ///
    /// let before = Instant::now();
    /// let source = Source::new();
    /// source.cancel();
    /// assert!(source.token().cancellation().unwrap().at() >= before);
    /// ```
    #[must_use]
    pub fn at(&self) -> Instant {
        self.record.at
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason())
    }
}

/// Whether both tell of the same request, whichever signals it has reached.
///
/// ```
/// use desist::{Reason, Source};
///
/// let (server, other) = (Source::new(), Source::new());
/// let request = server.token().child();
/// server.cancel();
/// other.cancel();
/// let of = |source: &Source| source.token().cancellation().unwrap();
/// assert_eq!(of(&request), of(&server));
/// assert_ne!(of(&other), of(&server));
/// ```
impl PartialEq for Cancelled {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(&*self.record, &*other.record)
    }
}

impl Eq for Cancelled {}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Cancelled");
        out.field("reason", &self.reason());
        if let Some(detail) = &self.record.detail {
            // One level, as everywhere: a detail may have details.
            out.field("detail", &format_args!("{:?}", detail.as_error().to_string()));
        }
        out.field("origin", &format_args!("{}", self.origin())).finish_non_exhaustive()
    }
}

impl Error for Cancelled {
    /// The detail; where that is a cancellation that was passed on and says the
    /// same, what lies behind it.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let mut this = self;
        while let Some(Detail::Cancelled(inner)) = &this.record.detail {
            if inner.reason() != self.reason() {
                return Some(inner);
            }
            this = inner;
        }
        this.detail().map(|detail| detail as &(dyn Error + 'static))
    }
}

// What a record holds is only ever read once it is published.
impl UnwindSafe for Cancelled {}
impl RefUnwindSafe for Cancelled {}

/// A deadline is `TimedOut`; everything else is `Other`, because the standard
/// library retries `Interrupted`.
///
/// ```
/// use desist::{Reason, Token, find_cancelled};
/// use std::io;
///
/// let cancelled = Token::cancelled_with(Reason::Deadline).check().unwrap_err();
/// let error = io::Error::from(cancelled);
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// assert_eq!(find_cancelled(&error).unwrap().reason(), Reason::Deadline);
/// ```
impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        let kind = match cancelled.reason() {
            Reason::Deadline => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, cancelled)
    }
}

/// How many errors deep [`find_cancelled`] looks, so that an error that is its
/// own source does not keep it for ever.
const DEPTH_LIMIT: usize = 10_000;

/// Finds the cancellation in an error, however deep, and so tells cancellation
/// from failure.
///
/// Walks the chain of [`Error::source`], and at every level looks through
/// [`io::Error`], and through `Box` and `Arc` of `Cancelled`, of `io::Error`
/// and of `dyn Error`.
///
/// ```
/// use desist::{Source, find_cancelled};
/// use std::io;
///
/// let source = Source::new();
/// source.cancel();
/// let inner = io::Error::from(source.token().check().unwrap_err());
/// let outer = io::Error::new(io::ErrorKind::BrokenPipe, inner);
/// assert!(find_cancelled(&outer).is_some());
/// assert!(find_cancelled(&io::Error::other("disk full")).is_none());
/// ```
#[must_use]
pub fn find_cancelled<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Cancelled> {
    let mut error = error;
    for _ in 0..DEPTH_LIMIT {
        if let Some(found) = error.downcast_ref::<Cancelled>() {
            return Some(found);
        }
        error = match wrapped(error) {
            Some(inner) => inner,
            None => error.source()?,
        };
    }
    None
}

/// What `error` is only a wrapper of. `source()` alone would skip it: the
/// source of a wrapper is the source of what it wraps.
fn wrapped<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return io.get_ref().map(|inner| inner as &(dyn Error + 'static));
    }
    macro_rules! look_through {
        ($($wrapper:ty),* $(,)?) => {
            $(if let Some(wrapper) = error.downcast_ref::<$wrapper>() {
                return Some(&**wrapper as &(dyn Error + 'static));
            })*
        };
    }
    look_through!(Box<Cancelled>, Box<io::Error>, Arc<Cancelled>, Arc<io::Error>);
    look_through!(Arc<dyn Error>, Arc<dyn Error + Send>, Arc<dyn Error + Send + Sync>);
    None
}
