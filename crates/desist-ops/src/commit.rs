//! What becomes of a commit.

use std::error::Error as StdError;
use std::fmt;

use desist::{Cancelled, Reason, Token};
use desist_sql::Error as SqlError;

use crate::protocol::Finished;
use crate::{BoxError, Error};

/// Why a [`commit`](crate::Context::commit) has not come to be. Nothing of it is there, unless
/// [`is_in_doubt`](Self::is_in_doubt).
///
/// ```
/// use desist_ops::{BoxError, CommitError, Context, Sqlite};
///
/// async fn import(ctx: Context<Sqlite>, _: ()) -> Result<(), BoxError> {
///     match ctx.commit(|tx| Ok(tx.execute("DELETE FROM basket", [])?)).await {
///         Ok(removed) => assert!(removed < 100),
///         Err(error) if error.cancelled().is_some() => println!("somebody asked to stop"),
///         Err(error) => return Err(error.into()),
///     }
///     Ok(())
/// }
/// # let _ = desist_ops::Kind::new("import", import);
/// ```
#[derive(Debug)]
pub struct CommitError {
    what: &'static str,
    in_doubt: bool,
    source: BoxError,
}

impl CommitError {
    /// It was stopped, for this reason; [`Reason::LeaseLost`] if somebody else has the operation
    /// now.
    #[must_use]
    pub fn cancelled(&self) -> Option<&Cancelled> {
        self.source.downcast_ref()
    }

    /// Whether it was committed is not known. Return this from the handler: if it was, the operation
    /// has succeeded, and otherwise it has failed, or is begun again.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    pub(crate) fn stopped(why: Cancelled) -> Self {
        Self { what: "the commit was stopped", in_doubt: false, source: Box::new(why) }
    }

    /// There is nothing left to end.
    pub(crate) fn over() -> Self {
        let says = "do all of it in one commit, within the handler; what comes after that belongs to \
                    another operation";
        let what = "this run of the operation is over, or was committed already";
        Self { what, in_doubt: false, source: says.into() }
    }

    pub(crate) fn of(error: SqlError<InCommit>) -> Self {
        if let Some(why) = error.cancelled() {
            return Self::stopped(why.clone());
        }
        let in_doubt = error.is_in_doubt();
        let (what, source) = match error.into_failure() {
            Ok(InCommit::Handler(error)) => ("what was to be committed failed", error),
            Ok(InCommit::Fenced) => return Self::stopped(lease_lost()),
            Ok(InCommit::Over) => return Self::over(),
            Ok(InCommit::Protocol(error)) => {
                ("the end of the operation could not be written", error.into())
            }
            Err(error) => {
                let what = if in_doubt {
                    "whether it was committed is not known; return this error, and it is found out"
                } else {
                    "it was not committed"
                };
                (what, error.map(|_| fmt::Error).into_boxed())
            }
        };
        Self { what, in_doubt, source }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl StdError for CommitError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// What is known where there is no token that says so.
fn lease_lost() -> Cancelled {
    let lost = Token::cancelled_with(Reason::LeaseLost.with("somebody else has the operation now"));
    let Some(why) = lost.cancellation() else { unreachable!("it is cancelled") };
    why
}

/// Why a transaction that commits has failed.
#[derive(Debug)]
pub(crate) enum InCommit {
    /// The handler's own work failed.
    Handler(BoxError),
    /// The operation belongs to somebody else by now.
    Fenced,
    /// This run is over.
    Over,
    /// The protocol's part failed.
    Protocol(Error),
}

impl InCommit {
    /// What the handler's work gave, if the operation is still its own.
    pub(crate) fn checked<T>(finished: Result<Finished, Error>, given: T) -> Result<T, Self> {
        match finished {
            Ok(Finished::Is(_)) => Ok(given),
            // It is over already. That it ended by this very run makes its effects no less double.
            Ok(Finished::Was(_)) => Err(Self::Over),
            Ok(Finished::Fenced) => Err(Self::Fenced),
            Err(error) => Err(Self::Protocol(error)),
        }
    }
}

#[cfg(feature = "postgres")]
impl From<tokio_postgres::Error> for InCommit {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Handler(error.into())
    }
}

impl From<Error> for InCommit {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}
