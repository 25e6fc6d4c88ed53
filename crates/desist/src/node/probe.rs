//! Counting the looks at a token, for `testing::every_checkpoint`.

use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use super::{Node, PROBED, Record, TokenRef};

/// Who counts.
pub(crate) trait CountLooks: Send + Sync {
    /// Somebody looked at the token or at a descendant. May cancel the token.
    fn look(&self);

    /// A thread is about to block until the token is cancelled, and nobody else
    /// is there to cancel it.
    fn waits_alone(&self);

    /// A future begins to wait for the token or a descendant with this waker,
    /// or does so no more.
    fn waits(&self, waker: &Waker, begins: bool);
}

pub(crate) type Probe = Arc<dyn CountLooks>;

/// The end of a check that found `state` not null: true if it is a record. If
/// looks are counted, this one is, also after the cancel; then it looks again.
#[cold]
pub(super) fn look(node: NonNull<Node>, state: *mut Record) -> bool {
    // SAFETY: I1: the caller holds a handle.
    let node = unsafe { node.as_ref() };
    if let Some(probe) = node.ext().and_then(|ext| ext.probe.as_ref()) {
        probe.look();
    }
    state != PROBED || node.record().is_some()
}

impl TokenRef {
    /// Who counts the looks at this signal, if anybody does.
    pub(crate) fn probe(&self) -> Option<&Probe> {
        self.node().ext()?.probe.as_ref()
    }

    /// True if it has no parents.
    pub(crate) fn is_root(&self) -> bool {
        // SAFETY: I4: our handle keeps the links stable.
        self.node().links().all(|(up, _)| unsafe { up.get() }.is_null())
    }
}

#[cfg(feature = "testing")]
impl super::SourceRef {
    /// A fresh signal whose looks, and its descendants', `probe` counts.
    pub(crate) fn probed(probe: Probe) -> Self {
        let clock = super::Clock::system();
        let node = Node::new_extended(Self::UNIT, clock, Some(probe), Vec::new());
        // SAFETY: I1: the node is made with one source counted.
        unsafe { Self::adopt(node) }
    }
}
