use std::error::Error;
use std::fmt;
use std::io;

use desist::Cancelled;

use super::exit::{Ending, Exit};

/// A command of which there is no [`Exit`] to tell.
///
/// ```
/// use desist::Token;
/// use desist_tokio::command;
/// use std::error::Error;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let error = command("no-such-program").run(&Token::never(), Duration::ZERO).await.unwrap_err();
/// assert_eq!(error.to_string(), "`no-such-program` could not be started");
/// assert!(error.source().unwrap().to_string().contains("No such file"));
/// # }
/// ```
#[derive(Debug)]
pub struct CommandError {
    program: String,
    what: &'static str,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Failed(io::Error),
    Cancelled(Cancelled),
}

impl CommandError {
    pub(super) fn failed(program: &str, what: &'static str, error: io::Error) -> Self {
        Self { program: program.to_owned(), what, why: Why::Failed(error) }
    }

    pub(super) fn not_begun(program: &str, cancelled: Cancelled) -> Self {
        let what = "was not started, for the stop had been asked for";
        Self { program: program.to_owned(), what, why: Why::Cancelled(cancelled) }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.program, self.what)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.why {
            Why::Failed(error) => Some(error),
            Why::Cancelled(cancelled) => Some(cancelled),
        }
    }
}

/// Of the same kind as what it was.
impl From<CommandError> for io::Error {
    fn from(error: CommandError) -> Self {
        let kind = match &error.why {
            Why::Failed(error) => error.kind(),
            Why::Cancelled(cancelled) => Self::from(cancelled.clone()).kind(),
        };
        Self::new(kind, error)
    }
}

/// A command that ended, and not by itself and well: the error of [`Exit::success`].
///
/// ```
/// use desist::{Source, find_cancelled};
/// use desist_tokio::command;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// source.cancel_after(Duration::from_millis(20));
/// let exit = command("sleep").arg("600").run(&source.token(), Duration::from_secs(5)).await;
/// let error = exit.unwrap().success().unwrap_err();
/// assert!(error.to_string().starts_with("`sleep` stopped when it was asked to"));
/// assert!(find_cancelled(&error).is_some());
/// # }
/// ```
#[derive(Debug)]
pub struct Unsuccessful {
    pub(super) exit: Exit,
}

impl Unsuccessful {
    /// How it ended.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let exit = desist_tokio::command("false").run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.success().unwrap_err().exit().status().code(), Some(1));
    /// # }
    /// ```
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// How it ended, to keep.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let exit = desist_tokio::command("false").run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.success().unwrap_err().into_exit().stderr(), b"");
    /// # }
    /// ```
    pub fn into_exit(self) -> Exit {
        self.exit
    }
}

/// With the last line that it wrote to its standard error.
impl fmt::Display for Unsuccessful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exit.fmt(f)?;
        let said = String::from_utf8_lossy(&self.exit.stderr);
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => write!(f, ": {}", line.trim()),
            None => Ok(()),
        }
    }
}

impl Error for Unsuccessful {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.exit.ending {
            Ending::Finished => None,
            Ending::Stopped(cancelled) | Ending::Killed(cancelled) => Some(cancelled),
        }
    }
}
