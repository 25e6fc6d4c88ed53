//! One loop that has every message in hand, from its delivery until the broker knows what
//! became of it.
//!
//! # A message
//!
//! ```text
//!            ┌─ known place ─▶ the hand there is has the newer delivery
//! delivered ─┤
//!            ├─ too often ─────────────────────────────────┐
//!            │                                             ▼
//!            └─ working ──▶ ended, and its fate decided ─▶ settling ─▶ out of hand
//!                 │ ▲                                        │ ▲
//!                 └─┘ kept alive, three times               └─┘ said again, until the
//!                     within the broker's patience               broker knows
//! ```
//!
//! # The consumer
//!
//! pulling ─▶ draining ─▶ asked ─▶ dropped ─▶ over. It drains when its stop says so, or when
//! what it pulls from is gone; the work is asked to stop when that took `drain_for`, or when
//! its stop says so; it is dropped a `grace` after that, and has then `AFTER_DROP`. Only one
//! way: no step is taken back.
//!
//! # What holds
//!
//! 1. A message in hand is in `hands`, under its place, exactly once, and leaves it only when
//!    its fate is settled, given up, or left. So a second delivery of it starts nothing.
//! 2. `done` is said only for work that returned success (or was known to be): of a fate that
//!    [`fate::of`](crate::fate) decided from an end that was joined. A dropped task has none.
//! 3. The messages in hand and those wanted are together at most `concurrency`. One that comes
//!    although it is not wanted is given back.
//! 4. Work that may still run is never given back: the broker is told only after its task was
//!    joined. What cannot be joined is left to the broker's patience, and named.
//! 5. Once it drains the loop ends within `drain_for` + `grace` + `AFTER_DROP`, whatever the
//!    broker and the work do.
//! 6. Nothing is given back before the subscription is closed, when it is to be: it would come
//!    again at once, to the consumer that does not want it, and be counted.
//! 7. Everything that is awaited in the loop may be dropped half-way without losing a
//!    message: what must not be is a task in `works` or in `errands`.

mod errand;
mod hand;
mod settings;
mod time;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use desist_tokio::{Stop, StopSource};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use self::errand::{Errand, Errands};
use self::hand::Hand;
pub(crate) use self::settings::Settings;
use self::time::Stages;
use crate::broker::{Broker, Delivery, Subscription};
use crate::fate::{self, End, Fate, Why};
use crate::ledger::AnyLedger;
use crate::report::Left;
use crate::{Backoff, BoxError, Error, Message, MessageId, News, Report};

/// What is dropped may take this long to be gone.
const AFTER_DROP: Duration = Duration::from_secs(1);

/// Why it was not told.
const OVER: &str = "the time of the stop was over";

type Delivered<B> = <<B as Broker>::Subscription as Subscription>::Delivery;

/// Until `stop` says so.
pub(crate) async fn run<B, W, F>(
    broker: Arc<B>,
    settings: Settings,
    stop: Stop,
    work: Arc<W>,
) -> Result<Report, Error>
where
    B: Broker,
    W: Fn(Stop, Message) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let settings = &settings;
    let Some(subscription) = subscribe(&*broker, settings, &stop).await? else {
        return Ok(Report::default());
    };
    let mut keeper = Keeper::<Delivered<B>, W> {
        settings,
        work,
        works: JoinSet::new(),
        tasks: HashMap::new(),
        errands: Errands::default(),
        hands: HashMap::new(),
        wanted: 0,
        held: None,
        asks: stop.child(),
        stages: Stages::default(),
        look_at: None,
        drops: false,
        report: Report::default(),
    };
    match keeper.run(subscription, &stop).await {
        None => Ok(keeper.report),
        Some(gone) => Err(gone.with_report(keeper.report)),
    }
}

