//! Where the server sends what it is asked for, and how that is left without a loss.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::Error;

/// What is on its way has this long to come.
const ON_ITS_WAY: Duration = Duration::from_millis(800);
/// When none has come for so long, none is taken to be on its way.
const QUIET: Duration = Duration::from_millis(100);

pub(super) struct Inbox {
    client: Client,
    name: String,
    messages: Subscriber,
    /// How many have come, of whatever kind.
    received: u64,
}

impl Inbox {
    pub(super) async fn open(client: Client) -> Result<Self, Error> {
        let name = client.new_inbox();
        match client.subscribe(name.clone()).await {
            Ok(messages) => Ok(Self { client, name, messages, received: 0 }),
            Err(error) => Err(closed().because(error)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The next that comes; none, if the connection is closed for good. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let message = self.messages.next().await?;
        self.received += 1;
        Some(message)
    }

    /// First what was asked for is let come to its end, as long as messages come: what the
    /// server sends in the moment in which it hears that nobody listens is lost on it until
    /// its patience is over. When it is quiet it is told to send so many more, whatever they
    /// are, and is sent as many: so all that it sent before it knew arrive, and nothing after
    /// that.
    pub(super) async fn leave(mut self, asked: usize) -> Vec<Message> {
        let mut came = Vec::new();
        let end = Instant::now() + ON_ITS_WAY;
        let mut quiet = Instant::now() + QUIET;
        let mut rest = asked;
        while rest > 0 {
            let Ok(Some(message)) = timeout_at(end.min(quiet), self.next()).await else { break };
            // It says of itself that it is none: it does not count.
            if message.status.is_none() {
                quiet = Instant::now() + QUIET;
                rest -= 1;
            }
            came.push(message);
        }
        if rest > 0 {
            let _ = timeout_at(end + QUIET, self.fill(rest, &mut came)).await;
        }
        came
    }

    async fn fill(&mut self, asked: usize, came: &mut Vec<Message>) {
        // No more are on their way than were asked for; the rest is for heartbeats.
        let most = self.received + asked as u64 + 16;
        if self.messages.unsubscribe_after(most).await.is_err() {
            return;
        }
        for _ in self.received..most {
            if self.client.publish(self.name.clone(), Bytes::new()).await.is_err() {
                return;
            }
        }
        while let Some(message) = self.next().await {
            came.push(message);
        }
    }
}

pub(super) fn closed() -> Error {
    Error::lasting("the connection is closed; make a new one")
}
