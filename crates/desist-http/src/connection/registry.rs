//! The connections of a server.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use slab::Slab;
use tokio::sync::Notify;

use super::{Connection, Listed, lock};
use crate::layer::Server;
use crate::request::Request;

/// All connections of a server.
#[derive(Default)]
pub(crate) struct Registry {
    connections: Mutex<Slab<Weak<Connection>>>,
    changed: Notify,
}

/// What is left on a connection, or runs there.
pub(crate) struct Left {
    /// Who is at its other end, if that can be said.
    pub(crate) peer: Option<String>,
    pub(crate) requests: Vec<Arc<Request>>,
}

impl Registry {
    pub(crate) fn connect(
        self: &Arc<Self>,
        server: Arc<Server>,
        peer: impl fmt::Debug + Send + 'static,
    ) -> Arc<Connection> {
        let mut connections = lock(&self.connections);
        let entry = connections.vacant_entry();
        let listed = Listed::new(entry.key(), Arc::clone(self), Box::new(peer));
        let connection = Arc::new(Connection { server, listed: Some(listed) });
        entry.insert(Arc::downgrade(&connection));
        connection
    }

    pub(super) fn remove(&self, place: usize) {
        let mut connections = lock(&self.connections);
        let removed = connections.try_remove(place);
        let is_empty = connections.is_empty();
        drop(connections);
        drop(removed);
        if is_empty {
            self.changed.notify_waiters();
        }
    }

    pub(crate) async fn until_empty(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // It listens before it looks.
            changed.as_mut().enable();
            if lock(&self.connections).is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn left(&self) -> Vec<Left> {
        self.open().iter().map(Left::on).collect()
    }

    /// The same of those connections on which something runs; of the others there may be
    /// many, and none is looked at any closer.
    pub(crate) fn busy(&self) -> Vec<Left> {
        self.open().iter().filter(|open| open.count() > 0).map(Left::on).collect()
    }

    /// How many requests run.
    pub(crate) fn count(&self) -> usize {
        self.open().iter().map(|open| open.count()).sum()
    }

    /// How many of them go on without their clients.
    pub(crate) fn count_rescued(&self) -> usize {
        let open = self.open();
        let busy = open.iter().filter(|open| open.count() > 0);
        let requests = busy.flat_map(|open| open.running());
        requests.filter(|request| request.is.rescued.is_set()).count()
    }

    /// Not under the lock whatever is done with them: it may be the last that has one.
    fn open(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).iter().filter_map(|(_, open)| open.upgrade()).collect()
    }
}

impl Left {
    fn on(connection: &Arc<Connection>) -> Self {
        Self { peer: connection.peer(), requests: connection.running() }
    }
}
