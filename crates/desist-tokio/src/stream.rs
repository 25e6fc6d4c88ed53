//! Streams that end when the stop is asked for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use desist::{Token, WhenCancelled};
use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

/// Ends a stream when the stop is asked for.
///
/// ```
/// use desist::Source;
/// use desist_tokio::StreamExt;
/// # use futures_core::Stream;
/// # use std::{future::poll_fn, pin::{Pin, pin}, task::{Context, Poll}};
/// # struct Numbers(u32);
/// # impl Stream for Numbers {
/// #     type Item = u32;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
/// #         self.0 += 1;
/// #         Poll::Ready(Some(self.0))
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// let token = source.token();
/// let mut numbers = Numbers(0); // without an end
/// let mut until = pin!((&mut numbers).until_cancelled(&token));
/// while let Some(number) = poll_fn(|cx| until.as_mut().poll_next(cx)).await {
///     if number == 3 {
///         source.cancel();
///     }
/// }
/// assert_eq!(numbers.0, 3, "nothing was taken that was not given");
/// # }
/// ```
pub trait StreamExt: Stream + Sized {
    /// This stream until `token` is cancelled.
    ///
    /// Cancelled, it takes nothing more from the stream below, also where more
    /// is ready; what it took it gives. The stream below is kept, see
    /// [`into_inner`](UntilCancelled::into_inner).
    ///
    /// # Cancel safety
    ///
    /// Dropping a pending `next()` loses nothing.
    ///
    /// ```
    /// use desist::{Reason, Token};
    /// use desist_tokio::StreamExt;
    /// # use futures_core::Stream;
    /// # use std::{future::poll_fn, pin::{Pin, pin}, task::{Context, Poll}};
    /// # struct Never;
    /// # impl Stream for Never {
    /// #     type Item = u32;
    /// #     fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         Poll::Pending
    /// #     }
    /// # }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let token = Token::cancelled_with(Reason::Shutdown);
    /// let mut until = pin!(Never.until_cancelled(&token));
    /// assert_eq!(poll_fn(|cx| until.as_mut().poll_next(cx)).await, None);
    /// # }
    /// ```
    fn until_cancelled(self, token: &Token) -> UntilCancelled<Self> {
        UntilCancelled {
            // In a box, so that the whole moves as freely as the stream does.
            wait: Box::pin(token.clone().cancelled_owned()),
            token: token.clone(),
            stream: self,
            ended: false,
        }
    }
}

impl<T: Stream> StreamExt for T {}

pin_project! {
    /// The stream of [`until_cancelled`](StreamExt::until_cancelled).
    #[must_use = "streams do nothing unless polled"]
    pub struct UntilCancelled<S> {
        wait: Pin<Box<WhenCancelled<'static>>>,
        token: Token,
        #[pin]
        stream: S,
        ended: bool,
    }
}

impl<S> UntilCancelled<S> {
    /// The stream below.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::StreamExt;
    /// # use futures_core::Stream;
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # #[derive(Debug, PartialEq)]
    /// # struct Numbers(u32);
    /// # impl Stream for Numbers {
    /// #     type Item = u32;
    /// #     fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         Poll::Ready(None)
    /// #     }
    /// # }
    /// let until = Numbers(7).until_cancelled(&Token::never());
    /// assert_eq!(until.get_ref().0, 7);
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below; what is taken from it here is not looked at.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::StreamExt;
    /// # use futures_core::Stream;
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # #[derive(Debug, PartialEq)]
    /// # struct Numbers(u32);
    /// # impl Stream for Numbers {
    /// #     type Item = u32;
    /// #     fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         Poll::Ready(None)
    /// #     }
    /// # }
    /// let mut until = Numbers(7).until_cancelled(&Token::never());
    /// until.get_mut().0 = 8;
    /// assert_eq!(until.get_ref().0, 8);
    /// ```
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream below with everything that was not taken from it.
    ///
    /// ```
    /// use desist::Token;
    /// use desist_tokio::StreamExt;
    /// # use futures_core::Stream;
    /// # use std::{pin::Pin, task::{Context, Poll}};
    /// # #[derive(Debug, PartialEq)]
    /// # struct Numbers(u32);
    /// # impl Stream for Numbers {
    /// #     type Item = u32;
    /// #     fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u32>> {
    /// #         Poll::Ready(None)
    /// #     }
    /// # }
    /// let until = Numbers(7).until_cancelled(&Token::never());
    /// assert_eq!(until.into_inner(), Numbers(7));
    /// ```
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Stream> Stream for UntilCancelled<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let cancelled = this.wait.as_mut().poll(cx);
        if let Poll::Ready(cancelled) = cancelled {
            *this.ended = true;
            crate::trace::heard("stream", this.token, &Poll::Ready(Err::<(), _>(cancelled)));
            return Poll::Ready(None);
        }
        let next = this.stream.poll_next(cx);
        *this.ended = matches!(next, Poll::Ready(None));
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended {
            return (0, Some(0));
        }
        // It may end at any moment.
        (0, self.stream.size_hint().1)
    }
}

impl<S: Stream> FusedStream for UntilCancelled<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S> fmt::Debug for UntilCancelled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilCancelled").field("ended", &self.ended).finish_non_exhaustive()
    }
}
