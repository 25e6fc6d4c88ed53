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

/// What is left on a connection.
pub(crate) struct Left {
    pub(crate) peer: String,
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
        let open: Vec<_> =
            lock(&self.connections).iter().filter_map(|(_, open)| open.upgrade()).collect();
        let left = open.iter().filter_map(|connection| {
            Some(Left { peer: connection.peer()?, requests: connection.running() })
        });
        left.collect()
    }
}
