//! Looking up: what a node inherits is asked of its ancestors when somebody
//! wants to know, so that arming a deadline high up costs nothing below.
//!
//! The way up is the wrong way for the lock order, so no two locks are held: a
//! handle of the node at hand keeps its links stable (I4), a link keeps the
//! parent, and under the parent's own lock a handle of the parent is made. A
//! chain is climbed in a loop; where a node has several parents the visited are
//! remembered, so each is asked once.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::handle::{Handle, TokenRef, handles, has_source};
use super::lock::Lock;
use super::{DEAD, Node};

/// A deadline that a signal is under.
#[derive(Clone, Copy)]
pub(crate) struct Outlook {
    pub(crate) deadline: Instant,
    pub(crate) remaining: Duration,
}

impl<const UNIT: u64> Handle<UNIT> {
    /// True if it is cancelled, or somebody or something still can cancel it.
    pub(crate) fn can_be_cancelled(&self) -> bool {
        climb(&self.to_token(), |above| {
            let node = above.node();
            // Ordering: Acquire pairs with the Release of a source's drop: what
            // that source did, a cancel or a deadline, is seen below.
            let source = has_source(node.refs.load(Acquire));
            if source || node.record().is_some() || node.own_due().is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .is_break()
            // A parent is passed over only if its end came with a cancel, and
            // that has marked us by now.
            || self.node().record().is_some()
    }

    /// The earliest deadline, own or inherited. Once cancelled: the one that
    /// did it, or else the own one.
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        let mut earliest = None::<Outlook>;
        let cancelled = climb(&self.to_token(), |above| {
            if let Some(cancelled) = above.recorded() {
                // Ours, or that of an ancestor: then it is about to be ours.
                return ControlFlow::Break(cancelled);
            }
            if let Some(own) = above.node().own_outlook() {
                if earliest.is_none_or(|known| own.deadline < known.deadline) {
                    earliest = Some(own);
                }
            }
            ControlFlow::Continue(())
        });
        match cancelled.break_value().or_else(|| self.recorded()) {
            None => earliest,
            Some(cancelled) => {
                let past = |deadline| Outlook { deadline, remaining: Duration::ZERO };
                cancelled.into_record().due.map(past).or_else(|| self.node().own_outlook())
            }
        }
    }
}

impl Node {
    fn own_due(&self) -> Option<Instant> {
        let ext = self.ext()?;
        ext.timer.shown(&ext.clock)
    }

    fn own_outlook(&self) -> Option<Outlook> {
        let deadline = self.own_due()?;
        let remaining = deadline.saturating_duration_since(self.clock().now());
        Some(Outlook { deadline, remaining })
    }

    /// A handle of a node that may have none.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of this node, which is `node` and not dead.
    pub(super) unsafe fn handle_under_lock(&self, node: NonNull<Self>) -> TokenRef {
        // Ordering: Relaxed: the lock keeps the node, and orders `life`.
        if handles(self.refs.fetch_add(TokenRef::UNIT, Relaxed)) == 0 {
            // SAFETY: I2: the handles' unit of `life` was given back, or is
            // about to be: this is a new one.
            unsafe { self.keep() };
        }
        // SAFETY: I1: it was counted just now.
        unsafe { TokenRef::adopt(node) }
    }
}

/// Asks `start` and all its ancestors, each once, until the answer is `Break`.
/// Allocates only where a node has several parents.
fn climb<B>(start: &TokenRef, mut ask: impl FnMut(&TokenRef) -> ControlFlow<B>) -> ControlFlow<B> {
    let mut next = Some(start.clone());
    let mut further = Vec::new();
    // Only where ways can meet again.
    let mut visited = HashSet::new();
    while let Some(handle) = next.take().or_else(|| further.pop()) {
        // Looked at before it is asked: one that is cancelled after that is passed
        // like a live one, for what cancels it is above, and what is below may not
        // be marked yet.
        let was_live = handle.node().record().is_none();
        ask(&handle)?;
        if !was_live {
            continue;
        }
        let several = handle.node().links().count() > 1;
        for (up, _) in handle.node().links() {
            // SAFETY: I4: the node was live when we held a handle already, so it
            // is not released while we hold it.
            let Some(parent) = NonNull::new(unsafe { up.get() }.cast_mut()) else { continue };
            if (several || !visited.is_empty()) && !visited.insert(parent) {
                continue;
            }
            // SAFETY: I4: the link keeps the parent's memory.
            let above = unsafe { handle_above(parent) };
            if several {
                further.extend(above);
            } else {
                next = above;
            }
        }
    }
    ControlFlow::Continue(())
}

/// A handle of a parent; none if it is dead, because the node that we come from
/// was cancelled in this very moment.
///
/// # Safety
///
/// I1: the caller keeps the node's memory. I5: it holds no lock.
unsafe fn handle_above(parent: NonNull<Node>) -> Option<TokenRef> {
    // SAFETY: I1: by the caller. I2: under the lock.
    unsafe {
        parent.as_ref().lock.acquire();
        let dead = parent.as_ref().has_flag(DEAD);
        let above = (!dead).then(|| parent.as_ref().handle_under_lock(parent));
        Lock::release(&raw const (*parent.as_ptr()).lock);
        above
    }
}
