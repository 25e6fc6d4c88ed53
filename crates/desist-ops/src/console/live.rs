//! What there is to see, as it happens: server-sent events.
//!
//! | event | tells |
//! |---|---|
//! | `hello` | what this console is, and may do |
//! | `reset` | forget what you have, all of it follows |
//! | `rows` | operations, new or changed |
//! | `gone` | names of those that are not shown any more |
//! | `asked` | how long those took to stop that were asked to, and have ended |
//! | `process` | what this process does |
//! | `whole` | that was all of it, for now |
//! | `tick` | how many there are, what time it is, and whether the database answers |
//! | `bye` | why it ends, and whether to come again |
//!
//! The hook is asked about each operation that a reader is sent, each time, and with each look
//! whether the reader may still read at all; now and then about all rows that they have, and about
//! all that they have not. And a stream ends after some minutes, and is asked for anew, so that whatever
//! stands in front of it sees who asks.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State as Given};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use desist::Token;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::Served;
use super::board::Reader;
use super::row::{millis, rest, saturated, stopped};
use super::seen::{Is, More, One, Seen};
use crate::http::{Problem, Verb};
use crate::store::Store;
use crate::{OperationId, State};

/// A reader hears something at least so often, and takes what is shown for old after three of them.
const TICK: Duration = Duration::from_secs(2);
/// So often the state of the process is told at most.
const PROCESS: Duration = Duration::from_secs(1);
/// So many rows are told at once, and so many are asked about before others have their turn.
const ROWS: usize = 500;
/// What is older than this is not shown to who comes, before it was looked once more.
const YOUNG: Duration = Duration::from_secs(1);
/// So many bytes of rows, or little more, are told at once.
const BYTES: usize = 256 * 1024;
/// So often it is asked about all rows whether they may still be seen.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) async fn live<S: Store>(
    Given(served): Given<Arc<Served<S>>>,
    request: Request,
) -> Result<Response, Problem> {
    let (request, _) = request.into_parts();
    served.routes.may_without(Verb::List, &request)?;
    let Some(place) = served.routes.watchers.place() else {
        let says = "too many watch already; come again later, or close another page";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, says));
    };
    let now = Instant::now();
    let live = Live {
        draining: served.routes.draining(&request),
        reader: served.board.reader(),
        ready: VecDeque::from([hello(&served)]),
        served,
        request,
        sent: HashMap::new(),
        sees_all: true,
        has_found_parents: false,
        turn: None,
        ticked: None,
        told: Value::Null,
        process: None,
        has_process: false,
        began: now,
        asked: now,
        is_over: false,
        _place: place,
    };
    let plain =
        [(header::CACHE_CONTROL, "no-store"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((plain, Sse::new(stream::unfold(live, Live::next))).into_response())
}

fn event(name: &str, data: impl AsRef<str>) -> Event {
    Event::default().event(name).data(data)
}

fn hello<S: Store>(served: &Served<S>) -> Event {
    let operations = &served.routes.operations;
    let most = served.board.most;
    let reasons = crate::cancel::REASONS.map(desist::Reason::as_str);
    let hello = json!({
        "label": operations.shared().settings.label,
        "changes": served.routes.reads_only.is_none(),
        "kinds": operations.kinds().collect::<Vec<_>>(),
        "reasons": reasons,
        "most": { "running": most.running, "waiting": most.waiting },
    });
    event("hello", hello.to_string())
}

struct Live<S: Store> {
    served: Arc<Served<S>>,
    reader: Reader<S>,
    request: Parts,
    draining: Token,
    /// To be sent, the next one first.
    ready: VecDeque<Event>,
    /// What the reader has.
    sent: HashMap<OperationId, Sent>,
    /// There was none that they may not see.
    sees_all: bool,
    /// There came the parent of one that they have without it.
    has_found_parents: bool,
    /// The last look of which they have everything.
    turn: Option<u64>,
    ticked: Option<Instant>,
    /// The last tick, without its time.
    told: Value,
    process: Option<Instant>,
    has_process: bool,
    began: Instant,
    /// When it was asked about all of it.
    asked: Instant,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

/// What a reader has of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    state: State,
    /// The one that it is below, and whether they have that as well.
    above: Option<OperationId>,
    has_parent: bool,
    may_cancel: bool,
}

/// What is new since a look.
pub(super) struct News {
    pub(super) is_whole: bool,
    pub(super) turn: u64,
    pub(super) rows: Vec<One>,
    pub(super) gone: Vec<OperationId>,
    pub(super) stopped: Vec<One>,
}

impl News {
    pub(super) fn since(turn: Option<u64>, seen: &Seen) -> Self {
        let known = turn.filter(|turn| *turn >= seen.forgotten);
        let is_new = |turn: u64| known.is_none_or(|known| turn > known);
        let mut news = Self {
            is_whole: known.is_none(),
            turn: seen.turn,
            rows: Vec::new(),
            gone: Vec::new(),
            stopped: Vec::new(),
        };
        for (id, row) in seen.rows.iter().filter(|(_, row)| is_new(row.turn)) {
            match &row.is {
                Is::Shown(one) => news.rows.push(one.clone()),
                Is::Gone(_) => news.gone.push(*id),
            }
        }
        let stopped = seen.stopped.values().filter(|stopped| is_new(stopped.turn));
        news.stopped.extend(stopped.map(|stopped| stopped.one.clone()));
        news.rows.sort_unstable_by_key(|one| one.operation.sequence);
        news
    }
}

type Next<S> = Option<(Result<Event, Infallible>, Live<S>)>;

impl<S: Store> Live<S> {
    async fn next(mut self) -> Next<S> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.is_over {
                return None;
            }
            let end = self.ticked.unwrap_or_else(Instant::now) + TICK;
            let draining = self.draining.clone();
            // Whoever comes to others has what they have at once.
            let is_ready = self.turn.is_none() && {
                let good = self.reader.board.seen().last_good();
                good.is_some_and(|(_, old)| old < YOUNG)
            };
            if !is_ready && draining.run(self.reader.look_or(end)).await.is_err() {
                self.ends(json!({ "why": "the server stops", "again": true }));
                continue;
            }
            if let Err(problem) = self.served.routes.may_without(Verb::List, &self.request) {
                self.ends(json!({ "why": problem.detail(), "again": false }));
                continue;
            }
            if self.began.elapsed() >= self.served.renews {
                let why = "it is time to ask who you are once more";
                self.ends(json!({ "why": why, "again": true, "at_once": true }));
                continue;
            }
            self.tells().await;
        }
    }

    fn ends(&mut self, why: Value) {
        self.ready.push_back(event("bye", why.to_string()));
        self.is_over = true;
    }

    /// What is new, and what time it is.
    async fn tells(&mut self) {
        let (news, good, now, more, down_since) = {
            let seen = self.reader.board.seen();
            let news = seen.is_good().then(|| News::since(self.turn, &seen));
            (news, seen.last_good(), seen.now(), seen.more, seen.down_since)
        };
        let is_whole = news.as_ref().is_some_and(|news| news.is_whole);
        if is_whole {
            self.sent.clear();
            self.sees_all = true;
            self.ready.push_back(event("reset", json!({ "now": millis(now) }).to_string()));
        }
        if let Some(news) = news {
            self.news(news).await;
        }
        if self.asked.elapsed() >= AGAIN || self.has_found_parents {
            self.once_more().await;
        }
        self.process();
        if is_whole {
            self.ready.push_back(event("whole", "{}"));
        }
        let mut tick = self.tick(more);
        let down = "the database does not answer as it should, and the log of the service says more; \
                    what is shown is from before";
        tick["down_since"] = json!(down_since.map(millis));
        tick["down"] = json!(down_since.map(|_| down));
        if tick == self.told && self.ticked.is_some_and(|last| last.elapsed() < TICK) {
            return;
        }
        self.told = tick.clone();
        self.ticked = Some(Instant::now());
        tick["now"] = millis(now);
        tick["old_ms"] = json!(good.map(|(_, old)| saturated(old.as_millis())));
        self.ready.push_back(event("tick", tick.to_string()));
    }

    /// How many there are, of those that the reader has. That there are more is for who sees all.
    fn tick(&self, more: More) -> Value {
        let count = |state| self.sent.values().filter(|sent| sent.state == state).count();
        json!({
            "running": count(State::Running),
            "waiting": count(State::Waiting),
            "running_more": self.sees_all && more.running,
            "waiting_more": self.sees_all && more.waiting,
            "stopping_more": self.sees_all && more.stopping,
        })
    }

    async fn news(&mut self, news: News) {
        let mut gone = news.gone;
        gone.retain(|id| self.sent.remove(id).is_some());
        self.shows(news.rows, gone, true).await;
        let may_see = |one: &&One| self.served.routes.may_see(&self.request, &one.operation);
        let asked = news.stopped.iter().filter(may_see).filter_map(|one| stopped(&one.operation));
        let asked: Vec<_> = asked.collect();
        if !asked.is_empty() {
            self.ready.push_back(event("asked", format!("[{}]", asked.join(","))));
        }
        self.turn = Some(news.turn);
    }

    /// Rights change, and rows may not.
    async fn once_more(&mut self) {
        let mut rows: Vec<_> = self.reader.board.seen().all_shown().cloned().collect();
        rows.sort_unstable_by_key(|one| one.operation.sequence);
        self.sees_all = true;
        self.shows(rows, Vec::new(), false).await;
        self.asked = Instant::now();
        self.has_found_parents = false;
    }

    /// Tells of those that have changed, or that the reader may see now and might not before, or the
    /// other way round; parents first.
    async fn shows(&mut self, all: Vec<One>, mut gone: Vec<OperationId>, have_changed: bool) {
        let mut rows = Vec::new();
        let orphans = self.sent.values().filter(|sent| !sent.has_parent);
        let sought: HashSet<_> = orphans.filter_map(|sent| sent.above).collect();
        for (number, One { operation, text }) in all.into_iter().enumerate() {
            if number % ROWS == ROWS - 1 {
                tokio::task::yield_now().await;
            }
            let (routes, id) = (&self.served.routes, operation.id);
            if !routes.may_see(&self.request, &operation) {
                self.sees_all = false;
                gone.extend(self.sent.remove(&id).map(|_| id));
                continue;
            }
            let sent = Sent {
                state: operation.state,
                above: operation.parent,
                has_parent: operation.parent.is_some_and(|id| self.sent.contains_key(&id)),
                may_cancel: routes.could_stop(&self.request, &operation),
            };
            let before = self.sent.insert(id, sent);
            self.has_found_parents |= before.is_none() && sought.contains(&id);
            if before != Some(sent) || have_changed {
                // What they may not see has no name for them.
                let parent = sent.above.filter(|_| sent.has_parent);
                rows.push(format!("{text}{}", rest(parent, sent.may_cancel)));
            }
        }
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next_if(|_| some.len() < ROWS && bytes < BYTES) {
                bytes += row.len();
                some.push(row);
            }
            self.ready.push_back(event("rows", format!("[{}]", some.join(","))));
        }
        if !gone.is_empty() {
            let gone: Vec<_> = gone.iter().map(ToString::to_string).collect();
            self.ready.push_back(event("gone", json!(gone).to_string()));
        }
    }

    fn process(&mut self) {
        if self.process.is_some_and(|last| last.elapsed() < PROCESS) {
            return;
        }
        self.process = Some(Instant::now());
        if self.served.routes.may_without(Verb::Process, &self.request).is_ok() {
            let process = self.served.process.json(&self.served.routes.operations);
            self.ready.push_back(event("process", process.to_string()));
            self.has_process = true;
        } else if std::mem::take(&mut self.has_process) {
            self.ready.push_back(event("process", "null"));
        }
    }
}
