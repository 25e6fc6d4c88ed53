//! The methods that tokio-util adds to futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Source, Token, WhenCancelled};
use pin_project_lite::pin_project;

use super::token::CancellationToken;

/// tokio-util's `FutureExt`.
///
/// ```
/// use desist_tokio::compat::{CancellationToken, FutureExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let token = CancellationToken::new();
/// token.cancel();
/// let never = std::future::pending::<()>();
/// assert!(never.with_cancellation_token(&token).await.is_none());
/// # }
/// ```
pub trait FutureExt: Future {
    /// As [`tokio::time::timeout`].
    ///
    /// ```
    /// use desist_tokio::compat::FutureExt;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// assert!(std::future::pending::<()>().timeout(Duration::from_secs(1)).await.is_err());
    /// # }
    /// ```
    #[track_caller]
    fn timeout(self, timeout: Duration) -> tokio::time::Timeout<Self>
    where
        Self: Sized,
    {
        tokio::time::timeout(timeout, self)
    }

    /// As [`tokio::time::timeout_at`].
    ///
    /// ```
    /// use desist_tokio::compat::FutureExt;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let now = tokio::time::Instant::now();
    /// assert!(std::future::pending::<()>().timeout_at(now).await.is_err());
    /// # }
    /// ```
    #[track_caller]
    fn timeout_at(self, deadline: tokio::time::Instant) -> tokio::time::Timeout<Self>
    where
        Self: Sized,
    {
        tokio::time::timeout_at(deadline, self)
    }

    /// As [`CancellationToken::run_until_cancelled`].
    ///
    /// ```
    /// use desist_tokio::compat::{CancellationToken, FutureExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = CancellationToken::new();
    /// assert_eq!(async { 7 }.with_cancellation_token(&token).await, Some(7));
    /// # }
    /// ```
    fn with_cancellation_token(
        self,
        token: &CancellationToken,
    ) -> WithCancellationTokenFuture<'_, Self>
    where
        Self: Sized,
    {
        let run = Biased::new(self, Token::cancelled(token), token);
        WithCancellationTokenFuture { run }
    }

    /// As [`CancellationToken::run_until_cancelled_owned`].
    ///
    /// ```
    /// use desist_tokio::compat::{CancellationToken, FutureExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = CancellationToken::new();
    /// assert_eq!(async { 7 }.with_cancellation_token_owned(token).await, Some(7));
    /// # }
    /// ```
    fn with_cancellation_token_owned(
        self,
        token: CancellationToken,
    ) -> WithCancellationTokenFutureOwned<Self>
    where
        Self: Sized,
    {
        let source = token.source().clone();
        let run = Biased::new(self, source.token().cancelled_owned(), &token);
        WithCancellationTokenFutureOwned { run, _source: source }
    }
}

impl<F: Future + ?Sized> FutureExt for F {}

pin_project! {
    /// As tokio-util has it: whether the token is cancelled already is looked at where
    /// this is made, and after that the future comes first, at every poll.
    struct Biased<'a, F> {
        #[pin]
        future: Option<F>,
        #[pin]
        cancelled: WhenCancelled<'a>,
    }
}

impl<'a, F: Future> Biased<'a, F> {
    fn new(future: F, cancelled: WhenCancelled<'a>, token: &CancellationToken) -> Self {
        Self { future: (!token.is_cancelled()).then_some(future), cancelled }
    }
}

impl<F: Future> Future for Biased<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        this.cancelled.poll(cx).map(|_| None)
    }
}

pin_project! {
    /// The future of [`FutureExt::with_cancellation_token`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WithCancellationTokenFuture<'a, F: Future> {
        #[pin]
        run: Biased<'a, F>,
    }
}

pin_project! {
    /// The future of [`FutureExt::with_cancellation_token_owned`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WithCancellationTokenFutureOwned<F: Future> {
        #[pin]
        run: Biased<'static, F>,
        _source: Source,
    }
}

impl<F: Future> Future for WithCancellationTokenFuture<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<F: Future> Future for WithCancellationTokenFutureOwned<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<F: Future> fmt::Debug for WithCancellationTokenFuture<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithCancellationTokenFuture").finish_non_exhaustive()
    }
}

impl<F: Future> fmt::Debug for WithCancellationTokenFutureOwned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithCancellationTokenFutureOwned").finish_non_exhaustive()
    }
}
