//! A command, from its arguments to its exit.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use desist::Token;
use tokio::io::AsyncWrite;

use super::error::CommandError;
use super::exit::Exit;
use super::family::Family;
use super::pipes::{Pipes, Sink};

/// A command to [run](Command::run): what it writes is collected, what it reads is
/// empty, and its folder and environment are ours.
///
/// ```
/// use desist::Token;
/// use desist_tokio::command;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = Token::never();
/// let exit = command("git").arg("--version").run(&token, Duration::from_secs(5)).await?;
/// assert!(exit.success()?.stdout.starts_with(b"git version"));
/// # Ok(())
/// # }
/// ```
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command {
        inner: std::process::Command::new(program),
        folder: None,
        stdin: Input::Bytes(Vec::new()),
        stdout: Sink::Collect,
        stderr: Sink::Collect,
    }
}

/// What [`command`] gives.
///
/// ```
/// use desist::Token;
/// use desist_tokio::command;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let greeting = command("sh").args(["-c", "echo $GREETING"]).env("GREETING", "hello");
/// let exit = greeting.run(&Token::never(), Duration::from_secs(5)).await.unwrap();
/// assert_eq!(exit.stdout(), b"hello\n");
/// # }
/// ```
#[must_use = "it is started by `run`"]
pub struct Command {
    inner: std::process::Command,
    folder: Option<PathBuf>,
    stdin: Input,
    stdout: Sink,
    stderr: Sink,
}

enum Input {
    Bytes(Vec<u8>),
    Given(Stdio),
}

