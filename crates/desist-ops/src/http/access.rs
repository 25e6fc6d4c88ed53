//! Who may do what.

use axum::http::request::Parts;

use crate::Operation;

/// What somebody wants to do.
///
/// ```
/// use desist_ops::http::Verb;
///
/// assert!(Verb::Cancel.changes());
/// assert!(!Verb::Watch.changes());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// To stop an operation.
    Cancel,
    /// To stop all operations with a tag.
    CancelTagged,
    /// To stop an operation and all below it, whoever started those.
    CancelTree,
    /// To see which there are. Each of them is then asked about with `Show`.
    List,
    /// To see what this process does at the moment: its tasks, its phase, and its requests with their
    /// paths and where they come from. None of that belongs to an operation.
    Process,
    /// To see an operation.
    Show,
    /// To start one; where it is to be below another one, the operation is that one.
    Start,
    /// To see an operation, and what happens to it.
    Watch,
}

impl Verb {
    /// Whether something is different after it.
    #[must_use]
    pub const fn changes(self) -> bool {
        matches!(self, Self::Cancel | Self::CancelTagged | Self::CancelTree | Self::Start)
    }
}

/// What the hook is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    pub(super) verb: Verb,
    pub(super) request: &'a Parts,
    pub(super) operation: Option<&'a Operation>,
    pub(super) kind: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// What shall be done.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The request, without its body: who asks is in its headers, or in what a middleware in front
    /// has left in its extensions.
    #[must_use]
    pub fn request(&self) -> &'a Parts {
        self.request
    }

    /// To which; `None` where it is to none, or there is none.
    #[must_use]
    pub fn operation(&self) -> Option<&'a Operation> {
        self.operation
    }

    /// Of which kind, where one shall be started.
    #[must_use]
    pub fn kind(&self) -> Option<&'a str> {
        self.kind
    }

    /// With which tag, where all with one shall be stopped.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }
}

/// What the hook answers.
///
/// ```
/// use desist_ops::http::Access;
///
/// assert_eq!(Access::granted("ada"), Access::Granted { actor: Some("ada".into()) });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// It may be done, by them: the name is kept with what is started or cancelled.
    Granted {
        /// Who it is, if that is to be kept.
        actor: Option<String>,
    },
    /// It is known who asks, and they may not. An operation that they may not see is to them as
    /// if it did not exist.
    Denied,
    /// It is not known who asks.
    Unknown,
}

impl Access {
    /// It may be done, by this one.
    #[must_use]
    pub fn granted(actor: impl Into<String>) -> Self {
        Self::Granted { actor: Some(actor.into()) }
    }
}
