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
        let place = MessageId::from(format!("{}:{sequence}", info.stream));
        let mut message = Message::new(place, received.subject.as_str(), received.payload.clone())
            .with_deliveries(u64::try_from(deliveries).unwrap_or(1));
        for (name, values) in received.headers.iter().flat_map(HeaderMap::iter) {
            for value in values {
                message = message.with_header(name.to_string(), value.as_str());
            }
        }
        if let Some(id) = message.header("Nats-Msg-Id").map(MessageId::from) {
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
            Err(error) => {
                let what = match error.kind() {
                    RequestErrorKind::NoResponders => "has forgotten",
                    _ => "did not answer when told of",
                };
                Err(Error::passing(format!("the server {what} message {id}")).because(error))
            }
        }
    }
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
        self.say(AckKind::Nak((after > Duration::ZERO).then_some(after))).await
    }

    async fn keep(&self) -> Result<(), Error> {
        self.say(AckKind::Progress).await
    }

    async fn set_aside(&self, why: &str) -> Result<(), Error> {
        let NatsConsumer { nats, stream, name, .. } = &*self.consumer;
        let mut headers = self.received.headers.clone().unwrap_or_default();
        // Said twice, it is there once.
        let id = format!("aside:{stream}:{name}:{}", self.sequence);
        headers.insert("Nats-Msg-Id", id);
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
