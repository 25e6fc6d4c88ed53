//! What goes in and what comes out.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

/// So much is read at once.
const CHUNK: usize = 32 * 1024;

type Each = Box<dyn FnMut(&[u8]) + Send>;

/// Where an output goes.
pub(super) enum Sink {
    /// Into the `Exit`.
    Collect,
    /// Where ours goes, or to a file: the child has it, and we do not.
    Given(Stdio),
    Each(Each),
    Writer(Box<dyn AsyncWrite + Send + Unpin>),
    /// Nowhere: the writer has failed, and the child shall not wait for it.
    Lost,
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
            Self::Lost => "Lost",
        })
    }
}

/// What can be seen of the pipes while they run.
#[derive(Default)]
pub(super) struct Flow {
    read: AtomicU64,
    writes: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

impl Flow {
    /// So many bytes have come.
    pub(super) fn read(&self) -> u64 {
        // Ordering: whoever runs the pipes and whoever looks are one task.
        self.read.load(Ordering::Relaxed)
    }

    /// A writer is waited for.
    pub(super) fn writes(&self) -> bool {
        // Ordering: as in `read`.
        self.writes.load(Ordering::Relaxed)
    }

    /// Why a writer took no more, once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_writes(&self, writes: bool) {
        // Ordering: as in `read`.
        self.writes.store(writes, Ordering::Relaxed);
    }

    fn has_read(&self, bytes: usize) {
        // Ordering: as in `read`.
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn fail(&self, error: io::Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Our ends of the pipes of a child.
pub(super) struct Pipes {
    input: Option<(Sender, Vec<u8>)>,
    stdout: Output,
    stderr: Output,
    flow: Arc<Flow>,
}

/// One output, as far as it has come.
struct Output {
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
        Ok(Self { input, stdout, stderr, flow: Arc::default() })
    }

    pub(super) fn flow(&self) -> Arc<Flow> {
        Arc::clone(&self.flow)
    }

    /// Until all of them have come to their ends, or one of ours fails.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        let Self { input, stdout, stderr, flow } = self;
        let feed = async {
            let Some((mut pipe, bytes)) = input.take() else { return Ok(()) };
            match pipe.write_all(&bytes).await {
                // It does not want to read it all, which is its own affair.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                fed => fed,
            }
        };
        let (mut feed, mut stdout, mut stderr) =
            (pin!(feed), pin!(stdout.run(flow)), pin!(stderr.run(flow)));
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

    async fn run(&mut self, flow: &Flow) -> io::Result<()> {
        let Self { pipe: slot, sink, collected } = self;
        let Some(pipe) = slot else { return Ok(()) };
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let into = match sink {
                Sink::Collect | Sink::Given(_) => {
                    if collected.capacity() - collected.len() < CHUNK {
                        collected.reserve(CHUNK);
                    }
                    &mut *collected
                }
                _ => {
                    chunk.clear();
                    &mut chunk
                }
            };
            let read = pipe.read_buf(into).await?;
            flow.has_read(read);
            match sink {
                Sink::Each(each) if read > 0 => each(&chunk),
                Sink::Writer(writer) => {
                    flow.set_writes(true);
                    let written = pass_on(writer, &chunk).await;
                    flow.set_writes(false);
                    if let Err(error) = written {
                        flow.fail(error);
                        *sink = Sink::Lost;
                    }
                }
                _ => {}
            }
            if read == 0 {
                *slot = None;
                return Ok(());
            }
        }
    }
}

/// At the end there is nothing, and the writer is told.
async fn pass_on(writer: &mut (dyn AsyncWrite + Send + Unpin), bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() { writer.shutdown().await } else { writer.write_all(bytes).await }
}
