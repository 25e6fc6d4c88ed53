mod blocking;
mod deadline;

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::future::IntoFuture;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::time::Instant;

use crate::node::{self, RecordRef, TokenRef};
use crate::{Cancelled, Cause, Reason, Registration, Run, Source, WhenCancelled};

/// The right to know that a stop was asked for.
///
/// This is what work takes as a parameter: `&Token`. It looks now and then
/// ([`check`](Self::check)), waits ([`cancelled`](Self::cancelled)), bounds what
/// it awaits ([`run`](Self::run)), or is called back
/// ([`on_cancel`](Self::on_cancel)), and stops where it is safe. Nobody who
/// holds a token can cancel it; a [`child`](Self::child) is a signal of one's
/// own below it.
///
/// Two tokens are equal if they observe the same signal. The default is
/// [`never`](Self::never).
///
/// ```
/// use desist::{Cancelled, Source, Token};
///
/// fn count(token: &Token) -> Result<u32, Cancelled> {
///     let mut n = 0;
///     while n < 1000 {
///         token.check()?;
///         n += 1;
///     }
///     Ok(n)
/// }
///
/// let source = Source::new();
/// assert_eq!(count(&source.token()).unwrap(), 1000);
/// source.cancel();
/// assert!(count(&source.token()).is_err());
/// assert_eq!(count(&Token::never()).unwrap(), 1000);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Token(Option<TokenRef>);

