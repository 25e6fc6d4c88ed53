//! What was heard, and is to be looked at: P1 of the protocol.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::lock::lock;
use crate::{CancelRequest, OperationId};

/// Hints of one process. They are kept as sets, so that a thousand of them about one operation
/// are one, and none is lost because there is no room.
#[derive(Debug, Default)]
pub struct Hints {
    /// Whether anybody looks at what is heard. Otherwise it would only be more and more.
    runs: Mutex<bool>,
    heard: Mutex<Heard>,
    /// Something is in `heard`.
    some: Notify,
    /// There may be work.
    work: Notify,
    /// Asked for, and about to be written.
    at_once: Mutex<Vec<(OperationId, CancelRequest)>>,
    some_at_once: Notify,
    watchers: Mutex<HashMap<OperationId, Watched>>,
    channel: Mutex<Channel>,
}

#[derive(Debug, Default)]
struct Heard {
    cancels: HashSet<OperationId>,
    /// Whatever it was, it may have been missed.
    everything: bool,
}

#[derive(Debug)]
struct Watched {
    changed: Arc<Notify>,
    watchers: usize,
}

/// Whether hints come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Push {
    /// There is none: changes are found by looking.
    Off,
    /// It is being made, for the first time or again.
    Connecting,
    /// It is there, and what this process calls to itself comes back.
    Works,
    /// It is there, and what this process calls to itself does not come back: as behind a
    /// pooler that gives each transaction another connection.
    Deaf,
}

impl Push {
    /// A name that never changes.
    ///
    /// ```
    /// assert_eq!(desist_ops::Push::Deaf.as_str(), "deaf");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::Works => "works",
            Self::Deaf => "deaf",
        }
    }
}

#[derive(Debug)]
struct Channel {
    push: Push,
    since: Instant,
    /// When it called itself, and has not heard that yet.
    called: Option<Instant>,
    round: Option<Duration>,
}

impl Default for Channel {
    fn default() -> Self {
        Self { push: Push::Off, since: Instant::now(), called: None, round: None }
    }
}

impl Hints {
    /// From now on somebody looks at what is heard, or nobody does. What was heard before is not
    /// theirs.
    pub(crate) fn runs(&self, runs: bool) {
        *lock(&self.runs) = runs;
        *lock(&self.heard) = Heard::default();
        lock(&self.at_once).clear();
    }

    /// That operation was asked to stop.
    pub(crate) fn cancel(&self, id: OperationId) {
        if !*lock(&self.runs) {
            return;
        }
        lock(&self.heard).cancels.insert(id);
        self.some.notify_one();
    }

    /// These are asked to stop, and it cannot be written before they end.
    pub(crate) fn at_once(&self, ids: &[OperationId], request: &CancelRequest) {
        if !*lock(&self.runs) {
            return;
        }
        lock(&self.at_once).extend(ids.iter().map(|id| (*id, request.clone())));
        self.some_at_once.notify_one();
    }

    /// Until some are.
    pub(crate) async fn until_at_once(&self) -> Vec<(OperationId, CancelRequest)> {
        loop {
            let asked = std::mem::take(&mut *lock(&self.at_once));
            if !asked.is_empty() {
                return asked;
            }
            self.some_at_once.notified().await;
        }
    }

    /// Hints may have been missed.
    pub(crate) fn everything(&self) {
        lock(&self.heard).everything = true;
        self.some.notify_one();
        self.work.notify_one();
        for watched in lock(&self.watchers).values() {
            watched.changed.notify_waiters();
        }
    }

    /// There is work.
    pub(crate) fn work(&self) {
        self.work.notify_one();
    }

    /// Until there may be work.
    pub(crate) async fn until_work(&self) {
        self.work.notified().await;
    }

    /// Whatever it is, look at this one.
    pub(crate) fn changed(&self, id: OperationId) {
        if let Some(watched) = lock(&self.watchers).get(&id) {
            watched.changed.notify_waiters();
        }
    }

    /// Until something was heard: about which operations, or `None` for all of them.
    pub(crate) async fn next(&self) -> Option<HashSet<OperationId>> {
        loop {
            {
                let mut heard = lock(&self.heard);
                if std::mem::take(&mut heard.everything) {
                    heard.cancels.clear();
                    return None;
                }
                if !heard.cancels.is_empty() {
                    return Some(std::mem::take(&mut heard.cancels));
                }
            }
            self.some.notified().await;
        }
    }

    /// To be woken whenever that operation changes, as far as it is heard here.
    pub(crate) fn watch(self: &Arc<Self>, id: OperationId) -> Watching {
        let mut watchers = lock(&self.watchers);
        let watched =
            watchers.entry(id).or_insert_with(|| Watched { changed: Arc::default(), watchers: 0 });
        watched.watchers += 1;
        Watching { id, changed: Arc::clone(&watched.changed), hints: Arc::clone(self) }
    }

    pub(crate) fn push(&self) -> (Push, Duration, Option<Duration>) {
        let channel = lock(&self.channel);
        (channel.push, channel.since.elapsed(), channel.round)
    }

    pub(crate) fn push_is(&self, push: Push) {
        let mut channel = lock(&self.channel);
        if channel.push != push {
            channel.push = push;
            channel.since = Instant::now();
        }
        if push == Push::Connecting {
            channel.called = None;
        }
    }

    /// It calls itself; whether the last call has come back.
    #[cfg(feature = "postgres")]
    pub(crate) fn calls_itself(&self) -> bool {
        let mut channel = lock(&self.channel);
        channel.called.replace(Instant::now()).is_none()
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn hears_itself(&self) {
        let mut channel = lock(&self.channel);
        channel.round = channel.called.take().map(|at| at.elapsed());
        drop(channel);
        self.push_is(Push::Works);
    }
}

/// Somebody waits for changes of an operation.
#[derive(Debug)]
pub(crate) struct Watching {
    id: OperationId,
    changed: Arc<Notify>,
    hints: Arc<Hints>,
}

impl Watching {
    /// Until it has changed, as far as it is heard here; from now on, not from the first poll.
    pub(crate) fn changed(&self) -> std::pin::Pin<Box<tokio::sync::futures::Notified<'_>>> {
        let mut changed = Box::pin(self.changed.notified());
        changed.as_mut().enable();
        changed
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watchers = lock(&self.hints.watchers);
        if let Some(watched) = watchers.get_mut(&self.id) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                watchers.remove(&self.id);
            }
        }
    }
}
