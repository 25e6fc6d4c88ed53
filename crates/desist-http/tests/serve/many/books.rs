//! What each request has to do, and how it ended, as the server has it.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::post;
use bytes::Bytes;
use desist::Reason;
use desist_http::{RequestToken, Stopped};
use tokio::sync::{Notify, Semaphore};

pub(crate) const REQUESTS: usize = 10_000;
const SLOTS: usize = 64;

/// Of the abandoned ones, those whose handler waits for its token and nothing else.
const ENDLESS: usize = REQUESTS / 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    /// So long after it has sent its request, or a part of it.
    Sent(Duration),
    /// So long after its handler began.
    Begun(Duration),
    /// So long after its handler ended.
    Ended(Duration),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// `None`: it waits for its token.
    work: Option<Duration>,
    /// `None`: it waits for its answer.
    pub(crate) goes: Option<Goes>,
    pub(crate) size: usize,
    /// So much of its body is sent.
    pub(crate) sent: usize,
    /// Without a word of goodbye.
    pub(crate) resets: bool,
}

/// Same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Of milliseconds.
    fn time_below(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1_000))
    }
}

impl Plan {
    pub(crate) fn is_endless(id: usize) -> bool {
        id % 10 == 1
    }

    pub(crate) fn of(id: usize) -> Self {
        let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (id as u64 + 1) << 17);
        random.below(2);
        let size = random.below(200) as usize + 1;
        let (work, goes) = if id % 2 == 0 {
            (Some(random.time_below(3)), None)
        } else if Self::is_endless(id) {
            (None, Some(Goes::Begun(random.time_below(20))))
        } else {
            let (work, goes) = match random.below(4) {
                0 | 1 => (random.time_below(40), Goes::Sent(random.time_below(60))),
                2 => (Duration::from_secs(1), Goes::Begun(random.time_below(40))),
                _ => (random.time_below(3), Goes::Ended(random.time_below(3))),
            };
            (Some(work), Some(goes))
        };
        let in_parts = matches!(goes, Some(Goes::Sent(_))) && random.below(8) == 0;
        let sent = if in_parts { random.below(size as u64) as usize } else { size };
        Self { work, goes, size, sent, resets: random.below(2) == 0 }
    }
}

/// The answer to it; some are too long for one piece.
pub(crate) fn answer(id: usize) -> String {
    let times = if id % 97 == 0 { 20_000 } else { id % 300 + 1 };
    format!("{id} ").repeat(times)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Ended {
    NeverBegun,
    Runs,
    Answered,
    Told,
    Dropped,
}

#[derive(Default)]
struct Entry {
    ended: AtomicU8,
    has_begun: Notify,
    has_ended: Notify,
}

pub(crate) struct Books {
    entries: Vec<Entry>,
    slots: Semaphore,
    live: AtomicUsize,
    /// Of those who wait for their answer.
    tokens: Mutex<Vec<RequestToken>>,
    wrong: Mutex<Vec<String>>,
}

/// A handler, until its end.
struct Live<'a> {
    books: &'a Books,
    id: usize,
    ended: Ended,
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.books.turns(self.id, Ended::Runs, self.ended);
        self.books.live.fetch_sub(1, SeqCst);
        self.books.entries[self.id].has_ended.notify_one();
    }
}

impl Books {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: (0..REQUESTS).map(|_| Entry::default()).collect(),
            slots: Semaphore::new(SLOTS),
            live: AtomicUsize::new(0),
            tokens: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    pub(crate) fn app(self: &Arc<Self>) -> Router {
        Router::new().route("/{id}", post(work)).with_state(Arc::clone(self))
    }

    fn is_wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    fn turns(&self, id: usize, from: Ended, to: Ended) {
        let entry = &self.entries[id].ended;
        if entry.compare_exchange(from as u8, to as u8, SeqCst, SeqCst).is_err() {
            self.is_wrong(format!("{id} was not {from:?} before it was {to:?}"));
        }
    }

