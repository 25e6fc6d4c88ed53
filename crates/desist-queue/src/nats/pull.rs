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
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::{NatsConsumer, NatsDelivery};
use crate::Error;
use crate::broker::Subscription;

/// How long the server keeps a request.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it says that it has one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// When it has not, it is taken to have none.
const SILENCE: Duration = Duration::from_secs(3);
/// What is on its way when nothing more is wanted has this long to come.
const ON_ITS_WAY: Duration = Duration::from_millis(800);
/// When none has come for so long, none is taken to be on its way.
const QUIET: Duration = Duration::from_millis(100);

type Look = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// From where a [`NatsConsumer`] pulls.
pub struct NatsSubscription {
    consumer: Arc<NatsConsumer>,
    patience: Duration,
    messages: Subscriber,
    inbox: String,
    /// What a request that may still be there sends goes to the inbox of before, which is
    /// left for a new one: so no more come than are wanted.
    is_new: bool,
    came: VecDeque<NatsDelivery>,
    /// In this inbox.
    received: u64,
    /// At most so many in one request.
    most: usize,
    /// Not yet come.
    wanted: usize,
    /// Of these, what the server has been asked for.
    asked: usize,
    heard: Instant,
    /// Whether the consumer is still there.
    look: Option<Look>,
    connected: Option<tokio::sync::watch::Receiver<u64>>,
}

impl NatsSubscription {
    pub(super) async fn new(
        consumer: NatsConsumer,
        patience: Duration,
        max_batch: i64,
    ) -> Result<Self, Error> {
        let (inbox, messages) = inbox(&consumer).await?;
        let connected = consumer.nats.connected.clone().map(|mut connected| {
            connected.mark_unchanged();
            connected
        });
        Ok(Self {
            consumer: Arc::new(consumer),
            patience,
            messages,
            inbox,
            is_new: true,
            came: VecDeque::new(),
            received: 0,
            most: usize::try_from(max_batch).ok().filter(|most| *most > 0).unwrap_or(usize::MAX),
            wanted: 0,
            asked: 0,
            heard: Instant::now(),
            look: None,
            connected,
        })
    }

    /// Asks for what is wanted and has not been asked for.
    async fn ask(&mut self) -> Result<(), Error> {
        if !self.is_new {
            let (inbox, messages) = inbox(&self.consumer).await?;
            self.collect();
            (self.inbox, self.messages, self.is_new) = (inbox, messages, true);
            self.received = 0;
        }
        while self.wanted > self.asked {
            let batch = (self.wanted - self.asked).min(self.most);
            let request = serde_json::json!({
                "batch": batch,
                "expires": EXPIRES.as_nanos() as u64,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            });
            let NatsConsumer { nats, stream, name, .. } = &*self.consumer;
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
            let asked = nats.client();
            let asked =
                asked.publish_with_reply(subject, self.inbox.clone(), request.to_string().into());
            asked.await.map_err(|error| closed().because(error))?;
            self.asked += batch;
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// A message, if it is one; else what the server says of its requests.
    fn take(&mut self, message: Message) -> Result<Option<NatsDelivery>, Error> {
        self.received += 1;
        self.heard = Instant::now();
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
            StatusCode::IDLE_HEARTBEAT => Ok(None),
            StatusCode::NO_RESPONDERS => {
                self.doubt();
                Ok(None)
            }
            _ if said.contains("Consumer Deleted") || said.contains("Consumer is push based") => {
                self.doubt();
                Ok(None)
            }
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => {
                self.ended(&message);
                Ok(None)
            }
            // Too many requests, or too much asked for, or the server stops: it has none.
            _ => {
                self.asked = 0;
                let name = &self.consumer.name;
                Err(Error::passing(format!(
                    "the server sends nothing to `{name}`: {status} {said}"
                )))
            }
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
        self.asked = 0;
        self.is_new = false;
        let consumer = Arc::clone(&self.consumer);
        self.look = Some(Box::pin(async move { consumer.is_there().await }));
    }
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
            if self.look.is_none() {
                self.ask().await?;
            }
            let is_silent = self.heard + SILENCE;
            tokio::select! {
                biased;
                looked = looked(&mut self.look) => {
                    self.look = None;
                    looked?;
                }
                message = self.messages.next() => match message {
                    Some(message) => {
                        if let Some(delivery) = self.take(message)? {
                            return Ok(delivery);
                        }
                    }
                    None => return Err(closed()),
                },
                () = changed(&mut self.connected) => self.doubt(),
                () = tokio::time::sleep_until(is_silent), if self.asked > 0 => self.doubt(),
            }
        }
    }

    /// First the requests are let come to their end, as long as messages come: what the server
    /// sends in the moment in which it hears that nobody listens is lost on it until its
    /// patience is over. When it is quiet it is told to send so many more, whatever they are,
    /// and is sent as many: so all that it sent before it knew arrive, and nothing after that.
    async fn close(mut self) -> Vec<NatsDelivery> {
        let end = Instant::now() + ON_ITS_WAY;
        let mut quiet = Instant::now() + QUIET;
        while self.asked > 0 {
            let next = tokio::time::timeout_at(end.min(quiet), self.messages.next());
            let Ok(Some(message)) = next.await else { break };
            if let Ok(Some(delivery)) = self.take(message) {
                self.came.push_back(delivery);
                quiet = Instant::now() + QUIET;
            }
        }
        if self.asked > 0 {
            let _ = tokio::time::timeout(ON_ITS_WAY, self.leave()).await;
        }
        self.came.into()
    }
}

impl NatsSubscription {
    /// Nothing comes any more when this is over.
    async fn leave(&mut self) {
        // No more are on their way than were asked for; the rest is for heartbeats.
        let most = self.received + self.asked as u64 + 16;
        if self.messages.unsubscribe_after(most).await.is_err() {
            return;
        }
        let client = self.consumer.nats.client();
        for _ in self.received..most {
            if client.publish(self.inbox.clone(), Bytes::new()).await.is_err() {
                return;
            }
        }
        while let Some(message) = self.messages.next().await {
            let delivery = self.take(message).ok().flatten();
            self.came.extend(delivery);
        }
    }

    /// All that have come.
    fn collect(&mut self) {
        while let Some(Some(message)) = self.messages.next().now_or_never() {
            let delivery = self.take(message).ok().flatten();
            self.came.extend(delivery);
        }
    }
}

/// Where the server is to send what it is asked for.
async fn inbox(consumer: &NatsConsumer) -> Result<(String, Subscriber), Error> {
    let client = consumer.nats.client();
    let inbox = client.new_inbox();
    match client.subscribe(inbox.clone()).await {
        Ok(messages) => Ok((inbox, messages)),
        Err(error) => Err(closed().because(error)),
    }
}

fn closed() -> Error {
    Error::lasting("the connection is closed; make a new one")
}

async fn looked(look: &mut Option<Look>) -> Result<(), Error> {
    match look {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}

/// When the connection was made anew.
async fn changed(connected: &mut Option<tokio::sync::watch::Receiver<u64>>) {
    if let Some(connected) = connected {
        if connected.changed().await.is_ok() {
            return;
        }
    }
    // Nobody tells.
    std::future::pending().await
}

impl fmt::Debug for NatsSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSubscription")
            .field("consumer", &self.consumer)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
