//! What is wrong with a request, or with the database.

use std::error::Error as StdError;
use std::fmt;

use crate::OperationId;

/// Whatever a handler fails with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why something was not done. Its text says what helps; what is behind it is its source.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let error = operations.start_json("export", "{").await.unwrap_err();
/// assert!(error.is_bad_input());
/// assert_eq!(error.to_string(), "the input is not what operations of kind `export` take");
/// assert!(std::error::Error::source(&error).is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    what: String,
    source: Option<BoxError>,
}

/// What went wrong, for code that decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The database did not answer, or said no.
    Database,
    /// Whether it was done is not known.
    InDoubt,
    Unknown,
    Input,
    /// What was given is too long, or cannot be kept.
    TooLarge,
    NotFound,
    /// Somebody else has that key.
    Taken,
    Built,
}

impl Error {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { kind, what: what.into(), source: None }) }
    }

    pub(crate) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn not_found(id: OperationId) -> Self {
        let what = format!("there is no operation {id}; it may have been removed, being old");
        Self::new(Kind::NotFound, what)
    }

    /// The database is away, or refused. It may be asked again: see
    /// [`is_in_doubt`](Self::is_in_doubt).
    #[must_use]
    pub fn is_database(&self) -> bool {
        matches!(self.inner.kind, Kind::Database | Kind::InDoubt)
    }

    /// Whether it was done is not known, for the database went away in that moment. Cancelling
    /// and starting with a key may be done again; look first before anything else is started
    /// again.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.inner.kind == Kind::InDoubt
    }

    /// No such kind was registered here.
    #[must_use]
    pub fn is_unknown_kind(&self) -> bool {
        self.inner.kind == Kind::Unknown
    }

    /// The input is not what the kind takes, or a tag, a key or a name is no good.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(self.inner.kind, Kind::Input | Kind::TooLarge)
    }

    /// The input, a tag, a key or a name is too large.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.inner.kind == Kind::TooLarge
    }

    pub(crate) fn taken() -> Self {
        Self::new(Kind::Taken, "there is one with this key already, and it is not yours")
    }

    #[cfg(feature = "http")]
    pub(crate) fn is_taken(&self) -> bool {
        self.inner.kind == Kind::Taken
    }

    /// There is no such operation.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.inner.kind == Kind::NotFound
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
const DEPTH: usize = 100;

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
