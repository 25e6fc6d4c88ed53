//! A stop in two stages: first no new work, then no work.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use desist::{Cause, Clock, Reason, Source, Token};

use crate::note::Note;
use crate::trace;

/// What running work is told: to take no new work, and later to stop.
///
/// It is a [`Token`] with an earlier stage. [`draining`](Self::draining) says:
/// finish what is in hand and take nothing new. [`token`](Self::token), to which
/// it derefs, says: stop now. Who is asked to stop is also asked to drain, never
/// the other way round: both are marked before anybody is woken or called. (Who
/// looks at both without being told may see the later stage a moment before the
/// earlier one.) Both are observed only; the right to ask is a [`StopSource`]'s.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::{Stop, StopSource};
///
/// fn serve(stop: &Stop, queue: &mut Vec<u32>) -> Result<u32, desist::Cancelled> {
///     let mut done = 0;
///     while !stop.draining().is_cancelled() {
///         let Some(work) = queue.pop() else { break };
///         stop.check()?;
///         done += work;
///     }
///     Ok(done)
/// }
///
/// let source = StopSource::new();
/// assert_eq!(serve(&source.stop(), &mut vec![1, 2, 3]).unwrap(), 6);
///
/// source.drain_with(Reason::Shutdown);
/// assert_eq!(serve(&source.stop(), &mut vec![1, 2, 3]).unwrap(), 0);
/// assert!(!source.stop().is_cancelled(), "what is in hand goes on");
///
/// source.cancel();
/// assert!(source.stop().is_cancelled());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stop {
    draining: Token,
    token: Token,
    /// Of the source, or of the nearest one above that notes.
    note: Note,
}

impl Stop {
    /// A stop that is never asked for.
    ///
    /// ```
    /// assert!(!desist_tokio::Stop::never().draining().can_be_cancelled());
    /// ```
    #[must_use]
    pub fn never() -> Self {
        Token::never().into()
    }

    /// Cancelled when no new work shall be begun. Whoever asked for that is told
    /// that somebody looked: see [`StopSource::noting_drain`].
    ///
    /// ```
    /// use desist_tokio::StopSource;
    ///
    /// let source = StopSource::new();
    /// let stop = source.stop();
    /// source.cancel();
    /// assert!(stop.draining().is_cancelled(), "who stops begins nothing new");
    /// ```
    #[must_use]
    pub fn draining(&self) -> &Token {
        self.note.look();
        &self.draining
    }

    /// The same, and nobody looks.
    pub(crate) fn draining_unnoted(&self) -> &Token {
        &self.draining
    }

    /// Cancelled when the work in hand shall stop, too.
    ///
    /// ```
    /// use desist_tokio::StopSource;
    ///
    /// let source = StopSource::new();
    /// source.drain();
    /// assert!(!source.stop().token().is_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// A stop of one's own below this one: it is asked whenever this one is.
    ///
    /// ```
    /// use desist_tokio::StopSource;
    ///
    /// let server = StopSource::new();
    /// let connection = server.stop().child();
    /// server.drain();
    /// assert!(connection.stop().draining().is_cancelled());
    /// connection.cancel();
    /// assert!(!server.stop().is_cancelled());
    /// ```
    #[must_use]
    pub fn child(&self) -> StopSource {
        let cancel = self.token.child();
        let drain = Source::linked([&cancel.token(), &self.draining]);
        StopSource::of(drain, cancel, self.note.clone())
    }
}

impl Stop {
    /// The same on the system's time, for work that no runtime moves.
    pub(crate) fn on_system_time(&self) -> Self {
        let (draining, token) = (on_system_time(&self.draining), on_system_time(&self.token));
        Self { draining, token, note: self.note.clone() }
    }
}

/// A token with the system's clock that is cancelled with this one.
pub(crate) fn on_system_time(token: &Token) -> Token {
    // The first of several gives the clock.
    Token::any([&Source::new().token(), token])
}

impl Deref for Stop {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.token
    }
}

impl AsRef<Token> for Stop {
    fn as_ref(&self) -> &Token {
        &self.token
    }
}

/// Both stages at once.
impl From<Token> for Stop {
    fn from(token: Token) -> Self {
        Self { draining: token.clone(), token, note: Note::default() }
    }
}

impl From<&Token> for Stop {
    fn from(token: &Token) -> Self {
        token.clone().into()
    }
}

impl From<&Self> for Stop {
    fn from(stop: &Self) -> Self {
        stop.clone()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop")
            .field("draining", &self.draining)
            .field("token", &self.token)
            .finish()
    }
}

/// The right to ask for a [`Stop`], stage by stage. A handle, as a
/// [`Source`] is: dropping it asks for nothing.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::StopSource;
///
/// let source = StopSource::new();
/// assert!(source.drain(), "this call began it");
/// assert!(source.cancel_with(Reason::Overload));
/// let stop = source.stop();
/// assert_eq!(stop.draining().reason(), Some(Reason::Shutdown));
/// assert_eq!(stop.reason(), Some(Reason::Overload));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StopSource {
    drain: Source,
    cancel: Source,
    stop: Stop,
    /// Its own.
    note: Note,
}

