//! Who asked, why, how soon it was heard, and how soon it had stopped.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error as _;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use desist::{Cancelled, Reason};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

/// Everybody's work, as it goes on.
#[derive(Clone)]
pub(crate) struct Log {
    written: Arc<Mutex<Written>>,
}

struct Written {
    /// How many works have begun.
    begun: u64,
    /// How many of them have not ended.
    running: u64,
    /// The server stops: with the last work the log is over.
    is_closing: bool,
    /// What was said last, without progress.
    recent: VecDeque<Line>,
    /// To whoever reads it; `None`: it is over.
    readers: Option<broadcast::Sender<Line>>,
}

/// So many lines are kept for whoever comes later.
const RECENT: usize = 200;

/// One line of the log.
#[derive(Clone, Serialize)]
pub(crate) struct Line {
    work: u64,
    what: &'static str,
    #[serde(flatten)]
    said: Said,
}

#[derive(Clone, Serialize)]
#[serde(tag = "said", rename_all = "snake_case")]
enum Said {
    Begun {
        client: SocketAddr,
        mark: Option<u64>,
    },
    Progress {
        done: u64,
        total: Option<u64>,
    },
    Stopped {
        by: Cow<'static, str>,
        reason: &'static str,
        detail: Option<String>,
        heard_ms: f64,
        stopped_ms: f64,
    },
    Failed {
        why: String,
    },
    Finished {
        took_ms: f64,
    },
}

/// Who wants a work.
#[derive(Clone, Copy)]
pub(crate) struct Asker {
    client: SocketAddr,
    /// By which a page knows the work that it began; any number.
    mark: Option<u64>,
}

/// A piece of work, from its begin to its end.
pub(crate) struct Work {
    log: Log,
    number: u64,
    what: &'static str,
    client: SocketAddr,
    begun: Instant,
    heard: Option<Cancelled>,
    heard_ms: f64,
    is_over: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        let (readers, _) = broadcast::channel(1024);
        let written = Written {
            begun: 0,
            running: 0,
            is_closing: false,
            recent: VecDeque::new(),
            readers: Some(readers),
        };
        Self { written: Arc::new(Mutex::new(written)) }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, what: &'static str, asker: Asker) -> Work {
        let Asker { client, mark } = asker;
        let mut written = self.written();
        written.begun += 1;
        written.running += 1;
        let number = written.begun;
        written.say(Line { work: number, what, said: Said::Begun { client, mark } });
        drop(written);
        Work {
            log: self.clone(),
            number,
            what,
            client,
            begun: Instant::now(),
            heard: None,
            heard_ms: 0.0,
            is_over: false,
        }
    }

    /// It ends for its readers when no work is running any more.
    pub(crate) fn close(&self) {
        let mut written = self.written();
        written.is_closing = true;
        written.end_if_over();
    }

    /// What was said last, and what is said from now on.
    fn read(&self) -> (VecDeque<Line>, broadcast::Receiver<Line>) {
        let written = self.written();
        let lines = match &written.readers {
            Some(readers) => readers.subscribe(),
            // At its end already: its sender is gone.
            None => broadcast::channel(1).1,
        };
        (written.recent.clone(), lines)
    }
}

impl Written {
    fn say(&mut self, line: Line) {
        if !matches!(line.said, Said::Progress { .. }) {
            // Whoever has no page reads it here, as long as there is a terminal.
            let _ = writeln!(io::stdout(), "{line}");
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(line.clone());
        }
        if let Some(readers) = &self.readers {
            // Nobody may be listening.
            let _ = readers.send(line);
        }
    }

    fn end_if_over(&mut self) {
        if self.is_closing && self.running == 0 {
            // Its readers get what was said before, and then the end.
            self.readers = None;
        }
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Work {
    fn say(&self, said: Said) {
        self.log.written().say(Line { work: self.number, what: self.what, said });
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn progress(&self, done: u64, total: Option<u64>) {
        self.say(Said::Progress { done, total });
    }

    /// The stop has been seen; what it still does is its cleanup.
    pub(crate) fn heard(&mut self, cancelled: &Cancelled) {
        self.heard_ms = millis(cancelled.at());
        self.heard = Some(cancelled.clone());
    }

    pub(crate) fn finish(mut self) {
        self.is_over = true;
        self.say(Said::Finished { took_ms: millis(self.begun) });
    }

    pub(crate) fn fail(mut self, why: &impl ToString) {
        self.is_over = true;
        self.say(Said::Failed { why: why.to_string() });
    }

    fn asked_by(&self, reason: Reason) -> Cow<'static, str> {
        match reason {
            Reason::Disconnected => format!("the client {}", self.client).into(),
            Reason::Shutdown => "the operator".into(),
            Reason::Deadline => "the clock".into(),
            _ => "the program".into(),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(heard), false) = (&self.heard, self.is_over) {
            self.say(Said::Stopped {
                by: self.asked_by(heard.reason()),
                reason: heard.reason().as_str(),
                detail: heard.source().map(ToString::to_string),
                heard_ms: self.heard_ms,
                stopped_ms: millis(heard.at()),
            });
        } else if !self.is_over {
            self.say(Said::Failed { why: "it was dropped in the middle".into() });
        }
        let mut written = self.log.written();
        written.running -= 1;
        written.end_if_over();
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} ", self.work, self.what)?;
        match &self.said {
            Said::Begun { client, .. } => write!(f, "begun for {client}"),
            Said::Progress { done, total: None } => write!(f, "at {done}"),
            Said::Progress { done, total: Some(total) } => write!(f, "at {done} of {total}"),
            Said::Stopped { by, reason, detail, heard_ms, stopped_ms } => {
                write!(f, "stopped by {by}: {reason}")?;
                if let Some(detail) = detail {
                    write!(f, " ({detail})")?;
                }
                write!(f, "; heard after {heard_ms:.2} ms, stopped after {stopped_ms:.2} ms")
            }
            Said::Failed { why } => write!(f, "failed: {why}"),
            Said::Finished { took_ms } => write!(f, "finished after {took_ms:.0} ms"),
        }
    }
}

#[derive(Deserialize)]
struct Mark {
    mark: Option<u64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let client = ConnectInfo::from_request_parts(parts, state).await;
        let ConnectInfo(client) = client.map_err(IntoResponse::into_response)?;
        let mark = Query::from_request_parts(parts, state).await;
        let Query(Mark { mark }) = mark.map_err(IntoResponse::into_response)?;
        Ok(Self { client, mark })
    }
}

/// The log as it is written, after its last lines, until the reader goes, or the server
/// stops and all work has ended: a drain comes before the work is told.
pub(crate) async fn events(
    State(log): State<Log>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (recent, lines) = log.read();
    // Who is too slow misses some.
    let lines = BroadcastStream::new(lines).filter_map(Result::ok);
    let events = tokio_stream::iter(recent).chain(lines).filter_map(|line| {
        let text = serde_json::to_string(&line).ok()?;
        Some(Ok(Event::default().data(text)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}
