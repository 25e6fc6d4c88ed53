//! What goes in and what comes out.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};

/// So much is read at once.
const CHUNK: usize = 32 * 1024;

/// More than a pipe holds that nobody has enlarged: what comes after that is of somebody
/// outside.
const MOST_AFTER: usize = 1 << 20;

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
    /// How many outputs wait for their writers.
    writing: AtomicUsize,
    /// So many bytes writers have taken.
    written: AtomicU64,
    /// Everybody is gone: what comes now was written before, or is of somebody outside.
    is_ending: AtomicBool,
    /// Something will not come to where it was to go.
    is_lost: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

// Whoever runs the pipes and whoever looks are one task, so nothing is handed over.
impl Flow {
    /// A writer is waited for.
    pub(super) fn is_writing(&self) -> bool {
        // Ordering: as above.
        self.writing.load(Ordering::Relaxed) > 0
    }

    pub(super) fn written(&self) -> u64 {
        // Ordering: as above.
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        // Ordering: as above.
        self.is_ending.store(true, Ordering::Relaxed);
    }

    fn is_ending(&self) -> bool {
        // Ordering: as above.
        self.is_ending.load(Ordering::Relaxed)
    }

    pub(super) fn is_lost(&self) -> bool {
        // Ordering: as above.
        self.is_lost.load(Ordering::Relaxed)
    }

    pub(super) fn lose(&self) {
        // Ordering: as above.
        self.is_lost.store(true, Ordering::Relaxed);
    }

    /// Why a writer took no more, once.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: io::Error) {
        self.lose();
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Passes it on, and counts what is taken. At the end there is nothing, and the
    /// writer is told.
    async fn pass_on(
        &self,
        writer: &mut (dyn AsyncWrite + Send + Unpin),
        mut bytes: &[u8],
    ) -> io::Result<()> {
        let _writing = Writing::begin(&self.writing);
        if bytes.is_empty() {
            return writer.shutdown().await;
        }
        while !bytes.is_empty() {
            let taken = writer.write(bytes).await?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(taken..).unwrap_or_default();
            // Ordering: as above.
            self.written.fetch_add(taken as u64, Ordering::Relaxed);
        }
        writer.flush().await
    }
}

/// While this is there.
struct Writing<'a>(&'a AtomicUsize);

impl<'a> Writing<'a> {
    fn begin(writing: &'a AtomicUsize) -> Self {
        // Ordering: as in `Flow`.
        writing.fetch_add(1, Ordering::Relaxed);
        Self(writing)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Ordering: as in `Flow`.
        self.0.fetch_sub(1, Ordering::Relaxed);
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
            // Each is the first in turn: one that is always ready leaves the others theirs.
            parts.rotate_left(1);
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
        let mut after = 0;
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
            match sink {
                Sink::Each(each) if read > 0 => each(&chunk),
                Sink::Writer(writer) => {
                    if let Err(error) = flow.pass_on(writer, &chunk).await {
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
            after += if flow.is_ending() { read } else { 0 };
            if after > MOST_AFTER {
                // It is somebody outside who writes.
                pending::<()>().await;
            }
        }
    }
}
