//! A message in hand.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use desist::Reason;
use desist_tokio::{Stop, StopSource};
use tokio::task::{AbortHandle, JoinError};
use tokio::time::Instant;

use super::time::later;
use crate::broker::Delivery;
use crate::fate::End;
use crate::message::Message;

/// The newest delivery of a message: whoever speaks of it to the broker speaks of that one.
pub(crate) struct Newest<D>(Arc<Mutex<Arc<D>>>);

impl<D> Newest<D> {
    pub(crate) fn get(&self) -> Arc<D> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, delivery: Arc<D>) {
        let old = {
            let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *newest, delivery)
        };
        drop(old);
    }
}

impl<D> Clone for Newest<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A broker without any patience is told no more often than this.
const KEEP_PAUSE: Duration = Duration::from_millis(1);

pub(crate) struct Hand<D> {
    newest: Newest<D>,
    message: Message,
    source: StopSource,
    stage: Stage,
    /// When its own time is over, and how long it has then.
    limit: Option<Instant>,
    grace: Duration,
    /// Whether it was asked because of that.
    asked: bool,
    /// When the broker is to be told that it is alive; not while it is being told.
    keep_at: Option<Instant>,
    /// When it was, or when it delivered this.
    told: Instant,
    telling: Option<AbortHandle>,
    patience: Duration,
}

enum Stage {
    Works(AbortHandle),
    /// It was asked in vain, for so long.
    Dropped(Duration),
    /// The broker is told what becomes of it.
    Settles,
}

impl<D: Delivery> Hand<D> {
    pub(crate) fn new(
        delivery: Arc<D>,
        source: StopSource,
        limit: Option<Duration>,
        grace: Duration,
    ) -> Self {
        let (message, patience) = (delivery.message().clone(), delivery.patience());
        let now = Instant::now();
        let limit = limit.and_then(|limit| {
            source.cancel_after(limit);
            later(now, limit)
        });
        let mut hand = Self {
            newest: Newest(Arc::new(Mutex::new(delivery))),
            message,
            source,
            stage: Stage::Settles,
            limit,
            grace,
            asked: false,
            keep_at: None,
            told: now,
            telling: None,
            patience,
        };
        hand.kept();
        hand
    }

    pub(crate) fn message(&self) -> &Message {
        &self.message
    }

    pub(crate) fn newest(&self) -> Newest<D> {
        self.newest.clone()
    }

    pub(crate) fn stop(&self) -> Stop {
        self.source.stop()
    }

    pub(crate) fn works(&mut self, task: AbortHandle) {
        self.stage = Stage::Works(task);
    }

    /// Nobody works on it any more; whether it is still kept from coming again.
    pub(crate) fn settles(&mut self, is_kept: bool) {
        self.stage = Stage::Settles;
        if !is_kept {
            self.keep_at = None;
            self.patience = Duration::MAX;
            // Heard after it was given back, it would hold it up.
            self.hush();
        }
    }

    /// It has come again while it is in hand.
    pub(crate) fn renew(&mut self, delivery: Arc<D>) {
        self.message = delivery.message().clone();
        self.newest.set(delivery);
    }

    /// The broker is being told that it is alive.
    pub(crate) fn keeps(&mut self, telling: AbortHandle) {
        self.telling = Some(telling);
    }

    /// The broker has heard of it, or could not be told: it took a third of its patience not
    /// to answer.
    pub(crate) fn kept(&mut self) {
        self.telling = None;
        self.keep_at = later(self.told, (self.patience / 3).max(KEEP_PAUSE));
    }

    /// Whether the broker is to be told now that it is alive. Then it is being told.
    pub(crate) fn is_to_be_kept(&mut self, now: Instant) -> bool {
        let due = self.keep_at.is_some_and(|at| at <= now);
        if due {
            self.keep_at = None;
            self.told = now;
        }
        due
    }

    /// Asks its work to stop when its own time is over. When it has not in its grace, or all
    /// are to be dropped, it is, once: then this says how long it had been asked.
    pub(crate) fn is_dropped(&mut self, now: Instant, all: Option<Duration>) -> Option<Duration> {
        let Stage::Works(task) = &self.stage else { return None };
        let own = self.limit.filter(|limit| *limit <= now).map(|limit| {
            // On a clock that is not tokio's it may be that nobody else has.
            self.source.cancel_with(Reason::Deadline);
            self.asked = true;
            now - limit
        });
        let asked = all.or_else(|| own.filter(|asked| *asked >= self.grace))?;
        task.abort();
        self.stage = Stage::Dropped(asked);
        Some(asked)
    }

    /// Whether it was asked to stop because its own time was over.
    pub(crate) fn is_late(&self) -> bool {
        self.asked
    }

    /// If its work has not ended even now, how long ago it was asked.
    pub(crate) fn still_runs(&self, asked: Duration) -> Option<Duration> {
        match self.stage {
            Stage::Works(_) => Some(asked),
            Stage::Dropped(when_dropped) => Some(asked.max(when_dropped)),
            Stage::Settles => None,
        }
    }

    /// When something of this comes next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let limit = match &self.stage {
            Stage::Works(_) if !self.asked => self.limit,
            Stage::Works(_) => self.limit.and_then(|limit| later(limit, self.grace)),
            Stage::Dropped(_) | Stage::Settles => None,
        };
        limit.into_iter().chain(self.keep_at).min()
    }
}

impl<D> Hand<D> {
    /// The broker need not hear that it is alive.
    fn hush(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.abort();
        }
    }
}

impl<D> Drop for Hand<D> {
    /// Nobody waits for the broker to hear that it was alive.
    fn drop(&mut self) {
        self.hush();
    }
}

/// What a panic came with may panic when it is dropped, and so may what it panics with.
pub(super) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

/// Of a task that did not return.
pub(crate) fn end_of(error: JoinError) -> End {
    match error.try_into_panic() {
        Ok(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            discard(panic);
            End::Panicked(said.unwrap_or_else(|| "with something that is no text".to_owned()))
        }
        Err(_) => End::Dropped,
    }
}
