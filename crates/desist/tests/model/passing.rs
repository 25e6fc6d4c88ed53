//! Who knows which signals, and what is done with those that nobody keeps: they are freed while
//! others work.

use std::sync::Arc;

use desist::{Source, Token};

use super::{Mine, Node, Shared, pick};
use crate::common::{Captured, Count, lock};

/// A signal that a thread knows, and its source unless that was dropped.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) on: usize,
    pub(super) node: Arc<Node>,
    source: Option<Source>,
}

impl Mine {
    pub(super) fn known(&self, number: u8) -> &Known {
        &self.known[pick(&self.known, number).expect("there is the root")]
    }

    /// Of those that have one; the root always has.
    pub(super) fn source(&self, number: u8) -> (&Source, &Known) {
        let with: Vec<_> = self
            .known
            .iter()
            .filter_map(|known| known.source.as_ref().map(|source| (source, known)))
            .collect();
        with[pick(&with, number).expect("there is the root")]
    }

    /// The root's source stays: nobody is forgotten before the end.
    pub(super) fn drop_source(&mut self, number: u8) {
        let Some(place) = pick(&self.known[1..], number) else { return };
        self.known[place + 1].source = None;
    }
}

impl Shared {
    pub(super) fn add(
        &self,
        mine: &mut Mine,
        token: Token,
        source: Option<Source>,
        parents: &[usize],
    ) {
        self.add_node(mine, Node::new(token, parents), source);
    }

    /// Every other signal stays with the thread that made it, so that sources go while others work.
    pub(super) fn add_node(&self, mine: &mut Mine, node: Node, source: Option<Source>) {
        let node = Arc::new(node);
        let mut nodes = lock(&self.nodes);
        let known = Known { on: nodes.len(), node: Arc::clone(&node), source };
        nodes.push(node);
        drop(nodes);
        if known.on % 2 == 0 {
            lock(&self.news).push(known.clone());
        }
        mine.known.push(known);
    }

    /// Signals that it made itself it then knows twice.
    pub(super) fn read_news(&self, mine: &mut Mine) {
        let news = lock(&self.news);
        mine.known.extend_from_slice(&news[mine.read.min(news.len())..]);
        mine.read = news.len();
    }

    /// One handle of a child goes to whoever comes next, the other stays for a while: which thread
    /// frees it, nobody knows.
    pub(super) fn hand_on(&self, mine: &mut Mine, number: u8) {
        let token = mine.known(number).node.token.child().token();
        let (called, captured) = (Count::new(), Captured::new());
        let (calls, handle) = (called.clone(), captured.handle());
        let registration = token.on_cancel(move |_| {
            let _handle = handle;
            calls.add();
        });
        registration.detach();
        lock(&self.forgotten).push((called, captured));
        let received = lock(&self.handed).replace(token.clone());
        drop(received);
        let kept = mine.kept.replace(token);
        drop(kept);
    }
}
