//! Who works on what is in a queue.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use desist_tokio::Stop;

use crate::keeper::{self, Settings};
use crate::ledger::AnyLedger;
use crate::{Backoff, BoxError, Broker, Error, Ledger, Message, News, Report};

/// Works on the messages of a queue, so many at a time, until it is asked to stop.
///
/// How the work on a message ends decides what becomes of it:
///
/// | the work | the message |
/// |---|---|
/// | returns `Ok` | is acknowledged |
/// | fails, or panics | comes again after a pause, or is set aside when that was too often |
/// | fails with [`Aside`](crate::Aside) | is set aside at once |
/// | fails with [`RetryAfter`](crate::RetryAfter) | comes again after that time |
/// | ends without success when it was asked to stop | goes back at once, for somebody else |
///
/// ```
/// use desist_queue::testing::MemoryBroker;
/// use desist_queue::{Consumer, Message};
/// use desist_tokio::{Stop, StopSource, sleep};
/// use std::time::Duration;
///
/// async fn work(stop: Stop, message: Message) -> Result<(), desist::Cancelled> {
///     sleep(Duration::from_millis(message.payload().len() as u64), &stop).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let broker = MemoryBroker::new();
/// broker.publish("orders.new", "two boats");
/// broker.publish("orders.new", "a sail");
/// let stop = StopSource::new();
/// let consumer = Consumer::new(broker.clone()).concurrency(8);
/// let (report, ()) = tokio::join!(consumer.run(&stop.stop(), work), async {
///     broker.until_empty().await;
///     stop.drain();
/// });
/// assert_eq!(report.unwrap().done(), 2);
/// # }
/// ```
#[must_use = "it works on nothing until it runs"]
pub struct Consumer<B> {
    broker: Arc<B>,
    settings: Settings,
}

impl<B: Broker> Consumer<B> {
    /// Of this queue, as it is made: ten messages at a time, ten deliveries at most.
    pub fn new(broker: B) -> Self {
        Self { broker: Arc::new(broker), settings: Settings::default() }
    }

    /// How many messages are in hand at most, whether worked on or about to be acknowledged.
    /// Zero is one.
    pub fn concurrency(mut self, most: usize) -> Self {
        self.settings.concurrency = most.max(1);
        self
    }

    /// After so many deliveries a message that fails is set aside; after more than twice as
    /// many it is not tried any more, for then nobody lived to say that it failed. Zero is
    /// one.
    pub fn max_deliveries(mut self, most: u64) -> Self {
        self.settings.max_deliveries = most.max(1);
        self
    }

    /// The pauses after which messages that failed come again.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// How long the work on one message may take before it is asked to stop, with
    /// `Reason::Deadline`; then it has failed. Nothing said: as long as it takes.
    pub fn work_timeout(mut self, limit: Duration) -> Self {
        self.settings.work_timeout = Some(limit);
        self
    }

    /// How long the messages in hand may take to be finished when it is asked to drain; 10 s,
    /// if nothing is said. Then they are asked to stop.
    pub fn drain_for(mut self, time: Duration) -> Self {
        self.settings.drain_for = time;
        self
    }

    /// How long work may take to stop when it was asked to; 5 s, if nothing is said. Then it
    /// is dropped.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Where it is kept which messages are finished. Nothing said: nowhere.
    ///
    /// ```
    /// use desist_queue::testing::MemoryBroker;
    /// use desist_queue::{Consumer, Recent};
    ///
    /// let consumer = Consumer::new(MemoryBroker::new()).ledger(Recent::new(10_000));
    /// # let _ = consumer;
    /// ```
    pub fn ledger(mut self, ledger: impl Ledger) -> Self {
        self.settings.ledger = Some(Arc::new(ledger) as Arc<dyn AnyLedger>);
        self
    }

    /// Is told what goes wrong. It is called where messages are given out, so it should not
    /// block.
    ///
    /// ```
    /// use desist_queue::Consumer;
    /// use desist_queue::testing::MemoryBroker;
    ///
    /// let consumer = Consumer::new(MemoryBroker::new()).on_news(|news| eprintln!("orders: {news}"));
    /// # let _ = consumer;
    /// ```
    pub fn on_news(mut self, listener: impl Fn(&News) + Send + Sync + 'static) -> Self {
        self.settings.listener = Some(Arc::new(listener));
        self
    }

    /// Runs until it is asked to stop; it borrows nothing, so it can be spawned. Each message is worked on in a task of its own, which
    /// has a [`Stop`] below this one.
    ///
    /// Asked to drain, it takes no new message, gives back what was on its way, and lets the
    /// work in hand come to its end for [`drain_for`](Self::drain_for); then, or when it is
    /// asked to stop, the work is asked to stop, and dropped after [`grace`](Self::grace).
    /// A broker that is away is asked again until it is back.
    ///
    /// # Errors
    ///
    /// If what it should pull from is not there, or not any more. Then, too, the work in hand
    /// comes to its end first; what was done is in the [report](Error::report).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it drops the work where it stands, and the messages in hand come again when
    /// the broker has lost its patience. Ask it to stop instead.
    pub fn run<W, F, O>(
        &self,
        stop: &Stop,
        work: W,
    ) -> impl Future<Output = Result<Report, Error>> + Send + 'static + use<B, W, F, O>
    where
        W: Fn(Stop, Message) -> F + Send + Sync + 'static,
        F: Future<Output = O> + Send + 'static,
        O: WorkOutput,
    {
        let stop = stop.clone();
        let work = Arc::new(move |stop, message| {
            let work = work(stop, message);
            async move { work.await.into_result() }
        });
        keeper::run(Arc::clone(&self.broker), self.settings.clone(), stop, work)
    }
}

impl<B> fmt::Debug for Consumer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What work may return: nothing, or a `Result` whose error is any error.
#[diagnostic::on_unimplemented(
    message = "work on a message cannot return `{Self}`",
    note = "it may return `()`, or `Result<(), E>` with an error that is `Send + Sync`"
)]
pub trait WorkOutput: sealed::Sealed + Send {}

impl WorkOutput for () {}

impl<E: Into<BoxError> + Send> WorkOutput for Result<(), E> {}

mod sealed {
    use crate::BoxError;

    pub trait Sealed {
        fn into_result(self) -> Result<(), BoxError>;
    }

    impl Sealed for () {
        fn into_result(self) -> Result<(), BoxError> {
            Ok(())
        }
    }

    impl<E: Into<BoxError>> Sealed for Result<(), E> {
        fn into_result(self) -> Result<(), BoxError> {
            self.map_err(Into::into)
        }
    }
}
