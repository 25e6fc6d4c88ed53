use std::future::IntoFuture;

use crate::{Run, Token};

mod sealed {
    use std::future::IntoFuture;

    pub trait Sealed {}
    impl<F: IntoFuture> Sealed for F {}
}

/// [`Token::run`], said from the future's side: `future.or_cancelled(&token)`.
///
/// ```
/// use desist::{FutureExt, Token};
/// use std::future::{Future, ready};
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let token = Token::never();
/// let received = pin!(ready("message").or_cancelled(&token));
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(matches!(received.poll(&mut cx), Poll::Ready(Ok("message"))));
/// ```
pub trait FutureExt: sealed::Sealed + IntoFuture + Sized {
    /// This future, or [`Cancelled`](crate::Cancelled) if the stop is asked for
    /// first. See [`Token::run`].
    ///
    /// ```
    /// use desist::{FutureExt, Reason, Token};
    /// use std::future::{Future, pending};
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// let mut never = pin!(pending::<()>().or_cancelled(&token));
    /// let polled = never.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    /// assert!(matches!(polled, Poll::Ready(Err(_))));
    /// ```
    fn or_cancelled(self, token: &Token) -> Run<'_, Self::IntoFuture> {
        token.run(self)
    }
}

impl<F: IntoFuture> FutureExt for F {}
