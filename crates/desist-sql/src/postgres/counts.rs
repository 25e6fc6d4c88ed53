//! How many connections are in use, and whoever waits until none is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::pool::Shared;
use crate::counted::{self, Counted};

/// As the counters have it.
pub(super) const DATABASE: &str = "postgres";

#[derive(Default)]
pub(super) struct Counts {
    /// And whoever is about to have one: a connection that is being made is nobody's yet.
    leases: AtomicUsize,
    none: Notify,
}

/// A connection is out of the pool, or asked for, until this is dropped: then it is back, or
/// gone for good.
pub(super) struct Out {
    shared: Arc<Shared>,
    /// `None`: it is only asked for, or about to be back.
    in_use: Option<Counted>,
}

impl Out {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        // Ordering: it only counts; who waits for none is told when one is dropped.
        shared.counts.leases.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), in_use: None }
    }

    pub(super) fn has_it(&mut self) {
        self.in_use = Some(counted::in_use(DATABASE));
    }

    /// Before it is back, for whoever waits for its place is counted then.
    pub(super) fn gives_it_back(&mut self) {
        self.in_use = None;
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // Whoever waits for none finds that none is counted.
        self.in_use = None;
        let counts = &self.shared.counts;
        // Ordering: Release, with the Acquire in `leases`.
        if counts.leases.fetch_sub(1, Ordering::Release) == 1 {
            counts.none.notify_waiters();
        }
    }
}

impl Counts {
    pub(super) fn leases(&self) -> usize {
        // Ordering: Acquire, with the Release where one is dropped.
        self.leases.load(Ordering::Acquire)
    }

    pub(super) async fn none_leased(&self) {
        loop {
            let none = self.none.notified();
            if self.leases() == 0 {
                return;
            }
            none.await;
        }
    }
}
