//! What is finished, kept so that it is not done again.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use crate::{BoxError, MessageId};

/// Keeps which messages are finished, so that one which comes again is acknowledged and not
/// worked on. A [consumer](crate::Consumer::ledger) asks before the work and notes after it.
///
/// Between the end of the work and the note a process can die, so this makes duplicates rare
/// and not impossible. What must happen once is written in one transaction with the identity
/// of the message: see [`recipes`](crate::recipes).
pub trait Ledger: Send + Sync + 'static {
    /// Whether it is finished.
    ///
    /// # Errors
    ///
    /// If that cannot be known: the message is given back, as if its work had failed.
    fn is_done(&self, id: &MessageId) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// It is finished.
    ///
    /// # Errors
    ///
    /// If that cannot be noted: the message is given back, although its work was done.
    fn note(&self, id: &MessageId) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A ledger in memory that knows the last so many: for those that come again because an
/// acknowledgement was lost.
///
/// ```
/// use desist_queue::{Ledger, MessageId, Recent};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let ledger = Recent::new(2);
/// let [one, two, three] = ["one", "two", "three"].map(MessageId::from);
/// for id in [&one, &two, &three] {
///     ledger.note(id).await.unwrap();
/// }
/// assert!(ledger.is_done(&three).await.unwrap());
/// assert!(!ledger.is_done(&one).await.unwrap()); // too long ago
/// # }
/// ```
pub struct Recent {
    most: usize,
    known: Mutex<(HashSet<MessageId>, VecDeque<MessageId>)>,
}

impl Recent {
    /// Knows the last `most`, 100 bytes each.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }
}

impl Ledger for Recent {
    async fn is_done(&self, id: &MessageId) -> Result<bool, BoxError> {
        let (set, _) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(set.contains(id))
    }

    async fn note(&self, id: &MessageId) -> Result<(), BoxError> {
        let (set, order) = &mut *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if set.insert(id.clone()) {
            order.push_back(id.clone());
        }
        if order.len() > self.most {
            if let Some(oldest) = order.pop_front() {
                set.remove(&oldest);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("most", &self.most).finish_non_exhaustive()
    }
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// A ledger of any type.
pub(crate) trait AnyLedger: Send + Sync {
    fn is_done<'a>(&'a self, id: &'a MessageId) -> Later<'a, bool>;

    fn note<'a>(&'a self, id: &'a MessageId) -> Later<'a, ()>;
}

impl<L: Ledger> AnyLedger for L {
    fn is_done<'a>(&'a self, id: &'a MessageId) -> Later<'a, bool> {
        Box::pin(Ledger::is_done(self, id))
    }

    fn note<'a>(&'a self, id: &'a MessageId) -> Later<'a, ()> {
        Box::pin(Ledger::note(self, id))
    }
}
