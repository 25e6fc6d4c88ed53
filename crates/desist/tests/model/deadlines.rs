//! Deadlines that several threads arm and take back, and what may still fire.

use std::mem;
use std::time::{Duration, Instant};

use desist::{Reason, Source, Token};

use super::callbacks::tolerate;
use super::passing::Known;
use super::{Mine, Node, Shared};
use crate::common::lock;

/// Of each deadline that may still fire, what it cannot come before. Held while one is armed or
/// taken back, so that of two who do the one comes after the other.
#[derive(Default)]
pub(super) struct Dues {
    pending: Vec<Instant>,
    /// Whether somebody looks at the clock when it is cancelled.
    watched: bool,
}

impl Dues {
    pub(super) fn explain(&self, at: Instant) -> bool {
        self.pending.iter().any(|due| *due <= at)
    }
}

impl Shared {
    pub(super) fn arm(&self, source: &Source, known: &Known, timeout: Duration, how: u8) {
        let mut dues = lock(&known.node.dues);
        if !mem::replace(&mut dues.watched, true) {
            self.watch(&known.node.token);
        }
        let due = self.clock.now() + timeout;
        dues.pending.push(due);
        // If it has come by now it cancels at once, and callbacks run.
        let by_instant = how % 2 == 1;
        tolerate(|| if by_instant { source.cancel_at(due) } else { source.cancel_after(timeout) });
        if !source.is_cancelled() {
            assert!(!timeout.is_zero(), "a deadline that is over was armed");
            // What was armed before is replaced, and can fire no more.
            dues.pending = vec![due];
        }
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
            let armed = !lock(&node.dues).pending.is_empty();
            assert!(!armed || node.token.is_cancelled(), "a deadline is missed");
        }
    }

    pub(super) fn disarm(&self, mine: &Mine, number: u8) {
        let (source, known) = mine.source(number);
        let mut dues = lock(&known.node.dues);
        source.disarm();
        if !source.is_cancelled() {
            dues.pending.clear();
        }
    }

    /// Taken back at once, while others look at the clock.
    pub(super) fn arm_and_take_back(&self, mine: &Mine, number: u8, millis: u8) {
        let (source, known) = mine.source(number);
        self.arm(source, known, Duration::from_millis(u64::from(millis % 4) + 1), 0);
        self.disarm(mine, number);
    }

    pub(super) fn timed_child(&self, mine: &mut Mine, number: u8, after: u8) {
        let timeout = Duration::from_millis(u64::from(after % 50) + 1);
        let due = self.clock.now() + timeout;
        let parent = mine.known(number);
        let (child, on) = (parent.node.token.child_with_timeout(timeout), parent.on);
        self.add_timed(mine, child.token(), &[on], due, Some(child));
    }

    /// What no cancel from above reaches, only its own deadline.
    pub(super) fn shielded(&self, mine: &mut Mine, number: u8, after: u8) {
        let token = &mine.known(number).node.token;
        assert!(!token.shielded().can_be_cancelled(), "nothing reaches what is shielded");
        let bound = Duration::from_millis(u64::from(after % 50) + 1);
        let due = self.clock.now() + bound;
        let source = token.shielded_for(bound);
        self.add_timed(mine, source.token(), &[], due, None);
        // Without it nothing could end it, and nobody else may take its deadline back.
        lock(&self.shielded).push(source);
    }

    fn add_timed(
        &self,
        mine: &mut Mine,
        token: Token,
        parents: &[usize],
        due: Instant,
        source: Option<Source>,
    ) {
        self.watch(&token);
        let node = Node::new(token, parents);
        *lock(&node.dues) = Dues { pending: vec![due], watched: true };
        self.add_node(mine, node, source);
    }
}
