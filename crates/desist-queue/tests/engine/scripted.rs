//! A broker that does what it is told to, also what no broker should, and notes what is said
//! to it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use desist_queue::{Broker, Delivery, Error, Message, Subscription};
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Subscribe,
    Close,
    Done,
    GiveBack(Duration),
    Keep,
    Aside(String),
}

/// What was said, when it began to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) at: Duration,
    pub(crate) verb: Verb,
    /// Empty and zero, if it is not about a message.
    pub(crate) place: String,
    pub(crate) deliveries: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Fine,
    /// So much later.
    Slow(Duration),
    Passing,
    Lasting,
    Hangs,
    Panics,
}

impl Answer {
    async fn give(self) -> Result<(), Error> {
        match self {
            Self::Fine => Ok(()),
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Self::Passing => Err(Error::passing("the broker is away; wait")),
            Self::Lasting => Err(Error::lasting("the broker has forgotten it")),
            Self::Hangs => pending().await,
            Self::Panics => panic!("in the broker"),
        }
    }
}

type Script = Box<dyn Fn(&Said) -> Answer + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Scripted(Arc<Shared>);

struct Shared {
    start: Instant,
    patience: Duration,
    script: Script,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    said: Vec<Said>,
    coming: VecDeque<Result<Message, Error>>,
    leftovers: Vec<Message>,
    /// In all.
    wanted: usize,
    nexts: usize,
}

impl Scripted {
    /// It answers like this.
    pub(crate) fn new(
        patience: Duration,
        script: impl Fn(&Said) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            patience,
            script: Box::new(script),
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// It does all that it is told to.
    pub(crate) fn willing() -> Self {
        Self::new(Duration::from_secs(3600), |_| Answer::Fine)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_waiters();
        changed
    }

    /// Delivers this, whether it is wanted or not.
    pub(crate) fn deliver(&self, message: Message) {
        self.change(|state| state.coming.push_back(Ok(message)));
    }

    /// `next` fails with this.
    pub(crate) fn fail(&self, error: Error) {
        self.change(|state| state.coming.push_back(Err(error)));
    }

    /// `close` gives this.
    pub(crate) fn leave(&self, message: Message) {
        self.change(|state| state.leftovers.push(message));
    }

    pub(crate) fn wanted(&self) -> usize {
        self.change(|state| state.wanted)
    }

    /// How often it was asked for the next message, which is once a turn of the consumer.
    pub(crate) fn nexts(&self) -> usize {
        self.change(|state| state.nexts)
    }

    pub(crate) fn said(&self) -> Vec<Said> {
        self.change(|state| state.said.clone())
    }

    /// What was said of messages, but that they are alive.
    pub(crate) fn fates(&self) -> Vec<Said> {
        let fates = self.said().into_iter();
        fates.filter(is_fate).collect()
    }

    pub(crate) fn times_of(&self, verb: &Verb) -> Vec<Duration> {
        self.said().into_iter().filter(|said| said.verb == *verb).map(|said| said.at).collect()
    }

    /// Until this one was said to be done; what takes longer than a day never happens.
    pub(crate) async fn until_done(&self, place: &str) {
        let said = async {
            loop {
                let changed = self.0.changed.notified();
                let is_done = |said: &Said| said.verb == Verb::Done && said.place == place;
                if self.0.state.lock().unwrap().said.iter().any(is_done) {
                    return;
                }
                changed.await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(86400), said).await;
        assert!(said.is_ok(), "{place} is never done");
    }

    /// Until so many fates were said; what takes longer than a day never happens.
    pub(crate) async fn until_fates(&self, count: usize) {
        let said = async {
            loop {
                let changed = self.0.changed.notified();
                if self.0.state.lock().unwrap().said.iter().filter(|said| is_fate(said)).count()
                    >= count
                {
                    return;
                }
                changed.await;
            }
        };
        let said = tokio::time::timeout(Duration::from_secs(86400), said).await;
        assert!(said.is_ok(), "no {count} fates: {:?}", self.fates());
    }

    async fn say(&self, verb: Verb, message: Option<&Message>) -> Result<(), Error> {
        let said = Said {
            at: self.0.start.elapsed(),
            verb,
            place: message.map(|message| message.place().to_string()).unwrap_or_default(),
            deliveries: message.map_or(0, Message::deliveries),
        };
        self.change(|state| state.said.push(said.clone()));
        (self.0.script)(&said).give().await
    }
}

fn is_fate(said: &Said) -> bool {
    !said.place.is_empty() && said.verb != Verb::Keep
}

impl Broker for Scripted {
    type Subscription = Scripted;

    async fn subscribe(&self) -> Result<Self, Error> {
        self.say(Verb::Subscribe, None).await?;
        Ok(self.clone())
    }
}

impl Subscription for Scripted {
    type Delivery = Given;

    fn want(&mut self, more: usize) {
        self.change(|state| state.wanted += more);
    }

    async fn next(&mut self) -> Result<Given, Error> {
        self.0.state.lock().unwrap().nexts += 1;
        loop {
            let changed = self.0.changed.notified();
            if let Some(came) = self.0.state.lock().unwrap().coming.pop_front() {
                return came.map(|message| Given { broker: self.clone(), message });
            }
            changed.await;
        }
    }

    async fn close(self) -> Vec<Given> {
        if self.say(Verb::Close, None).await.is_err() {
            return Vec::new();
        }
        let leftovers = self.change(|state| std::mem::take(&mut state.leftovers));
        leftovers.into_iter().map(|message| Given { broker: self.clone(), message }).collect()
    }
}

/// A message that it has delivered.
pub(crate) struct Given {
    broker: Scripted,
    message: Message,
}

impl Delivery for Given {
    fn message(&self) -> &Message {
        &self.message
    }

    fn patience(&self) -> Duration {
        self.broker.0.patience
    }

    async fn done(&self) -> Result<(), Error> {
        self.broker.say(Verb::Done, Some(&self.message)).await
    }

    async fn give_back(&self, after: Duration) -> Result<(), Error> {
        self.broker.say(Verb::GiveBack(after), Some(&self.message)).await
    }

    async fn keep(&self) -> Result<(), Error> {
        self.broker.say(Verb::Keep, Some(&self.message)).await
    }

    async fn set_aside(&self, why: &str) -> Result<(), Error> {
        self.broker.say(Verb::Aside(why.to_owned()), Some(&self.message)).await
    }
}

/// A message at this place, delivered for the how-manieth time.
pub(crate) fn message(place: &str, deliveries: u64) -> Message {
    Message::new(place, "orders.new", "two boats").with_deliveries(deliveries)
}
