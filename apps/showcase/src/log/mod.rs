//! Who asked, why, how soon it was heard, and how soon it had stopped.

mod entry;
mod last_words;
mod line;
mod logged;
mod reader;

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use desist::Token;
use desist_mediator::{Handler, Request};
use tokio::sync::broadcast;
use tokio_stream::Stream;

pub(crate) use self::entry::Entry;
use self::last_words::UntilLastWords;
pub(crate) use self::line::Line;
use self::line::Said;
pub(crate) use self::logged::logged;
pub(crate) use self::reader::Heard;
use self::reader::Reader;
use crate::terminal::print_line;

/// Everybody's work, as it goes on.
#[derive(Clone)]
pub(crate) struct Log {
    written: Arc<Mutex<Written>>,
}

struct Written {
    /// How many works have begun.
    begun: u64,
    /// Those that have not ended.
    running: BTreeSet<u64>,
    /// The server stops: with the last work the log is over.
    is_closing: bool,
    /// How much of what was said last.
    keeps: usize,
    /// What was said last, without progress.
    recent: VecDeque<Line>,
    /// What was said before that, of those whose end was not.
    older: Vec<Line>,
    /// To whoever reads it; `None`: it is over.
    readers: Option<broadcast::Sender<Line>>,
}

/// So many lines are kept for whoever comes later, and all of what runs.
const RECENT: usize = 200;

/// Who wants a work.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) whom: Whom,
    /// By which a page knows the work that it began; any number.
    pub(crate) mark: Option<u64>,
    /// Which operation it is, if it is one.
    pub(crate) operation: Option<String>,
}

#[derive(Clone)]
pub(crate) enum Whom {
    Client(SocketAddr),
    Called(String),
}

impl Asker {
    /// Somebody without a page.
    pub(crate) fn called(name: impl Into<String>) -> Self {
        Self { whom: Whom::Called(name.into()), mark: None, operation: None }
    }
}

impl Asker {
    pub(crate) fn is_client(&self) -> bool {
        matches!(self.whom, Whom::Client(_))
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => client.fmt(f),
            Self::Called(name) => f.write_str(name),
        }
    }
}

/// What was said last, and what is said from now on, until the server stops and all work
/// has ended: a drain comes before the work is told.
pub(crate) struct ReadLog;

impl Request for ReadLog {
    type Response = Pin<Box<dyn Stream<Item = Heard> + Send>>;

    fn name() -> &'static str {
        "read log"
    }
}

impl Handler<ReadLog> for Log {
    type Error = Infallible;

    async fn handle(
        &self,
        stop: Token,
        ReadLog: ReadLog,
    ) -> Result<<ReadLog as Request>::Response, Infallible> {
        Ok(Box::pin(UntilLastWords::new(Reader::new(self.clone()), stop)))
    }
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::with_room(RECENT, 1024)
    }

    /// `keeps` so many lines of before, and lets so many wait for a reader.
    fn with_room(keeps: usize, wait: usize) -> Self {
        let (readers, _) = broadcast::channel(wait);
        let written = Written {
            begun: 0,
            running: BTreeSet::new(),
            is_closing: false,
            keeps,
            recent: VecDeque::new(),
            older: Vec::new(),
            readers: Some(readers),
        };
        Self { written: Arc::new(Mutex::new(written)) }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It ends for its readers when no work is running any more.
    pub(crate) fn close(&self) {
        let mut written = self.written();
        written.is_closing = true;
        written.end_if_over();
    }
}

impl Written {
    /// The number of one more.
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.running.insert(self.begun);
        self.begun
    }

    fn end(&mut self, work: u64) {
        self.running.remove(&work);
        self.end_if_over();
    }

    fn say(&mut self, line: Line) {
        if !matches!(line.said, Said::Progress { .. }) {
            // Whoever has no page reads it there.
            print_line(&line);
            if self.recent.len() == self.keeps {
                self.forget_one();
            }
            self.recent.push_back(line.clone());
        }
        if let Some(readers) = &self.readers {
            // Nobody may be listening.
            let _ = readers.send(line);
        }
    }

    /// Of a work that runs nothing is forgotten, or nobody would know whose it is.
    fn forget_one(&mut self) {
        let Some(line) = self.recent.pop_front() else { return };
        if line.said.is_end() {
            self.older.retain(|older| older.work != line.work);
        } else {
            self.older.push(line);
        }
    }

    fn end_if_over(&mut self) {
        if self.is_closing && self.running.is_empty() {
            // Its readers get what was said before, and then the end.
            self.readers = None;
        }
    }
}