impl Command {
    /// One more argument.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("echo").arg("-n").arg("one argument");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"one argument");
    /// # }
    /// ```
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.inner.arg(arg);
        self
    }

    /// More arguments.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("echo").args(["-n", "two", "arguments"]);
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"two arguments");
    /// # }
    /// ```
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(args);
        self
    }

    /// A variable of its environment.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "echo $LEVEL"]).env("LEVEL", "9");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"9\n");
    /// # }
    /// ```
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Nothing of our environment; `PATH` neither.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("/usr/bin/env").env_clear().env("ONLY", "this");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"ONLY=this\n");
    /// # }
    /// ```
    pub fn env_clear(mut self) -> Self {
        self.inner.env_clear();
        self
    }

    /// The folder it works in.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("pwd").current_dir("/");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"/\n");
    /// # }
    /// ```
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        self.inner.current_dir(folder);
        self.folder = Some(folder.to_owned());
        self
    }

    /// What it reads, instead of nothing.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("tr").args(["a-z", "A-Z"]).input("loud");
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"LOUD");
    /// # }
    /// ```
    pub fn input(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { stdin: Input::Bytes(bytes.into()), ..self }
    }

    /// Where it reads from: a file, another's pipe, or our own standard input, from
    /// which a command that is not in the foreground of a terminal cannot read.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("cat").stdin(std::process::Stdio::null());
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"");
    /// # }
    /// ```
    pub fn stdin(self, stdin: impl Into<Stdio>) -> Self {
        Self { stdin: Input::Given(stdin.into()), ..self }
    }

    /// Where its standard output goes, instead of into the [`Exit`]: to a file, or with
    /// [`Stdio::inherit`] where ours goes.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("echo").stdout(std::process::Stdio::null());
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stdout(), b"");
    /// # }
    /// ```
    pub fn stdout(self, stdout: impl Into<Stdio>) -> Self {
        Self { stdout: Sink::Given(stdout.into()), ..self }
    }

    /// Where its standard error goes, instead of into the [`Exit`].
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "echo no >&2"]);
    /// let command = command.stderr(std::process::Stdio::null());
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stderr(), b"");
    /// # }
    /// ```
    pub fn stderr(self, stderr: impl Into<Stdio>) -> Self {
        Self { stderr: Sink::Given(stderr.into()), ..self }
    }

    /// Called with every piece of its standard output as it comes, which may begin and
    /// end in the middle of a line.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let command = desist_tokio::command("echo").arg("piece").each_stdout(move |piece| {
    ///     tell.send(piece.to_vec()).unwrap();
    /// });
    /// command.run(&Token::never(), Duration::ZERO).await.unwrap().success().unwrap();
    /// assert_eq!(told.iter().flatten().collect::<Vec<_>>(), b"piece\n");
    /// # }
    /// ```
    pub fn each_stdout(self, each: impl FnMut(&[u8]) + Send + 'static) -> Self {
        Self { stdout: Sink::Each(Box::new(each)), ..self }
    }

    /// The same for its standard error.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let command = desist_tokio::command("sh").args(["-c", "echo piece >&2"]);
    /// let command = command.each_stderr(move |piece| tell.send(piece.to_vec()).unwrap());
    /// command.run(&Token::never(), Duration::ZERO).await.unwrap().success().unwrap();
    /// assert_eq!(told.iter().flatten().collect::<Vec<_>>(), b"piece\n");
    /// # }
    /// ```
    pub fn each_stderr(self, each: impl FnMut(&[u8]) + Send + 'static) -> Self {
        Self { stderr: Sink::Each(Box::new(each)), ..self }
    }

    /// Copies its standard output into that, no faster than it takes it, and shuts it
    /// down at the end. Where that fails the command is killed.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use tokio::io::AsyncReadExt;
    ///
    /// let (ours, mut reader) = tokio::io::duplex(16);
    /// let command = desist_tokio::command("echo").arg("streamed").stdout_to(ours);
    /// let token = Token::never();
    /// let mut read = String::new();
    /// let both = tokio::join!(command.run(&token, Duration::ZERO), reader.read_to_string(&mut read));
    /// assert!(both.0.unwrap().status().success());
    /// assert_eq!(read, "streamed\n");
    /// # }
    /// ```
    pub fn stdout_to(self, writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stdout: Sink::Writer(Box::new(writer)), ..self }
    }

    /// The same for its standard error.
    ///
    /// ```
    /// # use desist::Token;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let command = desist_tokio::command("sh").args(["-c", "echo no >&2"]).stderr_to(tokio::io::sink());
    /// let exit = command.run(&Token::never(), Duration::ZERO).await.unwrap();
    /// assert_eq!(exit.stderr(), b"");
    /// # }
    /// ```
    pub fn stderr_to(self, writer: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { stderr: Sink::Writer(Box::new(writer)), ..self }
    }

    /// Runs it to its end. Asked to stop, it and its group have `grace`: they are sent
    /// SIGTERM, and after the grace SIGKILL. Whoever is left in the group when it ends
    /// by itself is killed, too. See the [module](crate::process) for what is promised
    /// and what lies outside.
    ///
    /// The grace is by the system's clock, also where a runtime's time is paused.
    ///
    /// # Errors
    ///
    /// It could not be started, or the stop had been asked for before; or a writer that
    /// it was to be copied to failed, and it was killed. How it ended is no error here:
    /// see [`Exit::success`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without IO.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it kills the group at once and has it reaped.
    ///
    /// ```
    /// use desist::Source;
    /// use desist_tokio::command;
    /// use desist_tokio::process::Ending;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let source = Source::new();
    /// let deaf = command("sh").args(["-c", "trap '' TERM; echo; while :; do sleep 600; done"]);
    /// let canceller = source.clone();
    /// let deaf = deaf.each_stdout(move |_| _ = canceller.cancel());
    /// let exit = deaf.run(&source.token(), Duration::from_millis(20)).await.unwrap();
    /// assert!(matches!(exit.ending(), Ending::Killed(_)), "{exit}");
    /// # }
    /// ```
    pub async fn run(mut self, token: &Token, grace: Duration) -> Result<Exit, CommandError> {
        let program = self.inner.get_program().to_string_lossy().into_owned();
        if let Some(cancelled) = token.cancellation() {
            return Err(CommandError::not_begun(&program, cancelled));
        }
        let (mut family, mut pipes) = self.start(&program)?;
        let (ending, delivery) = family
            .run(&mut pipes, token, grace)
            .await
            .map_err(|(what, error)| CommandError::failed(&program, what, error))?;
        let status = family
            .reap()
            .map_err(|error| CommandError::failed(&program, "could not be waited for", error))?;
        let (stdout, stderr) = pipes.into_output();
        Ok(Exit { program, status, ending, stdout, stderr, delivery })
    }

    fn start(&mut self, program: &str) -> Result<(Family, Pipes), CommandError> {
        let failed = |what, error| CommandError::failed(program, what, error);
        let input = match std::mem::replace(&mut self.stdin, Input::Given(Stdio::null())) {
            Input::Bytes(bytes) if bytes.is_empty() => {
                self.inner.stdin(Stdio::null());
                bytes
            }
            Input::Bytes(bytes) => {
                self.inner.stdin(Stdio::piped());
                bytes
            }
            Input::Given(given) => {
                self.inner.stdin(given);
                Vec::new()
            }
        };
        self.inner.stdout(self.stdout.stdio()).stderr(self.stderr.stdio());
        let started = Family::start(&mut self.inner);
        // What was given to the child is the child's alone: whoever reads it waits for
        // all of its holders.
        self.inner = std::process::Command::new("");
        let mut family = started.map_err(|error| {
            // The system has one word for both.
            let lost = self.folder.as_ref().is_some_and(|folder| !folder.is_dir());
            let what = if lost {
                "could not be started, for what it was to work in is no folder"
            } else {
                "could not be started"
            };
            failed(what, error)
        })?;
        let stdout = std::mem::replace(&mut self.stdout, Sink::Collect);
        let stderr = std::mem::replace(&mut self.stderr, Sink::Collect);
        let Some(leader) = family.leader() else { unreachable!("it is not reaped") };
        let pipes = Pipes::of(leader, input, stdout, stderr)
            .map_err(|error| failed("was killed, for its pipes cannot be read", error))?;
        Ok((family, pipes))
    }
}

impl From<std::process::Command> for Command {
    /// With its arguments, environment and folder; what it had for input and output is
    /// replaced.
    fn from(inner: std::process::Command) -> Self {
        let folder = inner.get_current_dir().map(Path::to_owned);
        Self { inner, folder, ..command("") }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("inner", &self.inner)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
