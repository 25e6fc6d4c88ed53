//! One work in the log.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use desist::{Cancelled, Reason, Registration, Token, find_cancelled};
use desist_host::BoxError;
use desist_http::Stopped;
use desist_ops::CancelRequest;

use super::line::{Line, Said};
use super::{Asker, Log};
use crate::mediator::and_behind_it;

/// A work in the log, from its begin until the last who has this lets go of it. By default
/// that of nobody, of which nothing is said.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    open: Option<Arc<Open>>,
}

struct Open {
    work: Known,
    token: Token,
    begun: Instant,
    /// What was said first of it.
    end: OnceLock<End>,
    /// Says that it was asked to stop.
    asked: Option<Registration>,
}

/// What is known of a work from its begin on.
#[derive(Clone)]
struct Known {
    log: Log,
    number: u64,
    what: &'static str,
    asker: Asker,
    /// Changes while the log is locked: what is said after the end is not said.
    has_ended: Arc<AtomicBool>,
}

enum End {
    /// `None`: it was dropped where it stood, and never looked.
    Stopped {
        why: Cancelled,
        heard_ms: Option<f64>,
    },
    Failed {
        why: String,
    },
    Finished,
}

impl Entry {
    pub(crate) fn begin(log: &Log, what: &'static str, asker: Asker, token: Token) -> Self {
        let mut written = log.written();
        let number = written.begin();
        let said = Said::Begun {
            whom: asker.whom.to_string(),
            mark: asker.mark,
            operation: asker.operation.clone(),
        };
        written.say(Line { work: number, what, said });
        drop(written);
        let work = Known { log: log.clone(), number, what, asker, has_ended: Arc::default() };
        let asks = work.clone();
        let asked = token.on_cancel(move |cancelled| {
            let (reason, detail) = why(cancelled);
            asks.say(Said::Asked { by: asks.asked_by(cancelled), reason, detail });
        });
        let (begun, end) = (Instant::now(), OnceLock::new());
        Self { open: Some(Arc::new(Open { work, token, begun, end, asked: Some(asked) })) }
    }

    pub(crate) fn progress(&self, done: u64, total: Option<u64>) {
        if let Some(open) = &self.open {
            open.work.say(Said::Progress { done, total });
        }
    }

    /// The stop has been seen; what the work still does is its cleanup. To be said by whoever
    /// has such, or outlives the handler; for others it is.
    pub(crate) fn heard(&self, cancelled: &Cancelled) {
        let heard_ms = Some(millis(cancelled.at()));
        self.ends(End::Stopped { why: cancelled.clone(), heard_ms });
    }

    pub(crate) fn fail(self, why: String) {
        self.ends(End::Failed { why });
    }

    fn ends(&self, end: End) {
        if let Some(open) = &self.open {
            let _ = open.end.set(end);
        }
    }

    /// It ends as this says; `which` stands before why it has failed.
    pub(crate) fn end<T>(self, done: &Result<T, BoxError>, which: &str) {
        match done {
            Ok(_) => self.finish(),
            Err(error) => match find_cancelled(&**error) {
                Some(cancelled) => self.heard(cancelled),
                None => self.fail(format!("{which}{}", and_behind_it(&**error))),
            },
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

fn why(cancelled: &Cancelled) -> (&'static str, Option<String>) {
    let detail = match request(cancelled) {
        // Who asked, and for which reason, is said already.
        Some(request) => request.told().map(ToOwned::to_owned),
        None => cancelled.source().map(ToString::to_string),
    };
    (cancelled.reason().as_str(), detail)
}

/// Of a request whose client is gone: there is nobody to read it, so it is for the log alone.
fn status(cancelled: &Cancelled) -> Option<u16> {
    let is_gone = cancelled.reason() == Reason::Disconnected;
    is_gone.then(|| Stopped::from(cancelled.clone()).status().as_u16())
}

fn request(cancelled: &Cancelled) -> Option<&CancelRequest> {
    cancelled.source()?.downcast_ref()
}

impl Known {
    fn say(&self, said: Said) {
        let mut written = self.log.written();
        // Ordering: both sides have the lock of the log.
        if !self.has_ended.load(Ordering::Relaxed) {
            written.say(Line { work: self.number, what: self.what, said });
        }
    }

    fn asked_by(&self, cancelled: &Cancelled) -> String {
        if let Some(by) = request(cancelled).and_then(CancelRequest::by) {
            return by.to_owned();
        }
        match cancelled.reason() {
            Reason::Disconnected => format!("the client {}", self.asker.whom),
            Reason::Shutdown => "the host".into(),
            Reason::Deadline => "the clock".into(),
            Reason::Superseded => "a newer one".into(),
            Reason::LeaseLost => "its lease".into(),
            _ => "the program".into(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Not a word of the asking after that of the end.
        drop(self.asked.take());
        // Dropped where it stood: it may be that it was asked to stop before.
        let asked = || self.token.cancellation();
        let dropped = |why| End::Stopped { why, heard_ms: None };
        let said = match self.end.take().or_else(|| asked().map(dropped)) {
            Some(End::Stopped { why: cancelled, heard_ms }) => {
                let (reason, detail) = why(&cancelled);
                let by = self.work.asked_by(&cancelled);
                let status = self.work.asker.is_client().then(|| status(&cancelled)).flatten();
                let stopped_ms = millis(cancelled.at());
                Said::Stopped { by, reason, detail, status, heard_ms, stopped_ms }
            }
            Some(End::Failed { why }) => Said::Failed { why },
            Some(End::Finished) => Said::Finished { took_ms: millis(self.begun) },
            None => Said::Failed { why: "it was dropped in the middle".into() },
        };
        let mut written = self.work.log.written();
        // Ordering: both sides have the lock of the log.
        self.work.has_ended.store(true, Ordering::Relaxed);
        written.say(Line { work: self.work.number, what: self.work.what, said });
        written.end(self.work.number);
    }
}
