use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::node::CallbackHandle;

/// A callback's place on a token. Dropping it takes the callback back, and does
/// not wait for one that is running.
///
/// | way out | waits for a running callback | tells whether it prevented the call |
/// |---|---|---|
/// | `drop` | no | no |
/// | [`unregister`](Self::unregister) | no | yes |
/// | [`blocking_unregister`](Self::blocking_unregister) | yes, by blocking | yes |
/// | [`unregistered`](Self::unregistered) | yes, as a future | yes |
/// | [`detach`](Self::detach) | the callback stays | – |
///
/// Those that wait do not wait for the callback that they are called from. Two
/// callbacks on two threads that wait for each other wait for ever, as two
/// threads that join each other do.
///
/// ```
/// use desist::Source;
///
/// let source = Source::new();
/// let registration = source.token().on_cancel(|_| unreachable!("taken back in time"));
/// assert!(registration.unregister());
/// source.cancel();
/// ```
#[must_use = "dropping the registration takes the callback back at once; keep it, or `detach` it"]
pub struct Registration(Option<CallbackHandle>);

impl Registration {
    pub(crate) fn new(callback: Option<CallbackHandle>) -> Self {
        Self(callback)
    }

    /// Takes the callback back. True exactly if that prevented the call. Never
    /// waits.
    ///
    /// ```
    /// use desist::{Source, Token};
    ///
    /// let source = Source::new();
    /// assert!(source.token().on_cancel(|_| ()).unregister());
    /// assert!(!Token::never().on_cancel(|_| ()).unregister(), "nothing to prevent");
    /// ```
    pub fn unregister(self) -> bool {
        self.0.is_some_and(CallbackHandle::unregister)
    }

    /// The same, and if the callback is running, blocks until it is over; unless
    /// called from inside it.
    ///
    /// ```
    /// let source = desist::Source::new();
    /// assert!(source.token().on_cancel(|_| ()).blocking_unregister());
    /// ```
    pub fn blocking_unregister(self) -> bool {
        self.0.is_some_and(CallbackHandle::blocking_unregister)
    }

    /// The same, as a future. Polled from inside the callback it is ready, with
    /// false.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is dropping the registration.
    ///
    /// ```
    /// use desist::Source;
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    ///
    /// let registration = Source::new().token().on_cancel(|_| ());
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert_eq!(pin!(registration.unregistered()).poll(&mut cx), Poll::Ready(true));
    /// ```
    pub fn unregistered(self) -> Unregistered {
        Unregistered(self.0)
    }

    /// Leaves the callback in its place, until the signal is cancelled or gone.
    ///
    /// The callback then belongs to the signal: one that captures a token or a
    /// source of its own tree keeps that tree, and with it itself, until it is
    /// cancelled.
    ///
    /// ```
    /// use desist::Source;
    /// use std::sync::mpsc;
    ///
    /// let source = Source::new();
    /// let (tell, told) = mpsc::channel();
    /// source.token().on_cancel(move |_| tell.send("bye").unwrap()).detach();
    /// source.cancel();
    /// assert_eq!(told.recv().unwrap(), "bye");
    /// ```
    pub fn detach(self) {
        if let Some(callback) = self.0 {
            callback.detach();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

/// The future of [`Registration::unregistered`]: true if it prevented the call,
/// false once the callback is over.
///
/// ```
/// use desist::{Source, Unregistered};
///
/// let waiting: Unregistered = Source::new().token().on_cancel(|_| ()).unregistered();
/// # drop(waiting);
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Unregistered(Option<CallbackHandle>);

impl Future for Unregistered {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        CallbackHandle::poll_unregister(&mut self.0, cx)
    }
}

impl fmt::Debug for Unregistered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unregistered").finish_non_exhaustive()
    }
}
