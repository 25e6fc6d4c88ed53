//! A broker in memory, for tests: it does what a real one does, and keeps nothing. Publish to a
//! [`MemoryBroker`], run a [`Consumer`](crate::Consumer) on a clone of it, and ask the broker what
//! became of the messages. A handler alone needs none: it is called with a [`Message::new`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::{Broker, Delivery, Subscription};
use crate::{Error, Message, MessageId};

/// A queue in memory, on tokio's time: paused, it is virtual. A cheap handle to it.
///
/// ```
/// use desist_queue::testing::MemoryBroker;
/// use desist_queue::{Consumer, Message};
/// use desist_tokio::{Stop, StopSource};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let broker = MemoryBroker::new();
/// broker.publish("orders.new", "nonsense");
/// let stop = StopSource::new();
/// let fails = |_stop: Stop, _message: Message| async { Err("no such boat") };
/// let consumer = Consumer::new(broker.clone()).max_deliveries(1);
/// let (report, ()) = tokio::join!(consumer.run(&stop.stop(), fails), async {
///     broker.until_empty().await;
///     stop.drain();
/// });
/// assert_eq!(report.unwrap().set_aside(), 1);
/// assert_eq!(broker.aside()[0].1, "no such boat");
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

struct Shared {
    patience: Duration,
    state: Mutex<State>,
    /// For whoever waits that it changes.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By number.
    queue: BTreeMap<u64, Queued>,
    /// The same, by when they may be delivered.
    order: BTreeSet<(Option<Instant>, u64)>,
    last: u64,
    done: Vec<Message>,
    aside: Vec<(Message, String)>,
    is_down: bool,
}

struct Queued {
    message: Message,
    deliveries: u64,
    /// From when on it may be delivered; none: it may at once.
    hidden: Option<Instant>,
}

impl State {
    /// It is not delivered before.
    fn hide(&mut self, number: u64, hidden: Option<Instant>) {
        if let Some(queued) = self.queue.get_mut(&number) {
            self.order.remove(&(queued.hidden, number));
            queued.hidden = hidden;
            self.order.insert((hidden, number));
        }
    }

    /// Whether it was still there.
    fn remove(&mut self, number: u64) -> bool {
        let queued = self.queue.remove(&number);
        queued.is_some_and(|queued| self.order.remove(&(queued.hidden, number)))
    }

    /// The next one, if it may be delivered now; else when that is.
    fn next(&mut self, patience: Duration) -> Result<(u64, Message), Option<Instant>> {
        let Some(&(hidden, number)) = self.order.first() else { return Err(None) };
        if hidden.is_some_and(|until| until > Instant::now()) {
            return Err(hidden);
        }
        self.hide(number, Some(from_now(patience)));
        let Some(queued) = self.queue.get_mut(&number) else { return Err(None) };
        queued.deliveries += 1;
        Ok((number, queued.message.clone().with_deliveries(queued.deliveries)))
    }
}

impl MemoryBroker {
    /// An empty one, which waits 30 s for a word of a message.
    #[must_use]
    pub fn new() -> Self {
        Self::with_patience(Duration::from_secs(30))
    }

