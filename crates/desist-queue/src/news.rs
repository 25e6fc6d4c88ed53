//! What goes wrong, as it is told to whoever wants to know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::chain;
use crate::{Error, MessageId};

pub(crate) type Listener = Arc<dyn Fn(&News) + Send + Sync>;

/// What happened to a consumer or to a message. Its `Display` is a line to log.
///
/// ```
/// use desist_queue::testing::MemoryBroker;
/// use desist_queue::{Aside, Consumer, Message};
/// use desist_tokio::{Stop, StopSource};
/// use std::sync::{Arc, Mutex};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let broker = MemoryBroker::new();
/// broker.publish("orders.new", "nonsense");
/// let said = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&said);
/// let consumer = Consumer::new(broker.clone())
///     .on_news(move |news| log.lock().unwrap().push(news.to_string()));
/// let stop = StopSource::new();
/// let refuses = |_stop: Stop, _message: Message| async { Err(Aside::new("no such boat")) };
/// let (report, ()) = tokio::join!(consumer.run(&stop.stop(), refuses), async {
///     broker.until_empty().await;
///     stop.drain();
/// });
/// assert_eq!(report.unwrap().set_aside(), 1);
/// assert_eq!(*said.lock().unwrap(), ["message memory:1 is set aside: no such boat"]);
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum News {
    /// The work on a message failed, and it comes again.
    #[non_exhaustive]
    Failed {
        /// Which.
        id: MessageId,
        /// Delivered for the how-manieth time.
        deliveries: u64,
        /// With what, and all that is behind it.
        why: String,
        /// When it comes again.
        after: Duration,
    },
    /// A message is set aside.
    #[non_exhaustive]
    SetAside {
        /// Which.
        id: MessageId,
        /// What it failed with, and all that is behind that.
        why: String,
    },
    /// A message has not stopped in its time; its work is dropped.
    #[non_exhaustive]
    Dropped {
        /// Which.
        id: MessageId,
        /// How long ago it was asked.
        asked: Duration,
    },
    /// The broker cannot be told what is to become of a message, and is told again.
    #[non_exhaustive]
    Unheard {
        /// Which.
        id: MessageId,
        /// Why not.
        error: Error,
        /// When it is told again.
        after: Duration,
    },
    /// What is to become of a message could not be said to the broker, which will deliver it
    /// again.
    #[non_exhaustive]
    Unsettled {
        /// Which.
        id: MessageId,
        /// Why not.
        error: Error,
    },
    /// The broker does not do what it is asked for, and is asked again.
    #[non_exhaustive]
    Trouble {
        /// Why.
        error: Error,
        /// When it is asked again.
        after: Duration,
    },
    /// The broker is back.
    Recovered,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { id, deliveries, why, after } => write!(
                f,
                "message {id} failed at delivery {deliveries}, and comes again in {after:.1?}: {why}"
            ),
            Self::SetAside { id, why } => write!(f, "message {id} is set aside: {why}"),
            Self::Dropped { id, asked } => {
                write!(f, "message {id} did not stop, and is dropped; it was asked {asked:.1?} ago")
            }
            Self::Unheard { id, error, after } => write!(
                f,
                "the broker is told again in {after:.1?} what becomes of message {id}: {}",
                chain(error)
            ),
            Self::Unsettled { id, error } => {
                write!(
                    f,
                    "message {id} will come again, for the broker was not told: {}",
                    chain(error)
                )
            }
            Self::Trouble { error, after } => {
                write!(
                    f,
                    "trouble with the broker, which is asked again in {after:.1?}: {}",
                    chain(error)
                )
            }
            Self::Recovered => f.write_str("the broker is back"),
        }
    }
}
