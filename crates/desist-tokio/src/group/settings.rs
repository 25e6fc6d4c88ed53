//! What can be chosen for a group.

/// What the first failure, or panic, of a task does to the others.
///
/// ```
/// use desist_tokio::OnFailure;
///
/// assert_eq!(OnFailure::default(), OnFailure::CancelSiblings);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// They are asked to stop, with [`Reason::SiblingFailed`](desist::Reason::SiblingFailed) and the name and
    /// the error of the one that failed.
    #[default]
    CancelSiblings,
    /// They go on.
    Continue,
}

/// How a group is, before it is made.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) on_failure: OnFailure,
    pub(super) max_concurrent: Option<usize>,
    pub(super) keep_finished: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on_failure: OnFailure::default(), max_concurrent: None, keep_finished: true }
    }
}
