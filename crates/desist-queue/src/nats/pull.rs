//! From where messages come.
//!
//! The server is asked for as many as are wanted, with a request that it keeps until it has
//! sent that many or the time of the request is over. It forgets requests when it is
//! restarted, and when the connection is lost, and does not say so: therefore it is to send a
//! heartbeat as long as it has one. When it is silent, or the connection was made anew, the
//! consumer is looked for, and asked again.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message as Received;
use async_nats::jetstream::consumer::Config;
use async_nats::{Message, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::inbox::{Inbox, closed};
use super::{NatsConsumer, NatsDelivery, changed};
use crate::Error;
use crate::broker::Subscription;

/// How long the server keeps a request.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it says that it has one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// When it has not, it is taken to have none.
const SILENCE: Duration = Duration::from_secs(3);

/// From where a [`NatsConsumer`] pulls.
pub struct NatsSubscription {
    consumer: Arc<NatsConsumer>,
    patience: Duration,
    /// At most so many in one request.
    most: usize,
    /// How long the server keeps one.
    expires: Duration,
    state: State,
    came: VecDeque<NatsDelivery>,
    /// Not yet come.
    wanted: usize,
    /// Of these, what the server has been asked for.
    asked: usize,
    /// With the last request.
    last: usize,
    heard: Instant,
    /// How many times in a row it was not.
    silences: u32,
    connected: Option<watch::Receiver<u64>>,
}

enum State {
    Open(Inbox),
    /// What a request that may still be there sends goes to the inbox of before, which is
    /// left for a new one: so no more come than are wanted.
    Leaving(Pin<Box<dyn Future<Output = Vec<Message>> + Send>>),
    /// Whether the consumer is still there.
    Looking(Pin<Box<dyn Future<Output = Result<Inbox, Error>> + Send>>),
    Lost,
}

async fn look(consumer: Arc<NatsConsumer>) -> Result<Inbox, Error> {
    consumer.is_there().await?;
    Inbox::open(consumer.nats.client()).await
}

impl NatsSubscription {
    pub(super) async fn new(
        consumer: NatsConsumer,
        patience: Duration,
        config: &Config,
    ) -> Result<Self, Error> {
        let inbox = Inbox::open(consumer.nats.client()).await?;
        let connected = consumer.nats.connections();
        Ok(Self {
            consumer: Arc::new(consumer),
            patience,
            most: usize::try_from(config.max_batch)
                .ok()
                .filter(|most| *most > 0)
                .unwrap_or(usize::MAX),
            expires: Some(config.max_expires)
                .filter(|most| !most.is_zero())
                .unwrap_or(EXPIRES)
                .min(EXPIRES),
            state: State::Open(inbox),
            came: VecDeque::new(),
            wanted: 0,
            asked: 0,
            last: 0,
            heard: Instant::now(),
            silences: 0,
            connected,
        })
    }

    /// A message, if it is one; else what the server says of its requests.
    fn take(&mut self, message: Message) -> Result<Option<NatsDelivery>, Error> {
        (self.heard, self.silences) = (Instant::now(), 0);
        let Some(status) = message.status else {
            let context = self.consumer.nats.context.clone();
            let received = Received { message, context };
            let delivery = NatsDelivery::new(Arc::clone(&self.consumer), received, self.patience);
            if delivery.is_some() {
                self.asked = self.asked.saturating_sub(1);
                self.wanted = self.wanted.saturating_sub(1);
            }
            return Ok(delivery);
        };
        let said = message.description.as_deref().unwrap_or_default();
        match status {
            StatusCode::IDLE_HEARTBEAT => {}
            StatusCode::NO_RESPONDERS => self.doubt(),
            _ if said.contains("Consumer Deleted") || said.contains("Consumer is push based") => {
                self.doubt();
            }
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => self.ended(&message),
            _ => {
                let name = &self.consumer.name;
                let what = format!("the server sends nothing to `{name}`: {status} {said}");
                if said.contains("Exceeded") {
                    // Of too many, or of one for too much, that one is refused.
                    self.asked = self.asked.saturating_sub(self.last);
                } else {
                    // It stops, or another leads: it has none.
                    self.doubt();
                }
                return Err(Error::passing(what));
            }
        }
        Ok(None)
    }

    /// All that have come where nobody listens any more.
    fn take_all(&mut self, messages: Vec<Message>) {
        for message in messages.into_iter().filter(|message| message.status.is_none()) {
            let delivery = self.take(message).ok().flatten();
            self.came.extend(delivery);
        }
    }

    /// A request is over, with so many of its messages not sent.
    fn ended(&mut self, message: &Message) {
        let rest =
            message.headers.as_ref().and_then(|headers| headers.get("Nats-Pending-Messages"));
        let rest = rest.and_then(|rest| rest.as_str().parse().ok()).unwrap_or(self.asked);
        self.asked = self.asked.saturating_sub(rest);
    }

    /// It is taken to have no request of ours.
    fn doubt(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(inbox) => State::Leaving(Box::pin(inbox.leave(asked))),
            State::Lost => State::Looking(Box::pin(look(Arc::clone(&self.consumer)))),
            under_way => under_way,
        };
    }
}