impl Token {
    /// A token that is never cancelled. It costs nothing.
    ///
    /// ```
    /// use desist::Token;
    ///
    /// assert!(!Token::never().can_be_cancelled());
    /// assert_eq!(Token::never(), Token::default());
    /// ```
    #[inline]
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// A token that is cancelled from the start.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// let token = Token::cancelled_with(Reason::Overload);
    /// assert_eq!(token.reason(), Some(Reason::Overload));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cancelled_with(cause: impl Into<Cause>) -> Self {
        let record = RecordRef::new(cause.into(), Location::caller(), Instant::now(), None);
        record.settle_unpublished();
        Self(Some(TokenRef::new_cancelled(record, crate::Clock::system())))
    }

    /// A token that is cancelled when any of `tokens` is.
    ///
    /// Those that cannot be cancelled any more are left out. If none is left it
    /// is [`never`](Self::never); if one distinct token is left it is that one.
    ///
    /// ```
    /// use desist::{Source, Token};
    ///
    /// let (one, other) = (Source::new(), Source::new());
    /// let either = Token::any([one.token(), other.token()]);
    /// other.cancel();
    /// assert!(either.is_cancelled());
    ///
    /// assert_eq!(Token::any([one.token(), Token::never()]), one.token());
    /// assert_eq!(Token::any::<Token>([]), Token::never());
    /// ```
    #[must_use]
    pub fn any<T: Borrow<Self>>(tokens: impl IntoIterator<Item = T>) -> Self {
        let mut first = None::<T>;
        let mut rest = Vec::new();
        for token in tokens {
            let this = token.borrow();
            match &first {
                _ if !this.can_be_cancelled() => {}
                None => first = Some(token),
                Some(known) if known.borrow() == this => {}
                Some(_) => rest.push(token),
            }
        }
        let Some(first) = first else {
            return Self::never();
        };
        if rest.is_empty() {
            return first.borrow().clone();
        }
        rest.insert(0, first);
        match distinct(&rest)[..] {
            [] => Self::never(),
            [only] => Self(Some(only.clone())),
            ref several => Self(Some(node::linked(several))),
        }
    }

    pub(crate) fn from_ref(token: TokenRef) -> Self {
        Self(Some(token))
    }

    pub(crate) fn handle(&self) -> Option<&TokenRef> {
        self.0.as_ref()
    }

    /// True once a stop was asked for. One load.
    ///
    /// ```
    /// let source = desist::Source::new();
    /// assert!(!source.token().is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(TokenRef::is_cancelled)
    }

    /// An error once a stop was asked for: for loops, with `?`.
    ///
    /// ```
    /// use desist::{Reason, Token};
    ///
    /// assert!(Token::never().check().is_ok());
    /// let cancelled = Token::cancelled_with(Reason::Shutdown).check().unwrap_err();
    /// assert_eq!(cancelled.reason(), Reason::Shutdown);
    /// ```
    #[inline]
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.cancellation() {
            None => Ok(()),
            Some(cancelled) => Err(cancelled),
        }
    }

    /// The cancellation, if there was one.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// assert!(source.token().cancellation().is_none());
    /// source.cancel();
    /// assert!(source.token().cancellation().is_some());
    /// ```
    #[inline]
    #[must_use]
    pub fn cancellation(&self) -> Option<Cancelled> {
        self.0.as_ref()?.cancellation()
    }

    /// Why, if it was cancelled.
    ///
    /// ```
    /// use desist::{Reason, Source};
    ///
    /// let source = Source::new();
    /// assert_eq!(source.token().reason(), None);
    /// source.cancel();
    /// assert_eq!(source.token().reason(), Some(Reason::Requested));
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.cancellation().map(|cancelled| cancelled.reason())
    }

    /// True if it is cancelled, or if a source, an armed deadline or a parent
    /// still can cancel it. False is for ever: nobody need wait for it.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let source = Source::new();
    /// let token = source.token();
    /// assert!(token.can_be_cancelled());
    /// drop(source);
    /// assert!(!token.can_be_cancelled());
    /// ```
    #[must_use]
    pub fn can_be_cancelled(&self) -> bool {
        self.0.as_ref().is_some_and(TokenRef::can_be_cancelled)
    }

    /// A signal below this one: cancelled with it, or alone.
    ///
    /// ```
    /// use desist::Source;
    ///
    /// let server = Source::new();
    /// let request = server.token().child();
    /// server.cancel();
    /// assert!(request.is_cancelled());
    /// ```
    #[inline]
    #[must_use]
    pub fn child(&self) -> Source {
        match &self.0 {
            Some(token) => Source::from_ref(token.child()),
            None => Source::new(),
        }
    }

    /// Calls `f` when the stop is asked for, on the thread that asks, after the
    /// whole tree was marked and everybody who waits was woken. Of several
    /// callbacks of one signal the newest is called first.
    ///
    /// If the signal is cancelled already, `f` runs here before this returns.
    /// On a token that is [`never`](Self::never) cancelled it is dropped.
    ///
    /// Dropping the [`Registration`] takes the callback back. Keep callbacks
    /// short: whoever cancels waits for them.
    ///
    /// # Panics
    ///
    /// If `f` runs here and panics. Otherwise its panic comes out of the cancel.
    ///
    /// ```
    /// use desist::Source;
    /// use std::sync::mpsc;
    ///
    /// let source = Source::new();
    /// let (tell, told) = mpsc::channel();
    /// let registration = source.token().on_cancel(move |cancelled| {
    ///     tell.send(cancelled.reason()).unwrap();
    /// });
    /// source.cancel();
    /// assert_eq!(told.recv().unwrap(), desist::Reason::Requested);
    /// assert!(!registration.unregister(), "it was called");
    /// ```
    pub fn on_cancel<F>(&self, f: F) -> Registration
    where
        F: FnOnce(&Cancelled) + Send + 'static,
    {
        Registration::new(self.0.as_ref().and_then(|token| token.on_cancel(f)))
    }

    /// Runs `body` with `f` registered, which may borrow: when this returns,
    /// `f` is not running and will not be called. If the signal is cancelled
    /// already, `f` runs first, here.
    ///
    /// # Panics
    ///
    /// If `body` does, or `f` where it runs here.
    ///
    /// ```
    /// use desist::Source;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// let source = Source::new();
    /// let stopped = AtomicBool::new(false);
    /// let seen = source.token().while_registered(
    ///     |_| stopped.store(true, Ordering::Relaxed),
    ///     || {
    ///         source.cancel();
    ///         stopped.load(Ordering::Relaxed)
    ///     },
    /// );
    /// assert!(seen);
    /// ```
    pub fn while_registered<R>(
        &self,
        f: impl FnOnce(&Cancelled) + Send,
        body: impl FnOnce() -> R,
    ) -> R {
        match &self.0 {
            Some(token) => token.while_registered(f, body),
            None => body(),
        }
    }

    /// A future that is ready once the stop is asked for. No allocation of its own.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping it takes it off the token.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let token = Token::cancelled_with(Reason::Superseded);
    /// let ready = pin!(token.cancelled()).poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(ready, Poll::Ready(c) if c.reason() == Reason::Superseded));
    /// ```
    #[inline]
    pub fn cancelled(&self) -> WhenCancelled<'_> {
        WhenCancelled::borrowed(self)
    }

    /// The same, owning the token.
    ///
    /// ```
    /// use desist::{Source, WhenCancelled};
    ///
    /// let stopped: WhenCancelled<'static> = Source::new().token().cancelled_owned();
    /// # drop(stopped);
    /// ```
    #[inline]
    pub fn cancelled_owned(self) -> WhenCancelled<'static> {
        WhenCancelled::owned(self)
    }

    /// `future`, or [`Cancelled`] if the stop is asked for first.
    ///
    /// Fails at once if it already was; after that the future's value wins when
    /// both are ready: a value is never thrown away.
    ///
    /// # Cancel safety
    ///
    /// When the stop comes first `future` is not polled again, and is dropped
    /// with what this returns, so it should be cancel safe; or look at the token
    /// itself.
    ///
    /// ```
    /// use desist::Token;
    /// use std::future::{Future, ready};
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let token = Token::never();
    /// let done = pin!(token.run(ready(42))).poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(done, Poll::Ready(Ok(42))));
    /// ```
    #[inline]
    pub fn run<F: IntoFuture>(&self, future: F) -> Run<'_, F::IntoFuture> {
        Run::new(self.cancelled(), future.into_future())
    }

    /// The same, owning the token.
    ///
    /// ```
    /// use desist::{Run, Source};
    /// use std::future::{Ready, ready};
    ///
    /// let run: Run<'static, Ready<u8>> = Source::new().token().run_owned(ready(1));
    /// # drop(run);
    /// ```
    #[inline]
    pub fn run_owned<F: IntoFuture>(self, future: F) -> Run<'static, F::IntoFuture> {
        Run::new(self.cancelled_owned(), future.into_future())
    }
}