    fn begin(&self, id: usize) -> Live<'_> {
        self.turns(id, Ended::NeverBegun, Ended::Runs);
        self.live.fetch_add(1, SeqCst);
        self.entries[id].has_begun.notify_one();
        Live { books: self, id, ended: Ended::Dropped }
    }

    /// The moment at which a client goes that has sent what it sends.
    pub(crate) async fn moment(&self, id: usize, goes: Goes) {
        let later = match goes {
            Goes::Sent(later) => later,
            Goes::Begun(later) => {
                self.entries[id].has_begun.notified().await;
                later
            }
            Goes::Ended(later) => {
                self.entries[id].has_ended.notified().await;
                later
            }
        };
        tokio::time::sleep(later).await;
    }

    pub(crate) async fn has_begun(&self, id: usize) {
        self.entries[id].has_begun.notified().await;
    }

    fn ended(&self, id: usize) -> Ended {
        let ended = self.entries[id].ended.load(SeqCst);
        [Ended::NeverBegun, Ended::Runs, Ended::Answered, Ended::Told, Ended::Dropped]
            [usize::from(ended)]
    }

    /// Every request has ended as it had to, and what they held is back.
    pub(crate) fn assert_balanced(&self) {
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} are wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(9)]);
        assert_eq!(self.live.load(SeqCst), 0);
        assert_eq!(self.slots.available_permits(), SLOTS);
        let (mut answered, mut endless, mut before, mut after, mut unseen) = (0, 0, 0, 0, 0);
        for id in 0..REQUESTS {
            match (Plan::of(id).goes, self.ended(id)) {
                (None, Ended::Answered) => answered += 1,
                (Some(_), Ended::Told) if Plan::is_endless(id) => endless += 1,
                (Some(Goes::Sent(_) | Goes::Begun(_)), Ended::Told) => before += 1,
                (Some(_), Ended::Answered) => after += 1,
                // Its client went before there was a handler.
                (Some(Goes::Sent(_)), Ended::NeverBegun) => unseen += 1,
                (goes, ended) => panic!("{id}, {goes:?}, has ended as {ended:?}"),
            }
        }
        assert_eq!((answered, endless), (REQUESTS / 2, ENDLESS));
        // Nobody is told of a connection that went after its answer.
        let tokens = self.tokens.lock().unwrap();
        assert_eq!(tokens.iter().filter(|token| !token.is_cancelled()).count(), REQUESTS / 2);
        let abandoned = REQUESTS / 2 - ENDLESS;
        assert_eq!(before + after + unseen, abandoned);
        assert!(
            before >= abandoned / 5 && after >= abandoned / 5,
            "all on one side: {before} before the end, {after} after it, {unseen} never begun"
        );
    }
}

async fn work(
    State(books): State<Arc<Books>>,
    Path(id): Path<usize>,
    token: RequestToken,
    body: Bytes,
) -> Result<String, Stopped> {
    let mut live = books.begin(id);
    let plan = Plan::of(id);
    if plan.goes.is_none() {
        books.tokens.lock().unwrap().push(token.clone());
    }
    if body != vec![b'x'; plan.size] {
        books.is_wrong(format!("{id} has another body, of {} bytes", body.len()));
    }
    let worked = async {
        let _slot = token.run(books.slots.acquire()).await?.expect("they are open");
        match plan.work {
            Some(work) => desist_tokio::sleep(work, &token).await,
            None => Err(token.cancelled().await),
        }
    };
    let worked = worked.await;
    live.ended = if worked.is_ok() { Ended::Answered } else { Ended::Told };
    if let Err(why) = worked {
        if plan.goes.is_none() || why.reason() != Reason::Disconnected {
            books.is_wrong(format!("{id} was told {why}"));
        }
        return Err(why.into());
    }
    Ok(answer(id))
}
