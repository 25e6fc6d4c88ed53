//! What there is to see, kept for all who look.
//!
//! While somebody looks, the database is asked twice a second, or less often where that takes long:
//! which operations run, wait, or were stopped of late, each with its version; and then for those
//! whose version is another one than before, whole. So nothing depends on being told, on a clock, or
//! on the order in which others commit. While nobody looks, nothing is asked.
//!
//! Each change has the number of the look that found it. Who has seen everything up to a number is
//! given what has a higher one; and who has slept for so long that what is gone has been forgotten
//! begins anew.
//!
//! A look is a task of its own, and one at a time: it goes on when the reader who wanted it has gone,
//! and a database that does not answer keeps nobody from being told so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout_at;

use super::seen::{Found, More, One, Seen};
use crate::lock::lock;
use crate::protocol::{Open, Opened, Shown};
use crate::store::Store;
use crate::{Error, OperationId, Operations};

/// Beside those that are.
const STOPPING: u32 = 2000;
const STOPPED: u32 = 1000;
/// So many are read at once.
const AT_ONCE: usize = 1000;
/// So many levels of a tree are climbed in one look; the next one goes on from there.
const LEVELS: usize = 100;
/// So often it is looked at most; and to find what has changed may take a twentieth of the time, all
/// of a look a fifth, as long as what is called live is not older than that.
const LOOK: Duration = Duration::from_millis(500);
const FINDS: u32 = 20;
const READS: u32 = 4;
const LONGEST: Duration = Duration::from_secs(4);
/// So long it is kept for readers that come back.
const RETURNS: Duration = Duration::from_secs(5);

/// So many are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub(super) running: u32,
    pub(super) waiting: u32,
}

pub(super) struct Board<S> {
    operations: Operations<S>,
    pub(super) most: Most,
    seen: Mutex<Seen>,
    /// The number of the last look, good or bad.
    looks: watch::Sender<u64>,
}

impl<S: Store> Board<S> {
    pub(super) fn new(operations: Operations<S>, most: Most) -> Arc<Self> {
        Arc::new(Self { operations, most, seen: Mutex::default(), looks: watch::Sender::new(0) })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Somebody reads, until that is dropped.
    pub(super) fn reader(self: &Arc<Self>) -> Reader<S> {
        self.seen().readers += 1;
        Reader { board: Arc::clone(self), looks: self.looks.subscribe() }
    }

    /// Sees to it that it is looked, now or at that time: `None`, it is being looked.
    fn wants_a_look(self: &Arc<Self>) -> Option<Instant> {
        let mut seen = self.seen();
        if seen.is_looking {
            return None;
        }
        if let Some(next) = seen.next.filter(|next| *next > Instant::now()) {
            return Some(next);
        }
        seen.is_looking = true;
        drop(seen);
        let looking =
            Looking { board: Arc::clone(self), began: Instant::now(), found: Duration::ZERO };
        tokio::spawn(looking.look());
        None
    }
}

/// Somebody who reads.
pub(super) struct Reader<S: Store> {
    pub(super) board: Arc<Board<S>>,
    looks: watch::Receiver<u64>,
}

impl<S: Store> Reader<S> {
    /// Until somebody has looked, or this is over.
    pub(super) async fn look_or(&mut self, end: Instant) {
        loop {
            let next = self.board.wants_a_look();
            let until = next.map_or(end, |next| next.min(end));
            if timeout_at(until.into(), self.looks.changed()).await.is_ok() || until == end {
                return;
            }
        }
    }
}

impl<S: Store> Drop for Reader<S> {
    fn drop(&mut self) {
        let mut seen = self.board.seen();
        seen.readers -= 1;
        if seen.readers > 0 {
            return;
        }
        seen.leaves += 1;
        // Who only renews a stream comes back at once, and is to see how things went.
        let (leaves, board) = (seen.leaves, Arc::clone(&self.board));
        let Ok(runtime) = Handle::try_current() else { return seen.ends() };
        runtime.spawn(async move {
            tokio::time::sleep(RETURNS).await;
            let mut seen = board.seen();
            if seen.readers == 0 && seen.leaves == leaves {
                seen.ends();
            }
        });
    }
}

/// A look, until it is dropped: also one that panics is over.
struct Looking<S: Store> {
    board: Arc<Board<S>>,
    began: Instant,
    /// How long it took to find what has changed.
    found: Duration,
}

impl<S: Store> Drop for Looking<S> {
    fn drop(&mut self) {
        let mut seen = self.board.seen();
        seen.is_looking = false;
        let pause = (self.found * FINDS).max(self.began.elapsed() * READS).clamp(LOOK, LONGEST);
        seen.next = Some(Instant::now() + pause);
        drop(seen);
        self.board.looks.send_modify(|looks| *looks += 1);
    }
}

impl<S: Store> Looking<S> {
    async fn look(mut self) {
        let looked = self.read().await;
        let mut seen = self.board.seen();
        match looked {
            Ok(found) => {
                seen.down_since = None;
                seen.takes(found, Instant::now());
            }
            Err(error) => {
                let last = seen.last_good().map_or_else(SystemTime::now, |(clock, _)| clock);
                seen.down_since.get_or_insert(last);
                drop(seen);
                crate::measure::trouble("look for a console", &error);
            }
        }
    }

    async fn read(&mut self) -> Result<Found, Error> {
        let Most { running, waiting } = self.board.most;
        let limits = Open {
            running: running.saturating_add(1),
            waiting: waiting.saturating_add(1),
            stopping: STOPPING + 1,
            stopped: STOPPED,
        };
        let mut open = self.board.operations.asks(limits).await?;
        self.found = self.began.elapsed();
        let running_more = cut(&mut open.running, running);
        let waiting_more = cut(&mut open.waiting, waiting);
        let stopping_more = Self::stopping(&mut open);
        let (epoch, wanted) = {
            let seen = self.board.seen();
            (seen.epoch, seen.wanted(&open))
        };
        let more = More { running: running_more, waiting: waiting_more, stopping: stopping_more };
        let at = Some(self.began);
        let mut found = Found { epoch, at, open, more, ..Found::default() };
        self.whole(&mut found, wanted).await?;
        // What is above those that are shown, so that the tree is whole.
        for _ in 0..LEVELS {
            let above = self.board.seen().above(&found);
            if above.is_empty() {
                break;
            }
            self.whole(&mut found, above).await?;
        }
        Ok(found)
    }

    /// What does not stop is among those that run, however many these are.
    fn stopping(open: &mut Opened) -> bool {
        let known: HashSet<_> = open.running.iter().map(|(id, _)| *id).collect();
        let [mut late, mut asked] = std::mem::take(&mut open.stopping);
        let more = [cut(&mut late, STOPPING), cut(&mut asked, STOPPING)];
        let stopping: HashMap<_, _> = late.into_iter().chain(asked).collect();
        open.running.extend(stopping.into_iter().filter(|(id, _)| !known.contains(id)));
        more.contains(&true)
    }

    async fn whole(&self, found: &mut Found, ids: Vec<OperationId>) -> Result<(), Error> {
        for ids in ids.chunks(AT_ONCE) {
            found.asked.extend(ids);
            let shown = Shown { ids: ids.to_vec() };
            for operation in self.board.operations.asks(shown).await? {
                found.read.insert(operation.id, One::new(operation));
            }
        }
        Ok(())
    }
}

fn cut(all: &mut Vec<(OperationId, i64)>, most: u32) -> bool {
    let most = most as usize;
    let more = all.len() > most;
    all.truncate(most);
    more
}
