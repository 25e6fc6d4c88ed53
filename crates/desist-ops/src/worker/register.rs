//! What runs here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, watch};

use super::Live;
use crate::OperationId;
use crate::lock::lock;
use crate::protocol::Intent;

/// What runs here, under which node.
#[derive(Debug)]
pub(crate) struct Register {
    runs: Mutex<HashMap<(OperationId, i64), Arc<Live>>>,
    /// Its name, once it has joined.
    node: watch::Sender<Option<String>>,
    /// What has heard that it should stop, and that is not kept yet.
    heard: Mutex<Vec<Arc<Live>>>,
    some_heard: Notify,
}

impl Register {
    pub(crate) fn new() -> Self {
        Self {
            runs: Mutex::default(),
            node: watch::Sender::new(None),
            heard: Mutex::default(),
            some_heard: Notify::new(),
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<(OperationId, i64), Arc<Live>>> {
        lock(&self.runs)
    }

    pub(crate) fn add(&self, live: &Arc<Live>) {
        self.runs().insert((live.id, live.generation), Arc::clone(live));
    }

    pub(crate) fn remove(&self, live: &Live) {
        self.runs().remove(&(live.id, live.generation));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.runs().values().cloned().collect()
    }

    pub(crate) fn with(&self, id: OperationId) -> Vec<Arc<Live>> {
        // Beside one that is lost there may be the next one.
        self.runs().values().filter(|live| live.id == id).cloned().collect()
    }

    pub(crate) fn of(&self, intent: &Intent) -> Option<Arc<Live>> {
        self.runs().get(&(intent.id, intent.generation)).cloned()
    }

    /// How many there are of each kind.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for live in self.runs().values() {
            *counts.entry(live.kind.clone()).or_default() += 1;
        }
        counts
    }

    pub(crate) fn has_heard(&self, live: &Arc<Live>) {
        let mut heard = lock(&self.heard);
        if !heard.iter().any(|known| Arc::ptr_eq(known, live)) {
            heard.push(Arc::clone(live));
        }
        drop(heard);
        self.some_heard.notify_one();
    }

    pub(crate) async fn until_heard(&self) -> Vec<Arc<Live>> {
        loop {
            let heard = lock(&self.heard).split_off(0);
            if !heard.is_empty() {
                return heard;
            }
            self.some_heard.notified().await;
        }
    }

    pub(crate) fn node(&self) -> Option<String> {
        self.node.borrow().clone()
    }

    pub(crate) fn set_node(&self, node: Option<String>) {
        self.node.send_replace(node);
    }

    pub(crate) fn nodes(&self) -> watch::Receiver<Option<String>> {
        self.node.subscribe()
    }
}
