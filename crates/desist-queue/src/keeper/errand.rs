//! What is said to the broker, each in a task of its own: the loop waits for none of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};

use super::Settings;
use super::hand::Hand;
use crate::broker::{Delivery, Subscription};
use crate::fate::Fate;
use crate::{Backoff, Error, MessageId, News};

/// A message that nobody has begun comes again anyhow; the broker is told for this long.
const GIVING_BACK: Duration = Duration::from_secs(2);
/// What is on its way has this long to come.
const CLOSING: Duration = Duration::from_secs(2);
/// So many times is tried to set a message aside.
const ASIDE: u64 = 10;
/// The pauses between two tries.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100)).longest(Duration::from_secs(5));

/// One that is over.
pub(crate) enum Errand<D> {
    /// `told`: of which delivery, if it was.
    Settled {
        place: MessageId,
        fate: Fate,
        told: Option<Arc<D>>,
        result: Result<(), Error>,
    },
    Kept {
        place: MessageId,
    },
    GivenBack {
        id: MessageId,
        result: Result<(), Error>,
    },
    Closed(Vec<D>),
}

pub(crate) struct Errands<D> {
    tasks: JoinSet<Errand<D>>,
    /// What each is about, in case that it panics.
    about: HashMap<Id, About>,
}

enum About {
    Settling { place: MessageId, fate: Fate },
    Keeping { place: MessageId },
    GivingBack { id: MessageId },
    Closing,
}

impl<D> Default for Errands<D> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), about: HashMap::new() }
    }
}

impl<D: Delivery> Errands<D> {
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Until the broker knows, or never will.
    pub(crate) fn settle(&mut self, hand: &Hand<D>, fate: Fate, settings: &Settings) {
        let (place, id) = (hand.message().place().clone(), hand.message().id().clone());
        let (newest, settings) = (hand.newest(), settings.clone());
        let about = About::Settling { place: place.clone(), fate: fate.clone() };
        self.send(about, async move {
            let mut tries = 0_u64;
            let (told, result) = loop {
                tries += 1;
                let delivery = newest.get();
                let error = match say(&*delivery, &fate).await {
                    Err(error) if error.is_passing() => error,
                    result => break (Some(delivery), result),
                };
                // Others must not wait for ever for what cannot be put anywhere.
                if matches!(fate, Fate::Aside { .. }) && tries >= ASIDE {
                    let _ = delivery.give_back(settings.backoff.after(u64::MAX)).await;
                    break (None, Err(error));
                }
                let after = PAUSES.after(tries);
                // Once is nothing: a connection that was lost is back by then. And not each
                // time of the many of a long night.
                if tries > 1 && tries.is_power_of_two() {
                    settings.tell(&News::Unheard { id: id.clone(), error, after });
                }
                tokio::time::sleep(after).await;
            };
            Errand::Settled { place, fate, told, result }
        });
    }

    /// Once: what is not heard is said again, a third of the broker's patience later.
    pub(crate) fn keep(&mut self, place: MessageId, delivery: Arc<D>) -> AbortHandle {
        let (about, patience) = (About::Keeping { place: place.clone() }, delivery.patience() / 3);
        self.send(about, async move {
            let _ = tokio::time::timeout(patience, delivery.keep()).await;
            Errand::Kept { place }
        })
    }

    /// One that nobody has begun.
    pub(crate) fn give_back(&mut self, delivery: Arc<D>) {
        let id = delivery.message().id().clone();
        self.send(About::GivingBack { id: id.clone() }, async move {
            let told = tokio::time::timeout(GIVING_BACK, delivery.give_back(Duration::ZERO)).await;
            let result = told.unwrap_or_else(|_| Err(Error::passing("it did not answer in time")));
            Errand::GivenBack { id, result }
        });
    }

    pub(crate) fn close<S: Subscription<Delivery = D>>(&mut self, subscription: S) {
        self.send(About::Closing, async move {
            let left = tokio::time::timeout(CLOSING, subscription.close()).await;
            Errand::Closed(left.unwrap_or_default())
        });
    }

    /// What is given back at this moment, and is waited for no longer.
    pub(crate) fn given_up(&mut self) -> impl Iterator<Item = MessageId> {
        self.about.drain().filter_map(|(_, about)| match about {
            About::GivingBack { id } => Some(id),
            About::Settling { .. } | About::Keeping { .. } | About::Closing => None,
        })
    }

    fn send(
        &mut self,
        about: About,
        errand: impl Future<Output = Errand<D>> + Send + 'static,
    ) -> AbortHandle {
        let task = self.tasks.spawn(errand);
        self.about.insert(task.id(), about);
        task
    }

    /// The next one that is over; `None` while there is none under way.
    pub(crate) async fn next(&mut self) -> Option<Errand<D>> {
        loop {
            let (task, errand) = match self.tasks.join_next_with_id().await? {
                Ok((task, errand)) => (task, Some(errand)),
                Err(error) => (error.id(), None),
            };
            let about = self.about.remove(&task);
            if errand.is_some() {
                return errand;
            }
            // It panicked: a bug of the broker's, of which no message must suffer. Or it was
            // no longer to be kept.
            let result = Err(Error::lasting("the broker panicked; see standard error"));
            match about {
                Some(About::Settling { place, fate }) => {
                    return Some(Errand::Settled { place, fate, told: None, result });
                }
                Some(About::Keeping { place }) => return Some(Errand::Kept { place }),
                Some(About::GivingBack { id }) => return Some(Errand::GivenBack { id, result }),
                Some(About::Closing) => return Some(Errand::Closed(Vec::new())),
                None => {}
            }
        }
    }
}

async fn say<D: Delivery>(delivery: &D, fate: &Fate) -> Result<(), Error> {
    match fate {
        Fate::Done | Fate::Known => delivery.done().await,
        Fate::GiveBack { after, .. } => delivery.give_back(*after).await,
        Fate::Aside { why } => delivery.set_aside(why).await,
    }
}