/// The tokens that are not `never`, each once, in their order.
pub(crate) fn distinct<T: Borrow<Token>>(tokens: &[T]) -> Vec<&TokenRef> {
    let mut seen = HashSet::new();
    let some = tokens.iter().filter_map(|token| token.borrow().handle());
    some.filter(|token| seen.insert(*token)).collect()
}

/// What `Debug` of a source or token prints: never blocks, no addresses.
pub(crate) fn debug(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    recorded: Option<Option<Cancelled>>,
) -> fmt::Result {
    let mut out = f.debug_struct(name);
    match recorded {
        None => out.field("state", &format_args!("never")),
        Some(None) => out.field("state", &format_args!("live")),
        Some(Some(cancelled)) => out.field("cancelled", &cancelled),
    };
    out.finish_non_exhaustive()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Token", self.0.as_ref().map(TokenRef::recorded))
    }
}

/// For functions that take a token in whatever it is wrapped.
impl AsRef<Self> for Token {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl IntoFuture for Token {
    type Output = Cancelled;
    type IntoFuture = WhenCancelled<'static>;

    fn into_future(self) -> WhenCancelled<'static> {
        self.cancelled_owned()
    }
}

impl<'a> IntoFuture for &'a Token {
    type Output = Cancelled;
    type IntoFuture = WhenCancelled<'a>;

    fn into_future(self) -> WhenCancelled<'a> {
        self.cancelled()
    }
}

// Whatever a panic interrupts, a signal is live or cancelled.
impl UnwindSafe for Token {}
impl RefUnwindSafe for Token {}
