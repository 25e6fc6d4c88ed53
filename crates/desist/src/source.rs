use std::borrow::Borrow;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use crate::node::{self, SourceRef};
use crate::{Cause, Clock, Guard, Reason, Token};

/// The right to ask for a stop.
///
/// A source makes tokens ([`token`](Self::token)) and cancels them all
/// ([`cancel`](Self::cancel)), for ever. Keep the source where the decision is
/// made, hand tokens to the work: a function that should stop when asked takes
/// a [`&Token`](Token), one that should be able to stop its callers' siblings
/// takes a source.
///
/// It is a handle: one pointer, cheap to clone, nothing to dispose. Dropping it
/// cancels nothing (see [`guard`](Self::guard) for that); when the last source
/// is gone, its tokens know that they [cannot be
/// cancelled](Token::can_be_cancelled) any more.
///
/// ```
/// use desist::{Reason, Source};
///
/// let source = Source::new();
/// let token = source.token();
/// assert!(!token.is_cancelled());
///
/// assert!(source.cancel());
/// assert!(token.is_cancelled());
/// assert!(!source.cancel_with(Reason::Shutdown), "the first cause wins");
/// assert_eq!(token.reason(), Some(Reason::Requested));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Source(SourceRef);

impl Source {
    /// A signal of its own.
    ///
    /// ```
    /// assert!(!desist::Source::new().is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self(SourceRef::new())
    }

    /// A signal that is cancelled with [`Reason::Deadline`] after `timeout`,
    /// if not before. A zero timeout: cancelled when this returns.
    ///
    /// ```
    /// use desist::{Reason, Source};
    /// use std::time::Duration;
    ///
    /// let token = Source::with_timeout(Duration::from_millis(1)).token();
    /// assert_eq!(token.blocking_wait().reason(), Reason::Deadline);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_timeout(timeout: Duration) -> Self {
        Self(SourceRef::with_timeout(timeout, Location::caller()))
    }

    /// The same, at an instant. One that has passed: cancelled when this
    /// returns.
    ///
    /// ```
    /// use desist::{Reason, Source};
    /// use std::time::Instant;
    ///
    /// let source = Source::with_deadline(Instant::now());
    /// assert_eq!(source.token().reason(), Some(Reason::Deadline));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_deadline(deadline: Instant) -> Self {
        Self(SourceRef::with_deadline(deadline, Location::caller()))
    }

    /// A signal whose deadlines, and its descendants', run on `clock`.
    ///
    /// ```
    /// use desist::{Clock, Source};
    ///
    /// assert!(!Source::with_clock(Clock::system()).is_cancelled());
    /// ```
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self(SourceRef::with_clock(clock))
    }

    /// A signal that is cancelled when any of `parents` is. Those that are
    /// [`never`](Token::never) are left out; if none is left it is a plain
    /// source.
    ///
    /// If several are cancelled already, the first in the order of the
    /// arguments gives the cause. It takes its clock from the first parent.
    ///
    /// ```
    /// use desist::{Reason, Source};
    ///
    /// let (server, client) = (Source::new(), Source::new());
    /// let request = Source::linked([server.token(), client.token()]);
    /// client.cancel_with(Reason::Disconnected);
    /// assert_eq!(request.token().reason(), Some(Reason::Disconnected));
    /// assert!(!server.is_cancelled());
    /// ```
    #[must_use]
    pub fn linked<T: Borrow<Token>>(parents: impl IntoIterator<Item = T>) -> Self {
        let parents: Vec<T> = parents.into_iter().collect();
        let distinct = crate::token::distinct(&parents);
        match distinct[..] {
            [] => Self(SourceRef::new()),
            [only] => Self(only.child()),
            _ => Self(node::linked(&distinct)),
        }
    }

    pub(crate) fn from_ref(source: SourceRef) -> Self {
        Self(source)
    }

    /// A token of this signal.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// assert_eq!(source.token(), source.token());
    /// ```
    #[inline]
    #[must_use]
    pub fn token(&self) -> Token {
        Token::from_ref(self.0.to_token())
    }

    /// Asks for the stop, with [`Reason::Requested`]. See
    /// [`cancel_with`](Self::cancel_with), also for panics.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// assert!(source.cancel());
    /// assert!(!source.cancel());
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.0.cancel(Cause::new(Reason::Requested), Location::caller())
    }

    /// Asks for the stop, and says why. True for the one call that did it.
    ///
    /// First this signal and all its descendants are marked, then everybody who
    /// waits is woken, then the callbacks run, on this thread; when the winning
    /// call returns they have run. A call that comes second returns as soon as
    /// the marking is done.
    ///
    /// It takes locks and runs callbacks: it is not for signal handlers.
    ///
    /// # Panics
    ///
    /// If a callback or a waker panics, all others still run, then the first
    /// panic goes on here; not if this thread is already unwinding.
    ///
    /// ```
    /// use desist::{Reason, Source};
    ///
    /// let source = Source::new();
    /// assert!(source.cancel_with(Reason::Shutdown.with("SIGTERM")));
    /// let cancelled = source.token().check().unwrap_err();
    /// assert_eq!(cancelled.reason(), Reason::Shutdown);
    /// assert_eq!(cancelled.detail().unwrap().to_string(), "SIGTERM");
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, cause: impl Into<Cause>) -> bool {
        self.0.cancel(cause.into(), Location::caller())
    }

    pub(crate) fn cancel_at_origin(
        &self,
        cause: Cause,
        origin: &'static Location<'static>,
    ) -> bool {
        self.0.cancel(cause, origin)
    }

    /// Arms the own deadline `timeout` from now, in place of one that was armed
    /// before. Does nothing once cancelled; cancels at once if it is zero.
    ///
    /// The deadline holds as long as anybody can see it: a token, a held
    /// registration, a pending future, also when every source is gone. A timeout
    /// too long for any clock is as if not armed.
    ///
    /// On the system's clock a callback that blocks makes no other deadline
    /// late; up to 64 may block at once, what comes then waits for one of them.
    ///
    /// # Panics
    ///
    /// If it cancels at once and a callback panics. A panic of a callback that a
    /// timer fires goes to the panic hook.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::Duration;
    ///
    /// let source = Source::new();
    /// source.cancel_after(Duration::from_secs(30));
    /// assert!(source.token().remaining().unwrap() <= Duration::from_secs(31));
    /// ```
    #[track_caller]
    pub fn cancel_after(&self, timeout: Duration) {
        self.0.cancel_after(timeout, Location::caller());
    }

    /// The same, at an instant.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::{Duration, Instant};
    ///
    /// let source = Source::new();
    /// let noon = Instant::now() + Duration::from_secs(60);
    /// source.cancel_at(noon);
    /// assert_eq!(source.token().deadline(), Some(noon));
    /// ```
    #[track_caller]
    pub fn cancel_at(&self, deadline: Instant) {
        self.0.cancel_at(deadline, Location::caller());
    }

    /// Takes the own deadline back. An inherited one stays.
    ///
    /// ```
    /// use desist::Source;
    /// use std::time::Duration;
    ///
    /// let source = Source::with_timeout(Duration::from_secs(30));
    /// source.disarm();
    /// assert_eq!(source.token().deadline(), None);
    /// ```
    pub fn disarm(&self) {
        self.0.disarm();
    }

    /// True once cancelled.
    ///
    /// ```
    /// let source = desist::Source::new();
    /// source.cancel();
    /// assert!(source.is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// A signal below this one: cancelled with it, or alone.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let parent = Source::new();
    /// let (one, other) = (parent.child(), parent.child());
    /// one.cancel();
    /// assert!(!parent.is_cancelled() && !other.is_cancelled());
    /// parent.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child())
    }

    /// A guard that cancels when it is dropped, with [`Reason::Dropped`].
    ///
    /// ```
    /// use desist::{Reason, Source};
    ///
    /// let source = Source::new();
    /// drop(source.guard());
    /// assert_eq!(source.token().reason(), Some(Reason::Dropped));
    /// ```
    #[track_caller]
    pub fn guard(&self) -> Guard {
        Guard::new(self.clone(), Location::caller())
    }

    /// The same, from this very handle.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let guard = Source::new().into_guard();
    /// let token = guard.token();
    /// drop(guard);
    /// assert!(token.is_cancelled());
    /// ```
    #[track_caller]
    pub fn into_guard(self) -> Guard {
        Guard::new(self, Location::caller())
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::token::debug(f, "Source", Some(self.0.recorded()))
    }
}

// Whatever a panic interrupts, a signal is live or cancelled.
impl UnwindSafe for Source {}
impl RefUnwindSafe for Source {}
