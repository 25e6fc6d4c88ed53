//! What is wrong with a broker.

use std::error::Error as StdError;
use std::fmt;

use crate::Report;

/// Whatever work fails with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a broker did not do what it was asked for.
///
/// ```
/// use desist_queue::Error;
/// use std::io;
///
/// let error = Error::passing("no NATS at localhost:4222; start it").because(io::Error::other("refused"));
/// assert!(error.is_passing());
/// assert_eq!(error.to_string(), "no NATS at localhost:4222; start it");
/// ```
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    what: String,
    passing: bool,
    source: Option<BoxError>,
    report: Option<Report>,
}

impl Error {
    fn new(what: String, passing: bool) -> Self {
        Self { inner: Box::new(Inner { what, passing, source: None, report: None }) }
    }

    /// One that may be over in a while, in these words, which say what would help. For
    /// brokers.
    #[must_use]
    pub fn passing(what: impl Into<String>) -> Self {
        Self::new(what.into(), true)
    }

    /// One that stays until somebody does something, in these words, which say what. For
    /// brokers.
    ///
    /// ```
    /// let error = desist_queue::Error::lasting("there is no stream `orders`; create it");
    /// assert!(!error.is_passing());
    /// ```
    #[must_use]
    pub fn lasting(what: impl Into<String>) -> Self {
        Self::new(what.into(), false)
    }

    /// With what is behind it.
    #[must_use]
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn with_report(mut self, report: Report) -> Self {
        self.inner.report = Some(report);
        self
    }

    /// Whether it may be over in a while.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.inner.passing
    }

    /// What a consumer had done until then, if it ran.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.inner.report.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// How many errors deep is looked, so that one that is its own source keeps nobody for ever.
pub(crate) const DEPTH: usize = 1000;

/// An error with all that is behind it.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    for _ in 0..DEPTH {
        let Some(error) = cause else { break };
        said.push_str(": ");
        said.push_str(&error.to_string());
        cause = error.source();
    }
    said
}
