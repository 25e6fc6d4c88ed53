//! Which messages, and how.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config, pull};
use async_nats::jetstream::stream::Stream;

use super::{Nats, NatsSubscription, trouble};
use crate::Error;
use crate::broker::Broker;

/// A durable pull consumer of a stream: what a [`Consumer`](crate::Consumer) is made for.
///
/// If there is none of its name it is made, with explicit acknowledgements and without a
/// most of deliveries, for what the server gives up nobody would see. If there is one it is
/// taken as it is, unless it would lose messages.
///
/// Messages that are set aside go to a stream of their own, `<STREAM>_ASIDE` with the subject
/// `aside.<STREAM>`, which is made as well. They have the headers that they had, but for those
/// of the server's own, and `Desist-Aside-Reason`, `-Id`, `-Subject`, `-Sequence`, `-Consumer`
/// and `-Deliveries`.
#[derive(Clone)]
pub struct NatsConsumer {
    pub(super) nats: Nats,
    pub(super) stream: String,
    pub(super) name: String,
    filter: Option<String>,
    ack_wait: Duration,
    /// None: the one that is made for it.
    aside: Option<String>,
}

impl NatsConsumer {
    pub(super) fn new(nats: Nats, stream: &str, name: &str) -> Self {
        Self {
            nats,
            stream: stream.to_owned(),
            name: name.to_owned(),
            filter: None,
            ack_wait: Duration::from_secs(30),
            aside: None,
        }
    }

    /// Only those of this subject, which may have wildcards.
    #[must_use]
    pub fn filter(mut self, subject: impl Into<String>) -> Self {
        self.filter = Some(subject.into());
        self
    }

    /// How long the server waits for a word of a message before it delivers it again, of a
    /// consumer that is made; 30 s, if nothing is said. It hears one three times in that
    /// time, so it is about dead processes, not about long work.
    #[must_use]
    pub fn ack_wait(mut self, ack_wait: Duration) -> Self {
        self.ack_wait = ack_wait;
        self
    }

    /// The subject that messages are set aside to; a stream must have it.
    #[must_use]
    pub fn aside_to(mut self, subject: impl Into<String>) -> Self {
        self.aside = Some(subject.into());
        self
    }

    pub(super) fn aside(&self) -> String {
        self.aside.clone().unwrap_or_else(|| format!("aside.{}", self.stream))
    }

    async fn look_aside(&self) -> Result<(), Error> {
        let subject = self.aside();
        let made = format!("{}_ASIDE", self.stream);
        if self.aside.is_none() {
            self.nats.ensure_stream(&made, [subject.clone()]).await?;
        }
        let found = self.nats.context.stream_by_subject(subject.clone()).await;
        let found = found.map_err(|error| {
            let what = "to which messages are to be set aside";
            let advice = "make one with `Nats::ensure_stream`";
            Error::lasting(format!("no stream has the subject `{subject}`, {what}; {advice}"))
                .because(error)
        })?;
        if found == self.stream {
            let advice = "give the subject of another with `aside_to`";
            return Err(Error::lasting(format!(
                "what is set aside to `{subject}` would come again, for it is in the stream \
                 `{found}` itself; {advice}"
            )));
        }
        Ok(())
    }

    async fn stream(&self) -> Result<Stream<()>, Error> {
        self.nats.context.get_stream_no_info(&self.stream).await.map_err(|error| {
            Error::lasting(format!("`{}` cannot be the name of a stream", self.stream))
                .because(error)
        })
    }

    /// Its settings, if it is there.
    async fn find(&self, stream: &Stream<()>) -> Result<Option<Config>, Error> {
        match stream.consumer_info(&self.name).await {
            Ok(info) => Ok(Some(info.config)),
            Err(error) => trouble::of_looking(&self.stream, &self.name, error).map(|()| None),
        }
    }

    async fn make(&self, stream: &Stream<()>) -> Result<(), Error> {
        let config = pull::Config {
            durable_name: Some(self.name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: -1,
            filter_subject: self.filter.clone().unwrap_or_default(),
            // As many as there are consumers and hands, and their requests.
            max_ack_pending: -1,
            max_waiting: 8192,
            ..pull::Config::default()
        };
        let wrong = |error| trouble::of_making_consumer(&self.stream, &self.name, error);
        stream.create_consumer(config).await.map_err(wrong)?;
        Ok(())
    }

    /// Whether it would lose messages, or is another than was meant.
    fn judge(&self, config: &Config) -> Result<(), Error> {
        let refuse = |why: String| {
            let Self { stream, name, .. } = self;
            Err(Error::lasting(format!("the consumer `{name}` of `{stream}` {why}")))
        };
        if config.deliver_subject.is_some() {
            return refuse("is pushed to; take another name, or delete it".to_owned());
        }
        if config.ack_policy != AckPolicy::Explicit {
            let policy = format!("{:?}", config.ack_policy).to_lowercase();
            return refuse(format!(
                "has the acknowledgement policy `{policy}`, with which messages are lost; take \
                 another name, or make it anew with `explicit`"
            ));
        }
        if config.max_deliver > 0 {
            return refuse(format!(
                "gives messages up after {} deliveries, and nobody sees them; set its most of \
                 deliveries to -1, and say `max_deliveries` here",
                config.max_deliver
            ));
        }
        match &self.filter {
            Some(filter) if *filter != config.filter_subject => refuse(format!(
                "is for {}, not for `{filter}`; take another name, or edit it",
                match config.filter_subject.as_str() {
                    "" => "all subjects, or several".to_owned(),
                    other => format!("the subject `{other}`"),
                }
            )),
            _ => Ok(()),
        }
    }

    /// Whether it is still there, and as it was.
    pub(super) async fn is_there(&self) -> Result<(), Error> {
        match self.find(&self.stream().await?).await? {
            Some(config) => self.judge(&config),
            None => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        let Self { stream, name, .. } = self;
        Error::lasting(format!(
            "the consumer `{name}` of `{stream}` is gone; run it again to have it made anew"
        ))
    }
}

impl Broker for NatsConsumer {
    type Subscription = NatsSubscription;

    async fn subscribe(&self) -> Result<NatsSubscription, Error> {
        let stream = self.stream().await?;
        let config = match self.find(&stream).await? {
            Some(config) => config,
            None => {
                self.make(&stream).await?;
                // Another may have made it at the same moment, and otherwise.
                self.find(&stream).await?.ok_or_else(|| self.gone())?
            }
        };
        self.judge(&config)?;
        self.look_aside().await?;
        // Pauses of the server's own take the place of its wait.
        let patience = config.backoff.iter().min().copied().unwrap_or(config.ack_wait);
        NatsSubscription::new(self.clone(), patience, &config).await
    }
}

impl fmt::Debug for NatsConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConsumer")
            .field("stream", &self.stream)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
