use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;

use desist::Cancelled;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Work with a database that came to nothing: it was stopped, it failed, or there was no
/// connection for it. `E` is what the work itself fails with, which is the driver's error
/// or one's own.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_sql::Error;
///
/// let stopped = Token::cancelled_with(Reason::Disconnected).check().unwrap_err();
/// let error: Error<std::io::Error> = stopped.into();
/// assert_eq!(error.cancelled().unwrap().reason(), Reason::Disconnected);
/// assert!(error.failure().is_none());
/// ```
pub struct Error<E> {
    kind: Kind<E>,
}

enum Kind<E> {
    Cancelled(Cancelled),
    Failed(E),
    /// What was to be done by then, and why it could not.
    NoConnection {
        doing: &'static str,
        source: BoxError,
    },
    InDoubt(BoxError),
    NotCommitted(BoxError),
}

impl<E> Error<E> {
    /// The work itself failed.
    #[allow(dead_code)] // Each database uses some of them.
    pub(crate) fn failed(error: E) -> Self {
        Self { kind: Kind::Failed(error) }
    }

    /// There is no connection to do it with; `doing` is what failed, and what to do about it.
    #[allow(dead_code)]
    pub(crate) fn no_connection(doing: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::NoConnection { doing, source: source.into() } }
    }

    /// The connection was lost between the question to commit and its answer, or it is not the
    /// transaction any more that was begun.
    #[allow(dead_code)]
    pub(crate) fn in_doubt(source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::InDoubt(source.into()) }
    }

    /// The database did not commit, and said so.
    #[allow(dead_code)]
    pub(crate) fn not_committed(source: impl Into<BoxError>) -> Self {
        Self { kind: Kind::NotCommitted(source.into()) }
    }

    /// The stop, if it was one: why, when and by whom.
    ///
    /// ```
    /// # use desist::{Reason, Token};
    /// let stopped = Token::cancelled_with(Reason::Deadline).check().unwrap_err();
    /// let error = desist_sql::Error::<std::io::Error>::from(stopped);
    /// assert_eq!(error.cancelled().unwrap().reason(), Reason::Deadline);
    /// ```
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        match &self.kind {
            Kind::Cancelled(why) => Some(why),
            _ => None,
        }
    }

    /// What the work itself failed with, if it did.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// assert!(desist_sql::Error::<std::io::Error>::from(stopped).failure().is_none());
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<&E> {
        match &self.kind {
            Kind::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The same, to keep.
    ///
    /// # Errors
    ///
    /// It was something else.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// let error = desist_sql::Error::<std::io::Error>::from(stopped);
    /// assert!(error.into_failure().unwrap_err().cancelled().is_some());
    /// ```
    pub fn into_failure(self) -> Result<E, Self> {
        match self.kind {
            Kind::Failed(error) => Ok(error),
            kind => Err(Self { kind }),
        }
    }

    /// Whether nobody knows what became of a transaction: its connection was lost while it was
    /// committed, or its work has ended it by itself. Look at the data before it is tried again.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// assert!(!desist_sql::Error::<std::io::Error>::from(stopped).is_in_doubt());
    /// ```
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.kind, Kind::InDoubt(_))
    }

    /// Whether the database did not commit a transaction whose work had come to a good end, as
    /// for a constraint that is looked at then. What the driver says of it, if it was that, is
    /// the source. Nothing of the transaction is there.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// assert!(!desist_sql::Error::<std::io::Error>::from(stopped).is_not_committed());
    /// ```
    #[must_use]
    pub fn is_not_committed(&self) -> bool {
        matches!(self.kind, Kind::NotCommitted(_))
    }

    /// Whether there was no connection to begin with, so that nothing was done.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// assert!(!desist_sql::Error::<std::io::Error>::from(stopped).is_no_connection());
    /// ```
    #[must_use]
    pub fn is_no_connection(&self) -> bool {
        matches!(self.kind, Kind::NoConnection { .. })
    }

    /// For work whose errors are in a box already, which this is no error for itself: what the
    /// work failed with as it is, and whatever else it was as an error of this kind.
    ///
    /// ```
    /// use desist::{Token, find_cancelled};
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// let boxed: BoxError = desist_sql::Error::<BoxError>::from(stopped).into_boxed();
    /// assert!(find_cancelled(&*boxed).is_some());
    /// ```
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self.into_failure() {
            Ok(error) => error.into(),
            Err(other) => {
                Box::new(other.map(|_| -> Infallible { unreachable!("it did not fail") }))
            }
        }
    }

    /// The same with another error of the work's own.
    ///
    /// ```
    /// # use desist::Token;
    /// let stopped = Token::cancelled_with("enough").check().unwrap_err();
    /// let error = desist_sql::Error::<std::io::Error>::from(stopped);
    /// let error: desist_sql::Error<String> = error.map(|io| io.to_string());
    /// assert!(error.cancelled().is_some());
    /// ```
    pub fn map<F>(self, to: impl FnOnce(E) -> F) -> Error<F> {
        let kind = match self.kind {
            Kind::Failed(error) => Kind::Failed(to(error)),
            Kind::Cancelled(why) => Kind::Cancelled(why),
            Kind::NoConnection { doing, source } => Kind::NoConnection { doing, source },
            Kind::InDoubt(source) => Kind::InDoubt(source),
            Kind::NotCommitted(source) => Kind::NotCommitted(source),
        };
        Error { kind }
    }
}

impl<E> From<Cancelled> for Error<E> {
    fn from(why: Cancelled) -> Self {
        Self { kind: Kind::Cancelled(why) }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Cancelled(_) => "the work with the database was stopped",
            Kind::Failed(_) => "the work with the database failed",
            Kind::NoConnection { doing, .. } => doing,
            Kind::InDoubt(_) => {
                "whether the transaction was committed is not known; look at the data before it is \
                 tried again"
            }
            Kind::NotCommitted(_) => "the transaction was not committed",
        })
    }
}

impl<E: fmt::Debug> fmt::Debug for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Cancelled(why) => f.debug_tuple("Cancelled").field(why).finish(),
            Kind::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Kind::NoConnection { doing, source } => f
                .debug_struct("NoConnection")
                .field("doing", doing)
                .field("source", source)
                .finish(),
            Kind::InDoubt(source) => f.debug_tuple("InDoubt").field(source).finish(),
            Kind::NotCommitted(source) => f.debug_tuple("NotCommitted").field(source).finish(),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            Kind::Cancelled(why) => Some(why),
            Kind::Failed(error) => Some(error),
            Kind::NoConnection { source, .. }
            | Kind::InDoubt(source)
            | Kind::NotCommitted(source) => Some(&**source),
        }
    }
}
