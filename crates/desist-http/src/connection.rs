//! Connections, and the requests that run on each.
//!
//! A request is on the list of its connection from its begin to its end: until its
//! response's body has ended, or the handler that outlived its client has. So whoever
//! sees the client go tells those that run, and no others; a connection that is closed
//! after a request has ended is no news to it. A report of what still runs reads the
//! same lists.
//!
//! A connection is there as long as somebody holds it: the task that serves it, its
//! stream, each request that runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;

use crate::request::Request;

pub(crate) struct Connection {
    peer: Option<String>,
    requests: Mutex<Requests>,
    /// What an upgraded stream holds, from when the connection has one.
    upgrade: OnceLock<Weak<Upgraded>>,
    registry: Option<(u64, Arc<Registry>)>,
}

/// The request that became something else: it runs until the stream is gone.
pub(crate) type Upgraded = Mutex<Option<Running>>;

#[derive(Default)]
struct Requests {
    next: u64,
    running: Vec<Entry>,
    gone: bool,
}

struct Entry {
    id: u64,
    request: Arc<Request>,
    /// Its client is gone, and it goes on.
    rescued: bool,
}

impl Connection {
    /// Of a server that does not tell its connections.
    pub(crate) fn unknown() -> Arc<Self> {
        Arc::new(Self {
            peer: None,
            requests: Mutex::default(),
            upgrade: OnceLock::new(),
            registry: None,
        })
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(self: &Arc<Self>, request: Arc<Request>) -> Running {
        let mut requests = self.requests();
        let id = requests.next;
        requests.next += 1;
        requests.running.push(Entry { id, request: Arc::clone(&request), rescued: false });
        let gone = requests.gone;
        drop(requests);
        if gone {
            request.disconnected();
        }
        Running { connection: Arc::clone(self), request, id }
    }

    /// How many requests have begun here.
    pub(crate) fn begun(&self) -> u64 {
        self.requests().next
    }

    pub(crate) fn is_busy(&self) -> bool {
        !self.requests().running.is_empty()
    }

    /// Its client is gone.
    pub(crate) fn gone(&self) {
        let mut requests = self.requests();
        requests.gone = true;
        let running: Vec<_> =
            requests.running.iter().map(|entry| Arc::clone(&entry.request)).collect();
        drop(requests);
        for request in running {
            request.disconnected();
        }
    }

    /// Where an upgraded stream will be.
    pub(crate) fn upgrades_to(&self, upgraded: &Arc<Upgraded>) {
        self.upgrade.get_or_init(|| Arc::downgrade(upgraded));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((id, registry)) = &self.registry {
            registry.remove(*id);
        }
    }
}

/// A request on the list of its connection, until this is dropped.
pub(crate) struct Running {
    connection: Arc<Connection>,
    pub(crate) request: Arc<Request>,
    id: u64,
}

impl Running {
    /// The handler outlives its client.
    pub(crate) fn set_rescued(&self) {
        let mut requests = self.connection.requests();
        if let Some(entry) = requests.running.iter_mut().find(|entry| entry.id == self.id) {
            entry.rescued = true;
        }
    }

    /// It runs for as long as the stream that it was upgraded to; back, if there is none.
    pub(crate) fn until_the_stream_ends(self) -> Option<Self> {
        let upgraded = self.connection.upgrade.get().and_then(Weak::upgrade);
        let Some(upgraded) = upgraded else { return Some(self) };
        *upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut requests = self.connection.requests();
        let place = requests.running.iter().position(|entry| entry.id == self.id);
        let entry = place.map(|place| requests.running.swap_remove(place));
        drop(requests);
        drop(entry);
    }
}

/// All connections of a server.
#[derive(Default)]
pub(crate) struct Registry {
    connections: Mutex<Connections>,
    changed: Notify,
}

#[derive(Default)]
struct Connections {
    next: u64,
    open: HashMap<u64, Weak<Connection>>,
}

/// What is left on a connection.
pub(crate) struct Left {
    pub(crate) peer: Option<String>,
    pub(crate) requests: Vec<(Arc<Request>, bool)>,
}

impl Registry {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connect(self: &Arc<Self>, peer: Option<String>) -> Arc<Connection> {
        let mut connections = self.connections();
        let id = connections.next;
        connections.next += 1;
        let connection = Arc::new(Connection {
            peer,
            requests: Mutex::default(),
            upgrade: OnceLock::new(),
            registry: Some((id, Arc::clone(self))),
        });
        connections.open.insert(id, Arc::downgrade(&connection));
        connection
    }

    fn remove(&self, id: u64) {
        let mut connections = self.connections();
        connections.open.remove(&id);
        let is_empty = connections.open.is_empty();
        drop(connections);
        if is_empty {
            self.changed.notify_waiters();
        }
    }

    pub(crate) async fn until_empty(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // It listens before it looks.
            changed.as_mut().enable();
            if self.connections().open.is_empty() {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn left(&self) -> Vec<Left> {
        let open: Vec<_> = self.connections().open.values().filter_map(Weak::upgrade).collect();
        let left = open.iter().map(|connection| {
            let requests = connection.requests();
            let running = requests.running.iter();
            let running = running.map(|entry| (Arc::clone(&entry.request), entry.rescued));
            Left { peer: connection.peer.clone(), requests: running.collect() }
        });
        left.collect()
    }
}