/// Asks until it has one; `None` if it is to stop before.
async fn subscribe<B: Broker>(
    broker: &B,
    settings: &Settings,
    stop: &Stop,
) -> Result<Option<B::Subscription>, Error> {
    let mut trouble = Trouble::default();
    loop {
        match stop.draining().run(broker.subscribe()).await {
            Err(_) => return Ok(None),
            Ok(Ok(subscription)) => {
                trouble.is_over(settings);
                return Ok(Some(subscription));
            }
            Ok(Err(error)) if error.is_passing() => {
                let until = trouble.tell(error, settings);
                if stop.draining().run(tokio::time::sleep_until(until)).await.is_err() {
                    return Ok(None);
                }
            }
            Ok(Err(error)) => return Err(error),
        }
    }
}

/// How often in a row the broker did not do what it was asked for.
#[derive(Default)]
struct Trouble {
    times: u64,
}

impl Trouble {
    const PAUSES: Backoff =
        Backoff::new(Duration::from_millis(200)).longest(Duration::from_secs(10));

    /// When to ask again.
    fn tell(&mut self, error: Error, settings: &Settings) -> Instant {
        self.times += 1;
        let after = Self::PAUSES.after(self.times);
        settings.tell(&News::Trouble { error, after });
        Instant::now() + after
    }

    fn is_over(&mut self, settings: &Settings) {
        if std::mem::take(&mut self.times) > 0 {
            settings.tell(&News::Recovered);
        }
    }
}

struct Keeper<'a, D, W> {
    settings: &'a Settings,
    work: Arc<W>,
    works: JoinSet<End>,
    /// Whose work each is.
    tasks: HashMap<Id, MessageId>,
    errands: Errands<D>,
    hands: HashMap<MessageId, Hand<D>>,
    /// Asked for, and not come.
    wanted: usize,
    /// Whose fate waits until the subscription is closed, while it is being closed.
    held: Option<Vec<(MessageId, Fate)>>,
    /// Above the stop of each work.
    asks: StopSource,
    stages: Stages,
    /// None of those in hand needs a look before: with many, one at each turn is too much.
    look_at: Option<Instant>,
    /// All that was in hand when the grace was over is dropped.
    drops: bool,
    report: Report,
}

