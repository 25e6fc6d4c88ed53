//! Who asked, why, how soon it was heard, and how soon it had stopped.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use desist::{Cancelled, Reason};
use desist_http::RequestToken;
use desist_tokio::StreamExt as _;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

/// Everybody's work, as it goes on.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    numbers: AtomicU64,
    lines: broadcast::Sender<Line>,
}

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
    Begun,
    Progress {
        done: u64,
        total: Option<u64>,
    },
    Stopped {
        by: &'static str,
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

/// A piece of work, from its begin to its end.
pub(crate) struct Work {
    log: Log,
    number: u64,
    what: &'static str,
    begun: Instant,
    heard: Option<Cancelled>,
    heard_ms: f64,
    is_over: bool,
}

impl Log {
    pub(crate) fn new() -> Self {
        let (lines, _) = broadcast::channel(1024);
        Self { shared: Arc::new(Shared { numbers: AtomicU64::new(1), lines }) }
    }

    pub(crate) fn begin(&self, what: &'static str) -> Work {
        // Ordering: it only counts.
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let work = Work {
            log: self.clone(),
            number,
            what,
            begun: Instant::now(),
            heard: None,
            heard_ms: 0.0,
            is_over: false,
        };
        work.say(Said::Begun);
        work
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Work {
    fn say(&self, said: Said) {
        // Nobody may be listening.
        let _ = self.log.shared.lines.send(Line { work: self.number, what: self.what, said });
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
}

fn asked_by(reason: Reason) -> &'static str {
    match reason {
        Reason::Disconnected => "the client",
        Reason::Shutdown => "the operator",
        Reason::Deadline => "the clock",
        _ => "the program",
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(heard), false) = (&self.heard, self.is_over) {
            self.say(Said::Stopped {
                by: asked_by(heard.reason()),
                reason: heard.reason().as_str(),
                detail: heard.detail().map(ToString::to_string),
                heard_ms: self.heard_ms,
                stopped_ms: millis(heard.at()),
            });
        } else if !self.is_over {
            self.say(Said::Failed { why: "it was dropped in the middle".into() });
        }
    }
}

/// The log as it is written, until the reader goes or the server drains.
pub(crate) async fn events(
    State(log): State<Log>,
    token: RequestToken,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let lines = BroadcastStream::new(log.shared.lines.subscribe());
    // Who is too slow misses some.
    let events = lines.filter_map(Result::ok).filter_map(|line| {
        let text = serde_json::to_string(&line).ok()?;
        Some(Ok(Event::default().data(text)))
    });
    Sse::new(events.until_cancelled(token.draining())).keep_alive(KeepAlive::default())
}
