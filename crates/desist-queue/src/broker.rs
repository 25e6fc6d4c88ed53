//! What a queue must be able to do.

use std::future::Future;
use std::time::Duration;

use crate::{Error, Message};

/// A queue that consumers can be made for. [`Nats`](crate::Nats) is one (feature `nats`), and
/// [`MemoryBroker`](crate::testing::MemoryBroker) for tests (feature `testing`).
///
/// A broker delivers a message, and delivers it again if it hears nothing of it for its
/// [patience](Delivery::patience): at least once, therefore. All that is decided about a
/// message is decided in [`Consumer`](crate::Consumer), so a broker is not much more than
/// four verbs.
pub trait Broker: Send + Sync + 'static {
    /// What a consumer pulls from.
    type Subscription: Subscription;

    /// Looks whether what it names is there, and subscribes to it.
    ///
    /// # Errors
    ///
    /// [Passing](Error::is_passing) if it may succeed later, else why it never will.
    fn subscribe(&self) -> impl Future<Output = Result<Self::Subscription, Error>> + Send;
}

/// From where one consumer pulls.
pub trait Subscription: Send + 'static {
    /// A message that has come.
    type Delivery: Delivery;

    /// That so many more can be taken. No more come than were wanted, or only the few that
    /// were on their way when a connection was lost.
    fn want(&mut self, more: usize);

    /// The next one, as soon as there is one.
    ///
    /// # Errors
    ///
    /// [Passing](Error::is_passing) ones are followed by another call, after a pause.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has lost no message.
    fn next(&mut self) -> impl Future<Output = Result<Self::Delivery, Error>> + Send;

    /// Nothing more is wanted: gives what is on its way, to be given back. It takes a moment,
    /// not the time until a message comes.
    fn close(self) -> impl Future<Output = Vec<Self::Delivery>> + Send;
}

/// A message in hand, and the four things that can be said of it. Each comes back when the
/// broker knows, is passing if it may be tried again, and can be said twice.
pub trait Delivery: Send + Sync + 'static {
    /// What was delivered.
    fn message(&self) -> &Message;

    /// How long the broker waits for a word of it before it delivers it again.
    fn patience(&self) -> Duration;

    /// It is finished: it never comes again.
    ///
    /// # Errors
    ///
    /// If the broker does not know that.
    fn done(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Somebody else may have it, after this time.
    ///
    /// # Errors
    ///
    /// If the broker was not told.
    fn give_back(&self, after: Duration) -> impl Future<Output = Result<(), Error>> + Send;

    /// It is still being worked on.
    ///
    /// # Errors
    ///
    /// If the broker was not told.
    fn keep(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// It is put where nobody works on it, with the reason, and only then taken out of the
    /// queue.
    ///
    /// # Errors
    ///
    /// If it is not there, or still in the queue.
    fn set_aside(&self, why: &str) -> impl Future<Output = Result<(), Error>> + Send;
}
