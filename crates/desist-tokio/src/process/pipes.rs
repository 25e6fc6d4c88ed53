//! What goes in and what comes out.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::{Child, Stdio};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

type Each = Box<dyn FnMut(&[u8]) + Send>;

/// Where an output goes.
pub(super) enum Sink {
    /// Into the `Exit`.
    Collect,
    /// Where ours goes, or to a file: the child has it, and we do not.
    Given(Stdio),
    Each(Each),
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
}

impl Sink {
    /// What the child is given for it.
    pub(super) fn stdio(&mut self) -> Stdio {
        match self {
            Self::Given(stdio) => std::mem::replace(stdio, Stdio::null()),
            _ => Stdio::piped(),
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Collect => "Collect",
            Self::Given(_) => "Given",
            Self::Each(_) => "Each",
            Self::Writer(_) => "Writer",
        })
    }
}

/// Our ends of the pipes of a child.
pub(super) struct Pipes {
    input: Option<(Sender, Vec<u8>)>,
    stdout: Output,
    stderr: Output,
}

/// One output, as far as it has come.
pub(super) struct Output {
    pipe: Option<Receiver>,
    sink: Sink,
    collected: Vec<u8>,
}

impl Pipes {
    pub(super) fn of(
        child: &mut Child,
        input: Vec<u8>,
        stdout: Sink,
        stderr: Sink,
    ) -> io::Result<Self> {
        let input = match child.stdin.take() {
            Some(pipe) => Some((Sender::from_owned_fd(OwnedFd::from(pipe))?, input)),
            None => None,
        };
        let stdout = Output::of(child.stdout.take().map(OwnedFd::from), stdout)?;
        let stderr = Output::of(child.stderr.take().map(OwnedFd::from), stderr)?;
        Ok(Self { input, stdout, stderr })
    }

    /// Until all of them have come to their ends, or one of them fails.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        let Self { input, stdout, stderr } = self;
        let feed = async {
            let Some((mut pipe, bytes)) = input.take() else { return Ok(()) };
            match pipe.write_all(&bytes).await {
                // It does not want to read it all, which is its own affair.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                fed => fed,
            }
        };
        let (mut feed, mut stdout, mut stderr) =
            (pin!(feed), pin!(stdout.run()), pin!(stderr.run()));
        let mut parts: [Option<Pin<&mut (dyn Future<Output = io::Result<()>> + Send)>>; 3] =
            [Some(feed.as_mut()), Some(stdout.as_mut()), Some(stderr.as_mut())];
        poll_fn(|cx| {
            for slot in &mut parts {
                let Some(part) = slot else { continue };
                if let Poll::Ready(ended) = part.as_mut().poll(cx) {
                    ended?;
                    *slot = None;
                }
            }
            if parts.iter().all(Option::is_none) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    pub(super) fn into_output(self) -> (Vec<u8>, Vec<u8>) {
        (self.stdout.collected, self.stderr.collected)
    }
}

impl Output {
    fn of(pipe: Option<OwnedFd>, sink: Sink) -> io::Result<Self> {
        let pipe = pipe.map(Receiver::from_owned_fd).transpose()?;
        Ok(Self { pipe, sink, collected: Vec::new() })
    }

    async fn run(&mut self) -> io::Result<()> {
        let Self { pipe: slot, sink, collected } = self;
        let Some(pipe) = slot else { return Ok(()) };
        let mut chunk = Vec::new();
        loop {
            let read = match sink {
                Sink::Collect | Sink::Given(_) => pipe.read_buf(collected).await?,
                Sink::Each(each) => {
                    chunk.clear();
                    let read = pipe.read_buf(&mut chunk).await?;
                    if read > 0 {
                        each(&chunk);
                    }
                    read
                }
                Sink::Writer(writer) => {
                    chunk.clear();
                    let read = pipe.read_buf(&mut chunk).await?;
                    writer.write_all(&chunk).await?;
                    if read == 0 {
                        writer.shutdown().await?;
                    }
                    read
                }
            };
            if read == 0 {
                *slot = None;
                return Ok(());
            }
        }
    }
}
