//! The methods that tokio-util adds to futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use desist::{Run, Source};
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
        WithCancellationTokenFuture { run: token.run(self) }
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
        WithCancellationTokenFutureOwned { run: source.token().run_owned(self), _source: source }
    }
}

impl<F: Future + ?Sized> FutureExt for F {}

pin_project! {
    /// The future of [`FutureExt::with_cancellation_token`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WithCancellationTokenFuture<'a, F: Future> {
        #[pin]
        run: Run<'a, F>,
    }
}

pin_project! {
    /// The future of [`FutureExt::with_cancellation_token_owned`].
    #[must_use = "futures do nothing unless polled"]
    pub struct WithCancellationTokenFutureOwned<F: Future> {
        #[pin]
        run: Run<'static, F>,
        _source: Source,
    }
}

impl<F: Future> Future for WithCancellationTokenFuture<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx).map(Result::ok)
    }
}

impl<F: Future> Future for WithCancellationTokenFutureOwned<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx).map(Result::ok)
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
