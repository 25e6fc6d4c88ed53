//! A future that the cancel ends early.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait::WhenCancelled;
use crate::Cancelled;

/// The future of [`Token::run`](crate::Token::run): what the inner future
/// gives, or [`Cancelled`].
///
/// If the token is already cancelled the inner future is not polled at all.
/// After that it is polled first, each time: a value that is ready is never
/// thrown away.
///
/// ```
/// use desist::{FutureExt, Reason, Source, Token};
/// use std::future::{Future, pending, ready};
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let mut cx = Context::from_waker(Waker::noop());
/// let token = Source::new().token();
/// assert!(matches!(pin!(token.run(ready(7))).poll(&mut cx), Poll::Ready(Ok(7))));
///
/// let stopped = Token::cancelled_with(Reason::Shutdown);
/// assert!(matches!(pin!(pending::<()>().or_cancelled(&stopped)).poll(&mut cx),
///     Poll::Ready(Err(cancelled)) if cancelled.reason() == Reason::Shutdown));
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Run<'a, F> {
    cancelled: WhenCancelled<'a>,
    inner: F,
    begun: bool,
}

impl<'a, F> Run<'a, F> {
    pub(crate) fn new(cancelled: WhenCancelled<'a>, inner: F) -> Self {
        Self { cancelled, inner, begun: false }
    }
}

impl<F: Future> Future for Run<'_, F> {
    type Output = Result<F::Output, Cancelled>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: structural pinning (I9): the two futures are only reached
        // through these pins, never moved, and dropped in their place.
        let (cancelled, inner, begun) = unsafe {
            let this = self.get_unchecked_mut();
            (
                Pin::new_unchecked(&mut this.cancelled),
                Pin::new_unchecked(&mut this.inner),
                &mut this.begun,
            )
        };
        if !*begun {
            *begun = true;
            if cancelled.token().is_cancelled() {
                if let Some(cancelled) = cancelled.cancellation() {
                    return Poll::Ready(Err(cancelled));
                }
            }
        }
        if let Poll::Ready(value) = inner.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        cancelled.poll(cx).map(Err)
    }
}

impl<F> fmt::Debug for Run<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("token", self.cancelled.token()).finish_non_exhaustive()
    }
}
