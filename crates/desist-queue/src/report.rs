//! What a consumer did.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::MessageId;

/// What a consumer did until it had stopped. Its `Display` is a line to log; it is an error
/// for who cares that something was left, [`into_result`](Self::into_result).
///
/// ```
/// use desist_queue::Consumer;
/// use desist_queue::testing::MemoryBroker;
/// use desist_tokio::StopSource;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let stop = StopSource::new();
/// stop.drain();
/// let consumer = Consumer::new(MemoryBroker::new());
/// let report = consumer.run(&stop.stop(), |_stop, _message| async {}).await.unwrap();
/// assert_eq!(report.to_string(), "0 messages done");
/// assert!(report.is_clean());
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) delivered: u64,
    pub(crate) done: u64,
    pub(crate) known: u64,
    pub(crate) failed: u64,
    pub(crate) set_aside: u64,
    pub(crate) given_back: u64,
    pub(crate) again: u64,
    pub(crate) unsettled: u64,
    pub(crate) left: Vec<Left>,
}

impl Report {
    /// How many deliveries have come.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many messages were worked on with success, and acknowledged.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// How many were known to be finished by the [ledger](crate::Ledger), and acknowledged
    /// without work.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.known
    }

    /// How many times work failed, and the message was to come again.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many messages were set aside.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.set_aside
    }

    /// How many were given back because the consumer was to stop, worked on or not, or had come
    /// although they were not wanted.
    #[must_use]
    pub fn given_back(&self) -> u64 {
        self.given_back
    }

    /// How many deliveries were of a message that was in hand already. They were not worked
    /// on a second time.
    #[must_use]
    pub fn again(&self) -> u64 {
        self.again
    }

    /// How many times the broker could not be told what became of a message. It delivers
    /// them again.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.unsettled
    }

    /// Whose work did not stop even when it was dropped: it holds up a thread. The broker
    /// delivers their messages again when it has lost its patience.
    #[must_use]
    pub fn left(&self) -> &[Left] {
        &self.left
    }

    /// Whether the broker knows what became of every message, and nothing is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unsettled == 0 && self.left.is_empty()
    }

    /// Itself, as an error unless it is clean.
    ///
    /// # Errors
    ///
    /// If something was left, or the broker not told.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.is_clean() { Ok(self) } else { Err(self) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |count| if count == 1 { "" } else { "s" };
        write!(f, "{} message{} done", self.done, one(self.done))?;
        let rest = [
            (self.known, "known to be done already"),
            (self.failed, "failed and to come again"),
            (self.set_aside, "set aside"),
            (self.given_back, "given back"),
            (self.again, "delivered while in hand"),
            (self.unsettled, "of which the broker was not told"),
        ];
        for (count, what) in rest.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        for left in &self.left {
            write!(
                f,
                "; message {} still runs, {:.1?} after it was asked to stop",
                left.id, left.asked
            )?;
        }
        Ok(())
    }
}

impl Error for Report {}

/// A message whose work does not stop.
#[derive(Debug, Clone)]
pub struct Left {
    pub(crate) id: MessageId,
    pub(crate) asked: Duration,
}

impl Left {
    /// Which message.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// How long ago it was asked to stop.
    #[must_use]
    pub fn asked(&self) -> Duration {
        self.asked
    }
}
