//! NATS JetStream.
//!
//! A consumer is a durable pull consumer of a stream. What is said of a message is said as a
//! request, so that the server's answer tells that it knows.

mod consumer;
mod delivery;
mod inbox;
mod pull;
mod trouble;

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, HeaderValue};
use bytes::Bytes;
use tokio::sync::watch;

pub use self::consumer::NatsConsumer;
pub use self::delivery::NatsDelivery;
pub use self::pull::NatsSubscription;
use crate::{Error, MessageId};

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A server of NATS with JetStream, 2.9 or newer. A cheap handle to a connection, which
/// comes back by itself when it was lost.
///
/// ```no_run
/// use desist_queue::{Consumer, Message, Nats};
/// use desist_tokio::{Stop, signals};
///
/// async fn bill(stop: Stop, order: Message) -> Result<(), desist::Cancelled> {
///     stop.check()?;
///     println!("{} is billed", order.id());
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let nats = Nats::connect("nats://127.0.0.1:4222").await?;
///     nats.ensure_stream("ORDERS", ["orders.>"]).await?;
///     nats.publish("orders.new", "order-17", "two boats").await?;
///
///     let billing = Consumer::new(nats.consumer("ORDERS", "billing")).concurrency(16);
///     billing.run(&signals(), bill).await?.into_result()?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Nats {
    context: Context,
    /// Changes when the connection is made anew, if anybody tells.
    connected: Option<watch::Receiver<u64>>,
}

impl Nats {
    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// If nobody answers there, or refuses.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, ConnectOptions::new()).await
    }

    /// Connects with options of one's own: credentials (those in an address are not looked
    /// at), TLS, a name. The callback for events
    /// is taken.
    ///
    /// # Errors
    ///
    /// If nobody answers there, or refuses.
    pub async fn connect_with(url: &str, options: ConnectOptions) -> Result<Self, Error> {
        let (tell, mut connected) = watch::channel(0);
        let options = options.event_callback(move |event| {
            if matches!(event, Event::Connected) {
                tell.send_modify(|times| *times += 1);
            }
            async {}
        });
        let client = options.connect(url).await;
        let client = client.map_err(|error| trouble::of_connecting(url, error))?;
        // The first time is told of, too, and that later.
        let _ = tokio::time::timeout(ANSWER, connected.changed()).await;
        Ok(Self { connected: Some(connected), ..Self::new(client) })
    }

    /// On a connection that is there. A loss of it is noticed within three seconds.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let mut context = jetstream::new(client);
        context.set_timeout(ANSWER);
        Self { context, connected: None }
    }

    /// The connection.
    #[must_use]
    pub fn client(&self) -> Client {
        self.context.client()
    }

    /// Makes a stream for these subjects, on disk and kept until it is acknowledged by every
    /// consumer or deleted, if there is none of the name. One that is there is left as it is.
    ///
    /// # Errors
    ///
    /// If it is not there, and cannot be made.
    pub async fn ensure_stream<S: Into<String>>(
        &self,
        name: &str,
        subjects: impl IntoIterator<Item = S>,
    ) -> Result<(), Error> {
        let config = stream::Config {
            name: name.to_owned(),
            subjects: subjects.into_iter().map(Into::into).collect(),
            ..stream::Config::default()
        };
        let made = self.context.get_or_create_stream(config).await;
        made.map(drop).map_err(|error| trouble::of_making(name, error))
    }

    /// Publishes a message, and waits until it is in a stream. Published a second time under
    /// this identity, soon, it is not a second message: two minutes, unless the stream says
    /// otherwise.
    ///
    /// # Errors
    ///
    /// If it is not known to be in a stream. It may be published again.
    pub async fn publish(
        &self,
        subject: &str,
        id: impl Into<MessageId>,
        payload: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let id = id.into();
        let wrong = || {
            let advice = "give it one of a line that is not empty, or it is not told from others";
            Error::lasting(format!("{:?} is no identity of a message; {advice}", id.as_str()))
        };
        if id.as_str().is_empty() {
            return Err(wrong());
        }
        let value = id.as_str().parse::<HeaderValue>().map_err(|_| wrong())?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", value);
        self.publish_with_headers(subject, headers, payload.into()).await
    }

    /// Tells of connections that are made anew from now on, if anybody does.
    fn connections(&self) -> Option<watch::Receiver<u64>> {
        let mut connected = self.connected.clone()?;
        connected.mark_unchanged();
        Some(connected)
    }

    async fn reconnected(&self) {
        changed(&mut self.connections()).await;
    }

    async fn publish_with_headers(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<(), Error> {
        let wrong = |error| trouble::of_publishing(subject, error);
        let published = self.context.publish_with_headers(subject.to_owned(), headers, payload);
        published.await.map_err(wrong)?.await.map_err(wrong)?;
        Ok(())
    }

    /// A durable consumer of a stream, which is made when it is run and not there. Consumers
    /// of one name, in whatever process, share the messages among them.
    #[must_use]
    pub fn consumer(&self, stream: &str, name: &str) -> NatsConsumer {
        NatsConsumer::new(self.clone(), stream, name)
    }
}

/// When the connection was made anew.
async fn changed(connected: &mut Option<watch::Receiver<u64>>) {
    if let Some(connected) = connected {
        if connected.changed().await.is_ok() {
            return;
        }
    }
    // Nobody tells.
    std::future::pending().await
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("connection", &self.context.client().connection_state())
            .finish_non_exhaustive()
    }
}
