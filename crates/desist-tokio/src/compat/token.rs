//! The token that is both sides at once.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use desist::{Source, Token, WhenCancelled};
use pin_project_lite::pin_project;

use super::guard::{DropGuard, DropGuardRef};

/// tokio-util's `CancellationToken`: whoever has it may cancel it, and is told.
///
/// It derefs to the [`Token`] that it also is.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::compat::CancellationToken;
///
/// let server = CancellationToken::new();
/// let request = server.child_token();
/// server.cancel();
/// assert!(request.is_cancelled());
/// assert_eq!(request.reason(), Some(Reason::Requested));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancellationToken {
    source: Source,
    // For futures that borrow it.
    token: Token,
}

impl CancellationToken {
    /// A token that is not cancelled.
    ///
    /// ```
    /// assert!(!desist_tokio::compat::CancellationToken::new().is_cancelled());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Source::new().into()
    }

    /// A token that is cancelled with this one, and can be cancelled before.
    ///
    /// ```
    /// use desist_tokio::compat::CancellationToken;
    ///
    /// let parent = CancellationToken::new();
    /// let child = parent.child_token();
    /// child.cancel();
    /// assert!(!parent.is_cancelled());
    /// ```
    #[must_use]
    pub fn child_token(&self) -> Self {
        self.source.child().into()
    }

    /// Cancels it, its clones, and all below it. When it returns, they are.
    ///
    /// The cause is [`Reason::Requested`](desist::Reason::Requested);
    /// [`source`](Self::source) is there for others.
    ///
    /// ```
    /// use desist_tokio::compat::CancellationToken;
    ///
    /// let token = CancellationToken::new();
    /// let line = line!() + 1;
    /// token.clone().cancel();
    /// assert_eq!(token.cancellation().unwrap().origin().line(), line);
    /// ```
    #[track_caller]
    pub fn cancel(&self) {
        self.source.cancel();
    }

    /// Whether it is cancelled.
    ///
    /// ```
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is cancelled. Cancel safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// token.cancel();
    /// token.cancelled().await;
    /// # }
    /// ```
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        WaitForCancellationFuture { when: self.token.cancelled() }
    }

    /// The same with a token of its own in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// let waits = tokio::spawn(token.clone().cancelled_owned());
    /// token.cancel();
    /// waits.await.unwrap();
    /// # }
    /// ```
    pub fn cancelled_owned(self) -> WaitForCancellationFutureOwned {
        // The right to cancel lives as long as the wait, as it does in tokio-util.
        WaitForCancellationFutureOwned { when: self.token.cancelled_owned(), _source: self.source }
    }

    /// Cancels it when the guard is dropped, unless that is disarmed.
    ///
    /// ```
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// drop(token.clone().drop_guard());
    /// assert!(token.is_cancelled());
    /// ```
    #[must_use = "the token is cancelled where the guard is dropped: here, if it is not kept"]
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }

    /// The same, borrowed.
    ///
    /// ```
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// drop(token.drop_guard_ref());
    /// assert!(token.is_cancelled());
    /// ```
    #[must_use = "the token is cancelled where the guard is dropped: here, if it is not kept"]
    pub fn drop_guard_ref(&self) -> DropGuardRef<'_> {
        DropGuardRef { token: Some(self) }
    }

    /// What `future` gives, or `None` if the token is cancelled first. Cancelled
    /// before, the future is not polled; ready at the same time, the future wins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// assert_eq!(token.run_until_cancelled(async { 7 }).await, Some(7));
    /// token.cancel();
    /// assert_eq!(token.run_until_cancelled(async { 7 }).await, None);
    /// # }
    /// ```
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        self.token.run(future).await.ok()
    }

    /// The same with a token of its own in it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// let seven = tokio::spawn(token.run_until_cancelled_owned(async { 7 }));
    /// assert_eq!(seven.await.unwrap(), Some(7));
    /// # }
    /// ```
    pub async fn run_until_cancelled_owned<F: Future>(self, future: F) -> Option<F::Output> {
        self.run_until_cancelled(future).await
    }

    /// The right to cancel it, with any cause and at any time. Not in tokio-util.
    ///
    /// ```
    /// use desist::Reason;
    ///
    /// let token = desist_tokio::compat::CancellationToken::new();
    /// token.source().cancel_with(Reason::Shutdown);
    /// assert_eq!(token.reason(), Some(Reason::Shutdown));
    /// ```
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for CancellationToken {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.token
    }
}

impl AsRef<Token> for CancellationToken {
    fn as_ref(&self) -> &Token {
        &self.token
    }
}

impl From<Source> for CancellationToken {
    fn from(source: Source) -> Self {
        Self { token: source.token(), source }
    }
}

impl From<CancellationToken> for Source {
    fn from(token: CancellationToken) -> Self {
        token.source
    }
}

impl From<CancellationToken> for Token {
    fn from(token: CancellationToken) -> Self {
        token.token
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

pin_project! {
    /// The future of [`CancellationToken::cancelled`]. Polled again when it has
    /// ended, it is ready again.
    ///
    /// ```
    /// use desist_tokio::compat::{CancellationToken, WaitForCancellationFuture};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// async fn wait(when: WaitForCancellationFuture<'_>) {
    ///     when.await
    /// }
    /// let token = CancellationToken::new();
    /// token.cancel();
    /// wait(token.cancelled()).await;
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitForCancellationFuture<'a> {
        #[pin]
        when: WhenCancelled<'a>,
    }
}

pin_project! {
    /// The future of [`CancellationToken::cancelled_owned`]. Polled again when it
    /// has ended, it is ready again.
    ///
    /// ```
    /// use desist_tokio::compat::{CancellationToken, WaitForCancellationFutureOwned};
    ///
    /// struct Connection {
    ///     closed: std::pin::Pin<Box<WaitForCancellationFutureOwned>>,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = CancellationToken::new();
    /// let connection = Connection { closed: Box::pin(token.clone().cancelled_owned()) };
    /// token.cancel();
    /// connection.closed.await;
    /// # }
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitForCancellationFutureOwned {
        #[pin]
        when: WhenCancelled<'static>,
        _source: Source,
    }
}

impl Future for WaitForCancellationFuture<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().when.poll(cx).map(drop)
    }
}

impl Future for WaitForCancellationFutureOwned {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().when.poll(cx).map(drop)
    }
}

impl fmt::Debug for WaitForCancellationFuture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitForCancellationFuture").finish_non_exhaustive()
    }
}

impl fmt::Debug for WaitForCancellationFutureOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitForCancellationFutureOwned").finish_non_exhaustive()
    }
}
