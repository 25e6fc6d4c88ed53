//! What is asked when an operation shall stop, and what is answered.

use std::fmt;
use std::time::SystemTime;

use desist::{Cause, Reason};

use crate::{OperationId, Outcome};

/// How far an operation shall stop.
///
/// ```
/// assert!(desist_ops::CancelMode::Drain < desist_ops::CancelMode::Cancel);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CancelMode {
    /// It begins nothing new and finishes what is in hand: [`Context::draining`].
    ///
    /// [`Context::draining`]: crate::Context::draining
    Drain,
    /// It stops now: [`Context::token`](crate::Context::token).
    Cancel,
}

impl CancelMode {
    /// A name that never changes.
    ///
    /// ```
    /// assert_eq!(desist_ops::CancelMode::Drain.as_str(), "drain");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Drain, Self::Cancel].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Who asks an operation to stop, and why.
///
/// A handler finds it behind its token, as the detail of the cancellation.
///
/// ```
/// use desist::Reason;
/// use desist_ops::{CancelMode, CancelRequest};
///
/// let request = CancelRequest::new().actor("ada").message("the wrong table");
/// assert_eq!(request.to_string(), "requested by ada: the wrong table");
/// assert_eq!(request.mode(), CancelMode::Cancel);
/// assert_eq!(request.reason(), Reason::Requested);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it is asked for by `Operations::cancel`"]
pub struct CancelRequest {
    pub(crate) mode: CancelMode,
    pub(crate) reason: Reason,
    pub(crate) message: Option<String>,
    pub(crate) actor: Option<String>,
    pub(crate) at: Option<SystemTime>,
}

impl CancelRequest {
    /// To stop now, for [`Reason::Requested`].
    pub const fn new() -> Self {
        Self {
            mode: CancelMode::Cancel,
            reason: Reason::Requested,
            message: None,
            actor: None,
            at: None,
        }
    }

    /// To begin nothing new, and finish what is in hand.
    ///
    /// ```
    /// use desist_ops::{CancelMode, CancelRequest};
    ///
    /// assert_eq!(CancelRequest::drain().mode(), CancelMode::Drain);
    /// ```
    pub const fn drain() -> Self {
        let mut request = Self::new();
        request.mode = CancelMode::Drain;
        request
    }

    /// Why, for code.
    pub const fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// Why, for people; 1000 letters of it are kept.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(crate::text::kept(message, crate::text::MESSAGE));
        self
    }

    /// Who asks; 200 letters of it are kept.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = Some(crate::text::kept(actor, crate::text::NAME));
        self
    }

    /// How far.
    #[must_use]
    pub const fn mode(&self) -> CancelMode {
        self.mode
    }

    /// Why, for code.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Why, for people.
    #[must_use]
    pub fn told(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Who asked.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// When it was asked for, by the database's clock; `None` before that.
    #[must_use]
    pub const fn at(&self) -> Option<SystemTime> {
        self.at
    }

    /// For a token, with this as the detail.
    pub(crate) fn cause(&self) -> Cause {
        self.reason.with(self.clone())
    }
}

impl Default for CancelRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for CancelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if let Some(actor) = &self.actor {
            write!(f, " by {actor}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CancelRequest {}

/// What became of a request to stop.
///
/// ```
/// use desist_ops::{CancelAnswer, Outcome};
///
/// let late = CancelAnswer::AlreadyFinished(Outcome::Succeeded);
/// assert_eq!(late.to_string(), "it has finished already: succeeded");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelAnswer {
    /// There is no such operation.
    NotFound,
    /// It had finished before, so.
    AlreadyFinished(Outcome),
    /// It waited, and will not run: it is cancelled.
    CancelledBeforeStart,
    /// It runs, and will be told.
    Requested,
    /// It runs, and this was asked for first. The new request is kept with it; and where it goes
    /// further than the first, as `Cancel` after `Drain`, it is heeded.
    AlreadyRequested(CancelRequest),
}

impl CancelAnswer {
    /// A name that never changes.
    ///
    /// ```
    /// assert_eq!(desist_ops::CancelAnswer::NotFound.as_str(), "not_found");
    /// ```
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyFinished(_) => "already_finished",
            Self::CancelledBeforeStart => "cancelled_before_start",
            Self::Requested => "requested",
            Self::AlreadyRequested(_) => "already_requested",
        }
    }

    /// Whether the operation runs and was asked to stop, now or before.
    #[must_use]
    pub const fn is_requested(&self) -> bool {
        matches!(self, Self::Requested | Self::AlreadyRequested(_))
    }
}

impl fmt::Display for CancelAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such operation"),
            Self::AlreadyFinished(outcome) => write!(f, "it has finished already: {outcome}"),
            Self::CancelledBeforeStart => f.write_str("it was cancelled before it started"),
            Self::Requested => f.write_str("it was asked to stop"),
            Self::AlreadyRequested(first) => write!(f, "it was asked to stop before: {first}"),
        }
    }
}

/// What became of a request to stop several operations.
///
/// ```
/// let nobody = desist_ops::CancelAnswers::default();
/// assert_eq!(nobody.to_string(), "0 cancelled before they started, 0 asked to stop, 0 finished already");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CancelAnswers {
    pub(crate) each: Vec<(OperationId, CancelAnswer)>,
}

impl CancelAnswers {
    /// Of each, in the order in which they were started.
    pub fn iter(&self) -> impl Iterator<Item = (OperationId, &CancelAnswer)> {
        self.each.iter().map(|(id, answer)| (*id, answer))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.each.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    fn count(&self, is: impl Fn(&CancelAnswer) -> bool) -> usize {
        self.each.iter().filter(|(_, answer)| is(answer)).count()
    }

    /// How many waited, and will not run.
    #[must_use]
    pub fn before_start(&self) -> usize {
        self.count(|answer| matches!(answer, CancelAnswer::CancelledBeforeStart))
    }

    /// How many run, and were asked to stop, now or before.
    #[must_use]
    pub fn requested(&self) -> usize {
        self.count(CancelAnswer::is_requested)
    }

    /// How many had finished.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.count(|answer| matches!(answer, CancelAnswer::AlreadyFinished(_)))
    }
}

impl fmt::Display for CancelAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, requested) = (self.before_start(), self.requested());
        let finished = self.finished();
        write!(
            f,
            "{before} cancelled before they started, {requested} asked to stop, {finished} finished already"
        )
    }
}

/// All that code knows.
pub(crate) const REASONS: [Reason; 10] = [
    Reason::Requested,
    Reason::Superseded,
    Reason::Disconnected,
    Reason::Deadline,
    Reason::SiblingFailed,
    Reason::Dropped,
    Reason::Overload,
    Reason::LeaseLost,
    Reason::Shutdown,
    Reason::Other,
];

/// The reason of that name.
pub(crate) fn reason(text: &str) -> Reason {
    REASONS.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Reason::Other)
}
