//! A stock curl, started as a child and interrupted as by Ctrl-C.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::within;

pub(crate) struct Curl {
    child: Child,
    output: BufReader<ChildStdout>,
    printed: String,
}

impl Curl {
    /// The server has to listen to SIGINT already: a child takes over that it is ignored,
    /// as in a script's background, but not that it is handled.
    pub(crate) fn start<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> io::Result<Self> {
        let mut command = Command::new("curl");
        // Neither ~/.curlrc nor a proxy has a say here.
        command.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--no-buffer"]);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let how = "install it, as with `apt-get install curl`";
            io::Error::new(error.kind(), format!("curl cannot be started: {error}; {how}"))
        })?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("curl has no output"))?;
        Ok(Self { child, output: BufReader::new(output), printed: String::new() })
    }

    /// Waits until it prints a line that is waited for.
    pub(crate) async fn prints(&mut self, mut is_it: impl FnMut(&str) -> bool) -> io::Result<()> {
        loop {
            let begin = self.printed.len();
            let read = self.output.read_line(&mut self.printed);
            if within("a line of curl's", read).await?? == 0 {
                let said = format!("curl ended after printing only {:?}", self.printed);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, said));
            }
            if is_it(self.printed[begin..].trim_end()) {
                return Ok(());
            }
        }
    }

    /// Everything that it prints, when it has ended well.
    pub(crate) async fn answer(mut self) -> io::Result<String> {
        let read = self.output.read_to_string(&mut self.printed);
        within("the end of curl's output", read).await??;
        let status = self.ended().await?;
        if status.success() {
            return Ok(self.printed);
        }
        Err(io::Error::other(format!("curl failed with {status}; it printed {:?}", self.printed)))
    }

    /// Interrupts it. Back comes when that was.
    pub(crate) async fn interrupt(mut self) -> io::Result<Instant> {
        let at = Instant::now();
        self.sigint()?;
        let status = self.ended().await?;
        if was_interrupted(status) {
            return Ok(at);
        }
        Err(io::Error::other(format!("curl ended by itself, with {status}")))
    }

    #[cfg(unix)]
    fn sigint(&self) -> io::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let id = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let id = id.ok_or_else(|| io::Error::other("curl has ended by itself"))?;
        Ok(kill_process(id, Signal::INT)?)
    }

    /// There is no such signal.
    #[cfg(not(unix))]
    fn sigint(&mut self) -> io::Result<()> {
        self.child.start_kill()
    }

    async fn ended(&mut self) -> io::Result<ExitStatus> {
        within("the end of curl", self.child.wait()).await?
    }
}

#[cfg(unix)]
fn was_interrupted(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(rustix::process::Signal::INT.as_raw())
}

#[cfg(not(unix))]
fn was_interrupted(status: ExitStatus) -> bool {
    !status.success()
}

/// Whether this curl was built with HTTP/2.
pub(crate) async fn has_http2() -> io::Result<bool> {
    let said = Curl::start(["--version"])?.answer().await?;
    let features = said.lines().find_map(|line| line.strip_prefix("Features:"));
    Ok(features.is_some_and(|features| features.split_whitespace().any(|word| word == "HTTP2")))
}