impl StopSource {
    /// A stop of its own.
    ///
    /// ```
    /// let source = desist_tokio::StopSource::new();
    /// assert!(!source.stop().is_cancelled());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// The same with its deadlines on another clock.
    ///
    /// ```
    /// use desist::testing::ManualClock;
    /// use desist_tokio::StopSource;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let source = StopSource::with_clock(clock.clock());
    /// source.cancel_after(Duration::from_secs(3600));
    /// clock.advance(Duration::from_secs(3600));
    /// assert!(source.stop().is_cancelled());
    /// ```
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        let cancel = Source::with_clock(clock);
        Self::of(cancel.child(), cancel, Note::default())
    }

    fn of(drain: Source, cancel: Source, note: Note) -> Self {
        let stop = Stop { draining: drain.token(), token: cancel.token(), note };
        Self { drain, cancel, stop, note: Note::default() }
    }

    /// Notes from now on whether anybody calls [`Stop::draining`], on a stop of this
    /// source, or of one below it: a [`child`](Stop::child), or a
    /// [`TaskGroup`](crate::TaskGroup). Where nobody did, nobody heeds a drain, and
    /// whoever asks for one need not wait before asking to stop.
    ///
    /// Stops, and sources below them, that were made before are not noted; a clone of
    /// this source shares what it notes. What this crate does by itself is no look.
    ///
    /// ```
    /// use desist_tokio::StopSource;
    ///
    /// let source = StopSource::new().noting_drain();
    /// let stop = source.stop();
    /// assert!(!stop.is_cancelled());
    /// assert!(!source.drain_noted(), "so far only the stop was looked at");
    ///
    /// assert!(!stop.child().stop().draining().is_cancelled());
    /// assert!(source.drain_noted());
    /// ```
    #[must_use]
    pub fn noting_drain(mut self) -> Self {
        if !self.note.is_kept() {
            self.note = self.stop.note.below();
            self.stop.note = self.note.clone();
        }
        self
    }

    /// Whether anybody looked at the drain since
    /// [`noting_drain`](Self::noting_drain). False of a source that does not note.
    ///
    /// ```
    /// let source = desist_tokio::StopSource::new().noting_drain();
    /// assert!(!source.drain_noted());
    /// assert!(!source.stop().draining().is_cancelled());
    /// assert!(source.drain_noted());
    /// ```
    #[must_use]
    pub fn drain_noted(&self) -> bool {
        self.note.has_look()
    }

    /// What is handed to the work.
    ///
    /// ```
    /// let source = desist_tokio::StopSource::new();
    /// let stop = source.stop();
    /// source.cancel();
    /// assert!(stop.is_cancelled());
    /// ```
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// What is handed to the work, borrowed.
    pub(crate) fn as_stop(&self) -> &Stop {
        &self.stop
    }

    /// Asks for no new work, with [`Reason::Shutdown`]. True to the one call
    /// that did it.
    ///
    /// ```
    /// let source = desist_tokio::StopSource::new();
    /// assert!(source.drain());
    /// assert!(!source.drain(), "it drains already");
    /// ```
    #[track_caller]
    pub fn drain(&self) -> bool {
        self.drain_with(Reason::Shutdown)
    }

    /// The same with a cause of one's own.
    ///
    /// ```
    /// use desist::Reason;
    ///
    /// let source = desist_tokio::StopSource::new();
    /// source.drain_with(Reason::LeaseLost);
    /// assert_eq!(source.stop().draining().reason(), Some(Reason::LeaseLost));
    /// ```
    #[track_caller]
    pub fn drain_with(&self, cause: impl Into<Cause>) -> bool {
        let first = self.drain.cancel_with(cause);
        if first {
            trace::requested("drain", self.stop.draining_unnoted());
        }
        first
    }

    /// Asks the work to stop now, with [`Reason::Requested`]. True to the one
    /// call that did it.
    ///
    /// ```
    /// let source = desist_tokio::StopSource::new();
    /// assert!(source.cancel());
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.cancel_with(Reason::Requested)
    }

    /// The same with a cause of one's own.
    ///
    /// ```
    /// use desist::Reason;
    ///
    /// let source = desist_tokio::StopSource::new();
    /// source.cancel_with(Reason::Superseded);
    /// assert_eq!(source.stop().reason(), Some(Reason::Superseded));
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, cause: impl Into<Cause>) -> bool {
        let first = self.cancel_untold(cause);
        if first {
            trace::requested("stop", self.stop.token());
        }
        first
    }

    /// The same where there is nobody who could stop.
    #[track_caller]
    pub(crate) fn cancel_untold(&self, cause: impl Into<Cause>) -> bool {
        self.cancel.cancel_with(cause)
    }

    /// Asks the work to stop when so much time has passed, with
    /// [`Reason::Deadline`]; see [`Source::cancel_after`].
    ///
    /// ```
    /// use desist::Reason;
    /// use std::time::Duration;
    ///
    /// let source = desist_tokio::StopSource::new();
    /// source.drain();
    /// source.cancel_after(Duration::ZERO);
    /// assert_eq!(source.stop().reason(), Some(Reason::Deadline));
    /// ```
    #[track_caller]
    pub fn cancel_after(&self, timeout: Duration) {
        self.cancel.cancel_after(timeout);
    }
}

impl Default for StopSource {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StopSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSource").field("stop", &self.stop).finish_non_exhaustive()
    }
}
