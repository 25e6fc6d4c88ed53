//! Places, and the queue for them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::Connection;

#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    longest: AtomicUsize,
    most: usize,
}

/// One of them, until this is dropped.
pub(super) struct Place {
    _free: OwnedSemaphorePermit,
    _of_connection: Option<OfConnection>,
}

/// One of those that a connection may have of these, until this is dropped.
pub(super) struct OfConnection {
    connection: Arc<Connection>,
    places: Arc<Places>,
}

/// One in the queue.
pub(super) struct Waiting {
    comes: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>,
    of_connection: Option<OfConnection>,
    places: Arc<Places>,
}

/// What somebody finds that comes.
pub(super) enum Found {
    Place(Place),
    Queue(Waiting),
    Nothing,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        // More than there is memory for.
        let most = most.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self { free, waiting: AtomicUsize::new(0), longest: AtomicUsize::new(0), most }
    }

    pub(super) fn running(&self) -> usize {
        self.most.saturating_sub(self.free.available_permits())
    }

    pub(super) fn set_queue(&self, length: usize) {
        // Ordering: whoever comes finds the one or the other.
        self.longest.store(length, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> usize {
        // Ordering: it only counts.
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn find(self: &Arc<Self>, of_connection: Option<OfConnection>) -> Found {
        if let Ok(free) = Arc::clone(&self.free).try_acquire_owned() {
            return Found::Place(Place { _free: free, _of_connection: of_connection });
        }
        // Ordering: as in `set_queue`.
        let longest = self.longest.load(Ordering::Relaxed);
        // Ordering: as in `waiting`.
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= longest {
            // Ordering: as in `waiting`.
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Found::Nothing;
        }
        let comes = Arc::clone(&self.free).acquire_owned();
        let comes = Box::pin(async { comes.await.ok() });
        Found::Queue(Waiting { comes, of_connection, places: Arc::clone(self) })
    }
}

impl Waiting {
    pub(super) fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<Option<Place>> {
        self.comes
            .as_mut()
            .poll(cx)
            .map(|free| Some(Place { _free: free?, _of_connection: self.of_connection.take() }))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Ordering: as in `Places::waiting`.
        self.places.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OfConnection {
    /// Of a connection that is known, which may have so many; `None`: it has them.
    pub(super) fn one_of(
        connection: &Arc<Connection>,
        places: &Arc<Places>,
        most: usize,
    ) -> Option<Option<Self>> {
        match connection.admit(address(places), most) {
            None => Some(None),
            Some(false) => None,
            Some(true) => {
                Some(Some(Self { connection: Arc::clone(connection), places: Arc::clone(places) }))
            }
        }
    }
}

impl Drop for OfConnection {
    fn drop(&mut self) {
        self.connection.leave(address(&self.places));
    }
}

/// What tells those of one layer from those of another, as long as somebody has them.
fn address(places: &Arc<Places>) -> usize {
    Arc::as_ptr(places).addr()
}