impl<D, W, F> Keeper<'_, D, W>
where
    D: Delivery,
    W: Fn(Stop, Message) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    /// The error because of which it had to end, if nobody asked it to.
    async fn run<S>(&mut self, subscription: S, stop: &Stop) -> Option<Error>
    where
        S: Subscription<Delivery = D>,
    {
        let mut subscription = Some(subscription);
        let mut trouble = Trouble::default();
        // The broker is left alone until then.
        let mut pause = None::<Instant>;
        let mut gone = None;
        loop {
            let now = Instant::now();
            pause = pause.filter(|until| *until > now);
            self.move_on(now, stop);
            if !self.stages.drains() {
                let room = self.settings.concurrency.saturating_sub(self.hands.len() + self.wanted);
                if let (Some(subscription), 1..) = (&mut subscription, room) {
                    self.wanted += room;
                    subscription.want(room);
                }
            } else {
                if let Some(subscription) = subscription.take() {
                    self.held = Some(Vec::new());
                    self.errands.close(subscription);
                }
                if self.hands.is_empty() && self.errands.is_empty() {
                    return gone;
                }
                if self.stages.is_over(now) {
                    self.leave(now);
                    return gone;
                }
            }
            let wake = self.look_at.into_iter().chain(self.stages.next(now)).chain(pause).min();
            let pulls = subscription.as_mut().filter(|_| pause.is_none());
            tokio::select! {
                biased;
                _ = stop.token().cancelled(), if !self.stages.is_asked() => {
                    self.stages.ask(self.settings);
                }
                _ = stop.draining().cancelled(), if !self.stages.drains() => {
                    self.stages.drain(self.settings);
                }
                Some(ended) = self.works.join_next_with_id() => self.ended(ended),
                Some(errand) = self.errands.next() => self.returned(errand),
                delivered = next_of(pulls) => match delivered {
                    Ok(delivery) => {
                        trouble.is_over(self.settings);
                        self.wanted = self.wanted.saturating_sub(1);
                        self.delivered(Arc::new(delivery));
                    }
                    Err(error) if error.is_passing() => {
                        pause = Some(trouble.tell(error, self.settings));
                    }
                    Err(error) => {
                        gone = Some(error);
                        subscription = None;
                        self.asks.drain_with("what the messages came from is gone");
                        self.stages.drain(self.settings);
                    }
                },
                () = sleep_until(wake) => {}
            }
        }
    }

    /// One has come.
    fn delivered(&mut self, delivery: Arc<D>) {
        self.report.delivered += 1;
        if let Some(hand) = self.hands.get_mut(delivery.message().place()) {
            self.report.again += 1;
            hand.renew(delivery);
        } else {
            self.take_or_leave(delivery);
        }
    }

    fn take_or_leave(&mut self, delivery: Arc<D>) {
        if self.stages.drains() || self.hands.len() >= self.settings.concurrency {
            self.errands.give_back(delivery);
        } else {
            self.take(delivery);
        }
    }

    /// From now on it is in hand.
    fn take(&mut self, delivery: Arc<D>) {
        let Settings { work_timeout, grace, max_deliveries, .. } = *self.settings;
        let source = self.asks.stop().child();
        let mut hand = Hand::new(delivery, source, work_timeout, grace);
        let message = hand.message().clone();
        let place = message.place().clone();
        match fate::untried(message.deliveries(), max_deliveries) {
            Some(fate) => self.settle(&mut hand, fate),
            None => {
                let (work, stop) = (Arc::clone(&self.work), hand.stop());
                let ledger = self.settings.ledger.clone();
                // Within the task, for a part of it runs before its first await.
                let task = self.works.spawn(async move {
                    let id = message.id().clone();
                    let ended = known(ledger, &id, || work(stop, message)).await;
                    ended.unwrap_or_else(|error| End::Failed(error.into()))
                });
                self.tasks.insert(task.id(), place.clone());
                hand.works(task);
            }
        }
        self.look_at = self.look_at.into_iter().chain(hand.next()).min();
        self.hands.insert(place, hand);
    }

    /// The work on one has ended, in whatever way.
    fn ended(&mut self, ended: Result<(Id, End), JoinError>) {
        let (task, end) = match ended {
            Ok((task, end)) => (task, end),
            Err(error) => (error.id(), hand::end_of(error)),
        };
        let Some(place) = self.tasks.remove(&task) else { return };
        let Some(mut hand) = self.hands.remove(&place) else { return };
        let Settings { max_deliveries, backoff, .. } = self.settings;
        // Asked of the signal itself: the loop may not have come to hear of it.
        let asked = self.asks.stop();
        let heeds = asked.draining().is_cancelled() && end.is_cancelled() && !hand.is_late();
        let stops = asked.token().is_cancelled() || heeds;
        let fate = fate::of(&end, stops, hand.message().deliveries(), *max_deliveries, backoff);
        self.settle(&mut hand, fate);
        self.hands.insert(place, hand);
    }

    /// Says to the broker what becomes of it, until it knows.
    fn settle(&mut self, hand: &mut Hand<D>, fate: Fate) {
        let message = hand.message();
        let (id, deliveries) = (message.id().clone(), message.deliveries());
        match &fate {
            Fate::GiveBack { after, why: Why::Failed(why) } => {
                let (why, after) = (why.clone(), *after);
                self.settings.tell(&News::Failed { id, deliveries, why, after });
            }
            Fate::Done
            | Fate::Known
            | Fate::Aside { .. }
            | Fate::GiveBack { why: Why::Stops, .. } => {}
        }
        let place = message.place().clone();
        hand.settles(!matches!(fate, Fate::GiveBack { .. }));
        match &mut self.held {
            Some(held) if matches!(fate, Fate::GiveBack { .. }) => held.push((place, fate)),
            _ => self.errands.settle(hand, fate, self.settings),
        }
    }

    /// Something that was said to the broker is over.
    fn returned(&mut self, errand: Errand<D>) {
        let report = &mut self.report;
        match errand {
            Errand::Settled { place, fate, told, result } => {
                let Some(hand) = self.hands.remove(&place) else { return };
                let id = hand.message().id().clone();
                let is_back = matches!((&result, &fate), (Ok(()), Fate::GiveBack { .. }));
                match (result, fate) {
                    (Err(error), _) => self.unsettled(id, error),
                    (Ok(()), Fate::Done) => report.done += 1,
                    (Ok(()), Fate::Known) => report.known += 1,
                    (Ok(()), Fate::Aside { why }) => {
                        report.set_aside += 1;
                        self.settings.tell(&News::SetAside { id, why });
                    }
                    (Ok(()), Fate::GiveBack { why: Why::Stops, .. }) => report.given_back += 1,
                    (Ok(()), Fate::GiveBack { why: Why::Failed(_), .. }) => report.failed += 1,
                }
                // It came again before the answer came: it is one that nobody has begun.
                let newest = hand.newest().get();
                if is_back && told.is_some_and(|told| !Arc::ptr_eq(&told, &newest)) {
                    self.take_or_leave(newest);
                }
            }
            Errand::Kept { place } => {
                if let Some(hand) = self.hands.get_mut(&place) {
                    hand.kept();
                    self.look_at = self.look_at.into_iter().chain(hand.next()).min();
                }
            }
            Errand::GivenBack { id, result: Err(error) } => self.unsettled(id, error),
            Errand::GivenBack { result: Ok(()), .. } => report.given_back += 1,
            Errand::Closed(deliveries) => {
                for (place, fate) in self.held.take().into_iter().flatten() {
                    if let Some(hand) = self.hands.get(&place) {
                        self.errands.settle(hand, fate, self.settings);
                    }
                }
                for delivery in deliveries {
                    self.delivered(Arc::new(delivery));
                }
            }
        }
    }

    fn unsettled(&mut self, id: MessageId, error: Error) {
        self.report.unsettled += 1;
        self.settings.tell(&News::Unsettled { id, error });
    }

    /// What the time says: who is asked to stop, who is dropped, who is kept alive.
    fn move_on(&mut self, now: Instant, stop: &Stop) {
        if self.stages.drain_is_over(now) {
            match stop.draining().cancellation() {
                Some(cause) => self.asks.cancel_with(cause),
                None => self.asks.cancel_with("what the messages came from is gone"),
            };
            self.stages.ask(self.settings);
        }
        let drops = !self.drops && self.stages.grace_is_over(now);
        self.drops |= drops;
        if !drops && self.look_at.is_none_or(|at| at > now) {
            return;
        }
        let all = drops.then(|| self.stages.asked_for(now));
        for (place, hand) in &mut self.hands {
            if let Some(asked) = hand.is_dropped(now, all) {
                let id = hand.message().id().clone();
                self.settings.tell(&News::Dropped { id, asked });
            }
            if hand.is_to_be_kept(now) {
                hand.keeps(self.errands.keep(place.clone(), hand.newest().get()));
            }
        }
        self.look_at = self.hands.values().filter_map(Hand::next).min();
    }

    /// Nobody is waited for any longer.
    fn leave(&mut self, now: Instant) {
        let asked = self.stages.asked_for(now);
        for (_, hand) in std::mem::take(&mut self.hands) {
            let id = hand.message().id().clone();
            match hand.still_runs(asked) {
                Some(asked) => self.report.left.push(Left { id, asked }),
                None => self.unsettled(id, Error::passing(OVER)),
            }
        }
        for id in self.errands.given_up().collect::<Vec<_>>() {
            self.unsettled(id, Error::passing(OVER));
        }
    }
}

/// The work, between the question whether it is done already and the note that it is.
async fn known<F>(
    ledger: Option<Arc<dyn AnyLedger>>,
    id: &MessageId,
    work: impl FnOnce() -> F,
) -> Result<End, BoxError>
where
    F: Future<Output = Result<(), BoxError>>,
{
    let Some(ledger) = ledger else {
        work().await?;
        return Ok(End::Succeeded);
    };
    if ledger.is_done(id).await? {
        return Ok(End::Known);
    }
    work().await?;
    ledger.note(id).await?;
    Ok(End::Succeeded)
}

async fn next_of<S: Subscription>(subscription: Option<&mut S>) -> Result<S::Delivery, Error> {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
