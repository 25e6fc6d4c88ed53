use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use desist::Cancelled;

use super::error::Unsuccessful;
use super::running::Delivery;

/// How a [`command`](crate::command()) ended, and what it said.
///
/// ```
/// use desist::Token;
/// use desist_tokio::command;
/// use desist_tokio::process::Ending;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let grace = Duration::from_secs(5);
/// let exit = command("echo").arg("hello").run(&Token::never(), grace).await.unwrap();
/// assert!(matches!(exit.ending(), Ending::Finished));
/// assert!(exit.status().success());
/// assert_eq!(exit.stdout(), b"hello\n");
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a command that failed says so in here"]
pub struct Exit {
    pub(super) program: String,
    pub(super) status: ExitStatus,
    pub(super) ending: Ending,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) delivery: Delivery,
}

/// What ended a command.
///
/// ```
/// use desist::{Reason, Source};
/// use desist_tokio::command;
/// use desist_tokio::process::Ending;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// source.cancel_after(Duration::from_millis(20));
/// let exit = command("sleep").arg("600").run(&source.token(), Duration::from_secs(5)).await.unwrap();
/// let Ending::Stopped(why) = exit.ending() else { panic!("{exit}") };
/// assert_eq!(why.reason(), Reason::Deadline);
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Ending {
    /// It ended by itself, well or not: its status tells.
    Finished,
    /// It was asked to, and it and its group ended within the grace.
    Stopped(Cancelled),
    /// It was asked to, and did not: it or somebody in its group was killed.
    Killed(Cancelled),
}

impl Exit {
    /// Its exit code, or the signal that ended it.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "exit 7"]);
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.status().code(), Some(7));
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// What ended it.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::command;
    /// use desist_tokio::process::Ending;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let exit = command("true").run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert!(matches!(exit.ending(), Ending::Finished));
    /// # }
    /// ```
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// What it wrote to its standard output, where that was collected.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("cat").input("to and fro");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"to and fro");
    /// # }
    /// ```
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        &self.stdout
    }

    /// What it wrote to its standard error, where that was collected.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "echo no >&2"]);
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stderr(), b"no\n");
    /// # }
    /// ```
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// Whether all that was written has been read, and passed on. A descendant that has
    /// left the group may hold the pipes; what the command itself wrote is there all the
    /// same, and [`success`](Self::success) does not mind. What a writer did not take,
    /// because it failed or took nothing for a second after a stop, is lost.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let exit = desist_tokio::command("true").run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert!(exit.is_complete());
    /// # }
    /// ```
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.delivery == Delivery::Whole
    }

    /// What it wrote, to keep.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let exit = desist_tokio::command("echo").run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.into_output().stdout, b"\n");
    /// # }
    /// ```
    #[must_use]
    pub fn into_output(self) -> Output {
        Output { stdout: self.stdout, stderr: self.stderr }
    }

    /// What it wrote, if it ended by itself and well.
    ///
    /// # Errors
    ///
    /// It did not, or its output was lost: see [`Unsuccessful`], in which
    /// [`find_cancelled`](desist::find_cancelled) finds the stop, if that was it.
    ///
    /// ```
    /// use desist::Token;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "echo no ink >&2; exit 3"]);
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// let error = exit.success().unwrap_err();
    /// assert_eq!(error.to_string(), "`sh` failed, exit status: 3: no ink");
    /// # }
    /// ```
    pub fn success(self) -> Result<Output, Unsuccessful> {
        let is_lost = self.delivery == Delivery::Lost;
        if self.status.success() && matches!(self.ending, Ending::Finished) && !is_lost {
            return Ok(self.into_output());
        }
        Err(Unsuccessful { exit: self })
    }
}

/// What a command wrote, where that was collected.
///
/// ```
/// use desist::Token;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let exit = desist_tokio::command("echo").run(&Token::never(), Duration::ZERO).await.unwrap();
/// let output = exit.success().unwrap();
/// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"\n"[..], &b""[..]));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// To its standard output.
    pub stdout: Vec<u8>,
    /// To its standard error.
    pub stderr: Vec<u8>,
}

/// In words, one line.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, status, .. } = self;
        match self.ending {
            Ending::Finished if status.success() && self.delivery == Delivery::Lost => {
                write!(f, "`{program}` finished, but some of its output was not passed on")
            }
            Ending::Finished if status.success() => write!(f, "`{program}` finished"),
            Ending::Finished => write!(f, "`{program}` failed, {status}"),
            Ending::Stopped(_) => write!(f, "`{program}` stopped when it was asked to, {status}"),
            Ending::Killed(_) if status.signal() == Some(9) => {
                write!(f, "`{program}` did not stop within its grace and was killed, {status}")
            }
            Ending::Killed(_) => write!(
                f,
                "`{program}` ended, {status}, but somebody in its group did not stop within the \
                 grace and was killed"
            ),
        }
    }
}