    /// An empty one, which waits this long for a word of a message before it delivers it
    /// again. Less than a millisecond is one.
    #[must_use]
    pub fn with_patience(patience: Duration) -> Self {
        let patience = patience.max(Duration::from_millis(1));
        let shared = Shared { patience, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a message in it; its place is `memory:` and a number, from 1 on.
    pub fn publish(&self, subject: &str, payload: impl Into<Bytes>) -> MessageId {
        self.change(|state| {
            state.last += 1;
            let place = MessageId::from(format!("memory:{}", state.last));
            let message = Message::new(place.clone(), subject, payload);
            state.queue.insert(state.last, Queued { message, deliveries: 0, hidden: None });
            state.order.insert((None, state.last));
            place
        })
    }

    /// What was acknowledged, in that order.
    #[must_use]
    pub fn done(&self) -> Vec<Message> {
        self.state().done.clone()
    }

    /// What was set aside, and why, in that order.
    #[must_use]
    pub fn aside(&self) -> Vec<(Message, String)> {
        self.state().aside.clone()
    }

    /// How many messages are in it, in hand or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().queue.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Until nothing is in it: all is acknowledged, or set aside.
    pub async fn until_empty(&self) {
        self.until(|state| state.queue.is_empty()).await;
    }

    /// Whether it does nothing that it is asked for.
    ///
    /// ```
    /// use desist_queue::testing::MemoryBroker;
    /// use desist_queue::Broker;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let broker = MemoryBroker::new();
    /// broker.set_down(true);
    /// assert!(broker.subscribe().await.err().unwrap().is_passing());
    /// # }
    /// ```
    pub fn set_down(&self, is_down: bool) {
        self.change(|state| state.is_down = is_down);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.shared.changed.notify_waiters();
        changed
    }

    async fn until(&self, so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            if so(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// If it is up.
    fn try_change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        self.change(|state| {
            if state.is_down {
                return Err(Error::passing("the broker is down, until `set_down(false)`"));
            }
            Ok(change(state))
        })
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Broker for MemoryBroker {
    type Subscription = Pulls;

    async fn subscribe(&self) -> Result<Pulls, Error> {
        self.try_change(|_| Pulls { broker: self.clone(), wanted: 0 })
    }
}

/// Longer than any clock can tell is some decades.
fn from_now(time: Duration) -> Instant {
    Instant::now() + time.min(Duration::from_secs(1 << 30))
}

/// From where a consumer of a [`MemoryBroker`] pulls.
#[derive(Debug)]
pub struct Pulls {
    broker: MemoryBroker,
    wanted: usize,
}

impl Subscription for Pulls {
    type Delivery = InHand;

    fn want(&mut self, more: usize) {
        self.wanted += more;
    }

    async fn next(&mut self) -> Result<InHand, Error> {
        loop {
            let changed = self.broker.shared.changed.notified();
            let patience = self.broker.shared.patience;
            let next = {
                let state = &mut *self.broker.state();
                if state.is_down {
                    return Err(Error::passing("the broker is down, until `set_down(false)`"));
                }
                match if self.wanted > 0 { state.next(patience) } else { Err(None) } {
                    Ok((number, message)) => {
                        self.wanted -= 1;
                        return Ok(InHand { broker: self.broker.clone(), number, message });
                    }
                    Err(next) => next,
                }
            };
            let shown = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = shown => {}
            }
        }
    }

    async fn close(self) -> Vec<InHand> {
        Vec::new()
    }
}

/// A message of a [`MemoryBroker`] that has been delivered.
#[derive(Debug)]
pub struct InHand {
    broker: MemoryBroker,
    number: u64,
    message: Message,
}

impl Delivery for InHand {
    fn message(&self) -> &Message {
        &self.message
    }

    fn patience(&self) -> Duration {
        self.broker.shared.patience
    }

    async fn done(&self) -> Result<(), Error> {
        self.broker.try_change(|state| {
            if state.remove(self.number) {
                state.done.push(self.message.clone());
            }
        })
    }

    async fn give_back(&self, after: Duration) -> Result<(), Error> {
        self.broker.try_change(|state| {
            state.hide(self.number, (after > Duration::ZERO).then(|| from_now(after)));
        })
    }

    async fn keep(&self) -> Result<(), Error> {
        self.broker.try_change(|state| {
            state.hide(self.number, Some(from_now(self.broker.shared.patience)));
        })
    }

    async fn set_aside(&self, why: &str) -> Result<(), Error> {
        self.broker.try_change(|state| {
            if state.remove(self.number) {
                state.aside.push((self.message.clone(), why.to_owned()));
            }
        })
    }
}
