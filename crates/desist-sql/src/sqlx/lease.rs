//! Who has a connection of the pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::sqlx::pool::PoolConnection;
use ::sqlx::{PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::pool::Shared;
use super::probe::Backend;
use super::{DATABASE, settle};
use crate::counted::{self, Counted};

/// A connection, and that it is closed unless it is released.
#[derive(Debug)]
pub(super) struct Owned {
    /// `None`: it is gone.
    conn: Option<PoolConnection<Postgres>>,
    /// `None`: not known yet.
    pub(super) backend: Option<Backend>,
    /// The statement that sets back what was set for its lease.
    pub(super) sets_back: Option<String>,
    /// How long the first answer took.
    pub(super) trip: Duration,
    pub(super) shared: Arc<Shared>,
    runtime: Handle,
    /// Until its place is free, for whoever waits for that is counted then.
    in_use: Option<Counted>,
}

impl Owned {
    /// Within the runtime that is to drive its owner.
    pub(super) fn new(conn: PoolConnection<Postgres>, shared: Arc<Shared>) -> Self {
        let runtime = Handle::current();
        let in_use = Some(counted::in_use(DATABASE));
        Self {
            conn: Some(conn),
            backend: None,
            sets_back: None,
            trip: Duration::ZERO,
            shared,
            runtime,
            in_use,
        }
    }

    pub(super) fn conn(&self) -> &PgConnection {
        self.conn.as_ref().expect("it is not gone before its owner")
    }

    pub(super) fn conn_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("it is not gone before its owner")
    }

    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Gives it back to the pool. The probe has said that it may.
    ///
    /// sqlx looks whether it is alive before it takes it, and asks the pool's `after_release`:
    /// without a bound, so that a peer that is silent by then would have its place for ever.
    pub(super) async fn release(mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        self.in_use = None;
        // It has the connection, and its place, from now on.
        let back = conn.return_to_pool();
        drop(conn);
        let mut back = std::pin::pin!(back);
        if timeout(self.shared.settings.clean_within, &mut back).await.is_err() {
            // What that hook may have asked for.
            settle::terminate(&self.shared, self.backend).await;
            counted::discarded(DATABASE);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            // sqlx may spawn here, and this may be any thread.
            let _runtime = self.runtime.enter();
            counted::discarded(DATABASE);
            self.in_use = None;
            drop(conn.detach());
        }
    }
}

/// Where a handle leaves its connection.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Place>);

#[derive(Debug)]
enum Place {
    /// The handle has it.
    Out,
    Back(Box<Owned>),
    /// The handle was smuggled out, and its backend is being terminated. What comes back in
    /// between is closed after that: behind a pooler its backend would be a stranger's.
    Ends(Option<Box<Owned>>),
    /// The lease is over.
    Over,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By a handle that is dropped.
    pub(super) fn give_back(&self, owned: Box<Owned>) {
        let mut place = self.lock();
        match &mut *place {
            Place::Out => *place = Place::Back(owned),
            Place::Ends(late) => *late = Some(owned),
            Place::Back(_) | Place::Over => {
                // Closed, outside of the lock.
                drop(place);
                drop(owned);
            }
        }
    }

    fn over(&self) -> Option<Box<Owned>> {
        match std::mem::replace(&mut *self.lock(), Place::Over) {
            Place::Back(owned) | Place::Ends(Some(owned)) => Some(owned),
            Place::Out | Place::Ends(None) | Place::Over => None,
        }
    }
}

/// A connection that works for a closure, or is about to. Dropped it is stopped.
#[derive(Debug)]
pub(super) struct Lease {
    slot: Arc<Slot>,
    backend: Option<Backend>,
    shared: Arc<Shared>,
    runtime: Handle,
    is_over: bool,
}

impl Lease {
    pub(super) fn new(owned: Owned) -> Self {
        let (backend, shared) = (owned.backend, Arc::clone(&owned.shared));
        let runtime = owned.runtime.clone();
        let slot = Arc::new(Slot(Mutex::new(Place::Back(Box::new(owned)))));
        Self { slot, backend, shared, runtime, is_over: false }
    }

    /// The connection, for a handle.
    pub(super) fn hand_out(&self) -> Option<(Box<Owned>, Arc<Slot>)> {
        match std::mem::replace(&mut *self.slot.lock(), Place::Out) {
            Place::Back(owned) => Some((owned, Arc::clone(&self.slot))),
            Place::Out | Place::Ends(_) | Place::Over => None,
        }
    }

    /// The connection, from the handle, which has been dropped; `None`: it has not, and is to
    /// be [of no use](Self::terminate) any more.
    pub(super) fn end(&mut self) -> Option<Box<Owned>> {
        self.is_over = true;
        let mut place = self.slot.lock();
        if matches!(*place, Place::Out) {
            *place = Place::Ends(None);
            return None;
        }
        drop(place);
        self.slot.over()
    }

    /// Makes it of no use, and closes it if it has come back by then.
    pub(super) fn terminate(&self) -> impl Future<Output = ()> + use<> {
        let (shared, backend, slot) =
            (Arc::clone(&self.shared), self.backend, Arc::clone(&self.slot));
        async move {
            settle::terminate(&shared, backend).await;
            drop(slot.over());
        }
    }

    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        counted::cancelled(DATABASE);
        match self.end() {
            Some(owned) => self.runtime.spawn(settle::finish(owned, settle::Left::Midway, || ())),
            None => self.runtime.spawn(self.terminate()),
        };
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::Arc;

    use crate::server_of_tests::sqlx::{builder, server};
    use crate::sqlx::begin::{Kind, begin};
    use crate::sqlx::handle::Conn;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_handle_that_comes_late_is_closed_after_its_backend_was_terminated() {
        let Some(server) = server() else { return };
        let pool = builder(server, "late", 1).build();
        let mut lease =
            begin(Arc::clone(&pool.0), Kind::Plain, desist::Token::never()).await.unwrap();
        let conn = Conn::new(lease.hand_out().unwrap());
        let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {}", conn.pid());
        assert!(lease.end().is_none());
        let terminated = lease.terminate();
        drop(conn);
        // Nobody else may be given its backend yet.
        assert_eq!((pool.get_ref().size(), server.psql(&gone)), (1, "1".into()));
        terminated.await;
        assert_eq!((pool.get_ref().size(), server.psql(&gone)), (0, "0".into()));
    }
}
