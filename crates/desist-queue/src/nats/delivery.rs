//! A message of a stream, in hand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Received};
use async_nats::{HeaderMap, Request, RequestErrorKind};

use super::NatsConsumer;
use crate::broker::Delivery;
use crate::{Error, Message, MessageId};

/// How long the server may take to answer. It can be told again.
const HEARING: Duration = Duration::from_secs(2);

/// A message that a [`NatsConsumer`] has been given.
pub struct NatsDelivery {
    consumer: Arc<NatsConsumer>,
    received: Received,
    message: Message,
    sequence: u64,
    patience: Duration,
}

impl NatsDelivery {
    /// None, if it is no message of a stream.
    pub(super) fn new(
        consumer: Arc<NatsConsumer>,
        received: Received,
        patience: Duration,
    ) -> Option<Self> {
        let info = received.info().ok()?;
        let (sequence, deliveries) = (info.stream_sequence, info.delivered);
        // A stream that is made anew counts anew: with the time it is no other message.
        let published = published(received.reply.as_deref().unwrap_or_default());
        let place = MessageId::from(format!("{}:{sequence}@{published}", info.stream));
        let mut message = Message::new(place, received.subject.as_str(), received.payload.clone())
            .with_deliveries(u64::try_from(deliveries).unwrap_or(1));
        for (name, values) in received.headers.iter().flat_map(HeaderMap::iter) {
            for value in values {
                message = message.with_header(name.to_string(), value.as_str());
            }
        }
        let id = message.header("Nats-Msg-Id").filter(|id| !id.is_empty());
        if let Some(id) = id.map(MessageId::from) {
            message = message.with_id(id);
        }
        Some(Self { consumer, received, message, sequence, patience })
    }

    async fn say(&self, what: AckKind) -> Result<(), Error> {
        let id = self.message.place();
        let Some(reply) = self.received.reply.clone() else {
            return Err(Error::lasting(format!("nobody can be told of message {id}")));
        };
        let request = Request::new().payload(what.into()).timeout(Some(HEARING));
        let nats = &self.consumer.nats;
        let client = nats.client();
        let answer = tokio::select! {
            answer = client.send_request(reply, request) => answer,
            // What was on the old connection is lost, the answer or the question.
            () = nats.reconnected() => {
                return Err(Error::passing(format!("the connection was lost with message {id}")));
            }
        };
        match answer {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                // Nobody is there to hear of it, for a moment or for good.
                self.consumer.is_there().await?;
                Err(Error::passing(format!("the server has forgotten message {id}")).because(error))
            }
            Err(error) => {
                let what = "the server did not answer when told of message";
                Err(Error::passing(format!("{what} {id}")).because(error))
            }
        }
    }
}

/// The time in the subject for acknowledgements, which is the last but one of its words, or
/// the one before that where a server adds one.
fn published(reply: &str) -> &str {
    let words: Vec<&str> = reply.split('.').collect();
    let place = if words.len() == 9 { 7 } else { 9 };
    words.get(place).copied().unwrap_or_default()
}

impl Delivery for NatsDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    async fn done(&self) -> Result<(), Error> {
        self.say(AckKind::Ack).await
    }

    async fn give_back(&self, after: Duration) -> Result<(), Error> {
        // Longer than the server can count is at once to it.
        let after = after.min(Duration::from_secs(365 * 24 * 60 * 60));
        self.say(AckKind::Nak((after > Duration::ZERO).then_some(after))).await
    }

    async fn keep(&self) -> Result<(), Error> {
        self.say(AckKind::Progress).await
    }

    async fn set_aside(&self, why: &str) -> Result<(), Error> {
        let NatsConsumer { nats, name, .. } = &*self.consumer;
        let mut headers = HeaderMap::new();
        for (known, values) in self.received.headers.iter().flat_map(HeaderMap::iter) {
            // Those of the server's own would be heeded again.
            if !known.to_string().to_ascii_lowercase().starts_with("nats-") {
                values.iter().for_each(|value| headers.append(known.clone(), value.clone()));
            }
        }
        // Said twice, it is there once.
        headers.insert("Nats-Msg-Id", format!("aside:{name}:{}", self.message.place()));
        headers.insert("Desist-Aside-Id", self.message.id().as_str());
        // A header is one line, and not a long one.
        let line = why.chars().map(|c| if c.is_control() { ' ' } else { c });
        let why: String = line.take(1000).collect();
        headers.insert("Desist-Aside-Reason", why);
        headers.insert("Desist-Aside-Subject", self.message.subject());
        headers.insert("Desist-Aside-Sequence", self.sequence.to_string());
        headers.insert("Desist-Aside-Consumer", name.as_str());
        headers.insert("Desist-Aside-Deliveries", self.message.deliveries().to_string());
        let payload = self.message.payload().clone();
        nats.publish_with_headers(&self.consumer.aside(), headers, payload).await?;
        self.say(AckKind::Term).await
    }
}

impl fmt::Debug for NatsDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsDelivery").field("message", &self.message).finish_non_exhaustive()
    }
}