/// Asks for what is wanted and has not been asked for.
async fn ask(
    consumer: &NatsConsumer,
    inbox: &Inbox,
    batch: usize,
    expires: Duration,
) -> Result<(), Error> {
    let request = serde_json::json!({
        "batch": batch,
        "expires": expires.as_nanos() as u64,
        "idle_heartbeat": HEARTBEAT.min(expires / 3).as_nanos() as u64,
    });
    let NatsConsumer { nats, stream, name, .. } = consumer;
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    let client = nats.client();
    let asked =
        client.publish_with_reply(subject, inbox.name().to_owned(), request.to_string().into());
    asked.await.map_err(|error| closed().because(error))
}

impl Subscription for NatsSubscription {
    type Delivery = NatsDelivery;

    fn want(&mut self, more: usize) {
        self.wanted += more;
    }

    async fn next(&mut self) -> Result<NatsDelivery, Error> {
        loop {
            if let Some(delivery) = self.came.pop_front() {
                return Ok(delivery);
            }
            let inbox = match &mut self.state {
                State::Open(inbox) => inbox,
                State::Leaving(leaving) => {
                    let came = leaving.as_mut().await;
                    self.state = State::Lost;
                    self.take_all(came);
                    continue;
                }
                State::Looking(looking) => {
                    let looked = looking.as_mut().await;
                    self.state = State::Lost;
                    self.state = State::Open(looked?);
                    continue;
                }
                State::Lost => {
                    self.doubt();
                    continue;
                }
            };
            // Not one by one: each request is kept, and they are not many at a time.
            while self.wanted > self.asked && self.wanted >= 2 * self.asked {
                let batch = (self.wanted - self.asked).min(self.most);
                ask(&self.consumer, inbox, batch, self.expires).await?;
                self.asked += batch;
                self.last = batch;
                self.heard = Instant::now();
            }
            let is_silent = self.heard + SILENCE;
            tokio::select! {
                biased;
                message = inbox.next() => {
                    let message = message.ok_or_else(closed)?;
                    if let Some(delivery) = self.take(message)? {
                        return Ok(delivery);
                    }
                }
                () = changed(&mut self.connected) => self.doubt(),
                () = tokio::time::sleep_until(is_silent), if self.asked > 0 => {
                    self.doubt();
                    self.silences += 1;
                    if self.silences > 1 {
                        let NatsConsumer { stream, name, .. } = &*self.consumer;
                        return Err(Error::passing(format!(
                            "nothing is heard of the requests for messages; see that this user \
                             may publish to `$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}`"
                        )));
                    }
                }
            }
        }
    }

    async fn close(mut self) -> Vec<NatsDelivery> {
        let came = match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(inbox) if self.asked > 0 => inbox.leave(self.asked).await,
            State::Leaving(leaving) => leaving.await,
            State::Open(_) | State::Looking(_) | State::Lost => Vec::new(),
        };
        self.take_all(came);
        self.came.into()
    }
}

impl fmt::Debug for NatsSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSubscription")
            .field("consumer", &self.consumer)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
