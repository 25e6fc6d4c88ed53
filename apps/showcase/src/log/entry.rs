//! One work in the log.

use std::borrow::Cow;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use desist::{Cancelled, Reason, Token};

use super::line::{Line, Said};
use super::{Asker, Log};

/// A work in the log, from its begin until the last who has this lets go of it. By default
/// that of nobody, of which nothing is said.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    open: Option<Arc<Open>>,
}

struct Open {
    log: Log,
    number: u64,
    what: &'static str,
    client: SocketAddr,
    token: Token,
    begun: Instant,
    /// What was said first of it.
    end: OnceLock<End>,
}

enum End {
    Stopped { heard: Cancelled, heard_ms: f64 },
    Failed { why: String },
    Finished,
}

impl Entry {
    pub(super) fn begin(log: &Log, what: &'static str, asker: Asker, token: Token) -> Self {
        let Asker { client, mark } = asker;
        let mut written = log.written();
        let number = written.begin();
        written.say(Line { work: number, what, said: Said::Begun { client, mark } });
        drop(written);
        let (log, begun, end) = (log.clone(), Instant::now(), OnceLock::new());
        Self { open: Some(Arc::new(Open { log, number, what, client, token, begun, end })) }
    }

    pub(crate) fn progress(&self, done: u64, total: Option<u64>) {
        if let Some(open) = &self.open {
            open.say(Said::Progress { done, total });
        }
    }

    /// The stop has been seen; what the work still does is its cleanup. To be said by whoever
    /// has such, or outlives the handler; for others it is.
    pub(crate) fn heard(&self, cancelled: &Cancelled) {
        let heard_ms = millis(cancelled.at());
        self.ends(End::Stopped { heard: cancelled.clone(), heard_ms });
    }

    pub(super) fn fail(self, why: String) {
        self.ends(End::Failed { why });
    }

    fn ends(&self, end: End) {
        if let Some(open) = &self.open {
            let _ = open.end.set(end);
        }
    }

    /// It has ended well, unless somebody else goes on with it, who will say how it ended.
    pub(crate) fn finish(self) {
        if let Some(open) = self.open.and_then(Arc::into_inner) {
            let _ = open.end.set(End::Finished);
        }
    }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

impl Open {
    fn say(&self, said: Said) {
        self.log.written().say(Line { work: self.number, what: self.what, said });
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

impl Drop for Open {
    fn drop(&mut self) {
        // Dropped where it stood: it may be that it was asked to stop before.
        let asked = || self.token.cancellation();
        let heard = |heard: Cancelled| End::Stopped { heard_ms: millis(heard.at()), heard };
        let said = match self.end.take().or_else(|| asked().map(heard)) {
            Some(End::Stopped { heard, heard_ms }) => Said::Stopped {
                by: self.asked_by(heard.reason()),
                reason: heard.reason().as_str(),
                detail: heard.source().map(ToString::to_string),
                heard_ms,
                stopped_ms: millis(heard.at()),
            },
            Some(End::Failed { why }) => Said::Failed { why: why.into() },
            Some(End::Finished) => Said::Finished { took_ms: millis(self.begun) },
            None => Said::Failed { why: "it was dropped in the middle".into() },
        };
        self.say(said);
        self.log.written().end();
    }
}
