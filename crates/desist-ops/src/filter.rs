//! Which operations are asked for.

use desist::Reason;

use crate::{OperationId, State};

/// Which operations are asked for, page by page, the newest first. All conditions hold.
///
/// ```
/// use desist_ops::{Filter, Outcome, State};
///
/// let filter = Filter::new().kind("export").state(State::Finished(Outcome::Failed)).most(20);
/// # let _ = filter;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is asked by `Operations::list`"]
pub struct Filter {
    pub(crate) kind: Option<String>,
    pub(crate) state: Option<State>,
    pub(crate) key: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) parent: Option<OperationId>,
    pub(crate) tree: Option<OperationId>,
    pub(crate) actor: Option<String>,
    pub(crate) reason: Option<Reason>,
    pub(crate) cancelled_by: Option<String>,
    pub(crate) before: Option<i64>,
    pub(crate) most: u32,
}

impl Filter {
    /// The newest 100.
    pub const fn new() -> Self {
        Self {
            kind: None,
            state: None,
            key: None,
            tag: None,
            parent: None,
            tree: None,
            actor: None,
            reason: None,
            cancelled_by: None,
            before: None,
            most: 100,
        }
    }

    /// Those of this kind.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(found(kind));
        self
    }

    /// Those in this state.
    pub const fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Those with this key that wait or run.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(found(key));
        self
    }

    /// Those with this tag.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(found(tag));
        self
    }

    /// Those right below this one.
    pub const fn parent(mut self, parent: OperationId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// This one, and all below it.
    pub const fn tree(mut self, root: OperationId) -> Self {
        self.tree = Some(root);
        self
    }

    /// Those that were started by them.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(found(actor));
        self
    }

    /// Those that were asked to stop for this.
    pub const fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Those that were asked to stop by them.
    pub fn cancelled_by(mut self, actor: impl Into<String>) -> Self {
        self.cancelled_by = Some(found(actor));
        self
    }

    /// Those that were started before the one with this [`sequence`]: the last one of a page leads
    /// to the next.
    ///
    /// [`sequence`]: crate::Operation::sequence
    pub const fn before(mut self, sequence: i64) -> Self {
        self.before = Some(sequence);
        self
    }

    /// So many at most, up to 1000.
    pub const fn most(mut self, most: u32) -> Self {
        self.most = if most > 1000 { 1000 } else { most };
        self
    }
}

/// Nothing that is kept has a zero byte, and Postgres refuses to be asked for one.
fn found(text: impl Into<String>) -> String {
    text.into().replace('\0', "\u{fffd}")
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}
