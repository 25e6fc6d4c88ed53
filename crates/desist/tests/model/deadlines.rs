//! Deadlines that several threads arm and take back, and what may still fire.

use std::mem;
use std::time::Duration;

use desist::{Reason, Source, Token};

use super::{Node, Shared};
use crate::common::lock;

impl Shared {
    pub(super) fn arm(&self, source: &Source, on: usize, timeout: Duration) {
        let mut nodes = lock(&self.nodes);
        let node = &mut nodes[on];
        if !mem::replace(&mut node.watched, true) {
            self.watch(&node.token);
        }
        let due = self.clock.now() + timeout;
        if timeout.is_zero() {
            // It cancels at once, and callbacks take the lock.
            node.over.push(due);
            drop(nodes);
            source.cancel_after(timeout);
            return;
        }
        // Under the lock, so that who arms and who takes back come one after the other.
        source.cancel_after(timeout);
        if !source.is_cancelled() {
            // What was armed before is replaced, and can fire no more.
            node.dues.clear();
        }
        node.dues.push(due);
    }

    /// The cause says the due instant even if it comes early: only the clock tells, at that moment.
    fn watch(&self, token: &Token) {
        let (clock, early) = (self.clock.clone(), self.early.clone());
        let registration = token.on_cancel(move |cause| {
            if cause.reason() == Reason::Deadline && clock.now() < cause.at() {
                early.add();
            }
        });
        registration.detach();
    }

    /// Lets the time of every deadline come. Those that were not taken back fire.
    pub(super) fn pass_all_deadlines(&self) {
        self.clock.advance(Duration::from_secs(3600));
        for node in lock(&self.nodes).iter() {
            let armed = !node.dues.is_empty() || !node.over.is_empty();
            assert!(!armed || node.token.is_cancelled(), "a deadline is missed");
        }
    }

    pub(super) fn disarm(&self, number: u8) {
        let (source, on) = self.source(number);
        let node = &mut lock(&self.nodes)[on];
        source.disarm();
        if !source.is_cancelled() {
            node.dues.clear();
        }
    }

    pub(super) fn timed_child(&self, number: u8, after: u8) {
        let (token, on) = self.token(number);
        let timeout = Duration::from_millis(u64::from(after % 50) + 1);
        let due = self.clock.now() + timeout;
        let child = token.child_with_timeout(timeout);
        self.watch(&child.token());
        let mut node = Node::new(child.token(), Some(child), &[on]);
        (node.dues, node.watched) = (vec![due], true);
        lock(&self.nodes).push(node);
    }
}
