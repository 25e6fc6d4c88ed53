//! Bridges to tokio-util's own token, in both directions and without a task.
//!
//! * [`from_tokio_util`]: a [`Token`] that is cancelled with theirs. Their future is
//!   polled once, with a waker that cancels ours when it is woken: on the thread
//!   that cancels theirs, with no runtime in between.
//! * [`to_tokio_util`]: theirs is cancelled with ours, by a callback.
//!
//! Each is a value, and its drop takes the link out on both sides.
//!
//! Their token carries no reason. But it wakes inside its `cancel`, so where that is
//! called by a bridge of ours, whichever bridge is woken in there finds the reason
//! with the thread: it is kept through their tokens, and through the children of
//! those. It is known to the bridges that are there when the cancel comes; one that is
//! built later finds a token that is cancelled, and not why. And whoever is woken in
//! there and cancels something else passes it on to that, too.
//!
//! Since 0.7.20 theirs wakes with no lock held, which is what allows ours to call
//! back from in there; an older one is refused by the version that is asked for.
//! A callback of ours that panics there would strand those whom theirs has not
//! woken yet, so the panic ends at the bridge; the panic hook has heard it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use desist::{Cancelled, Cause, Reason, Registration, Source, Token};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::group::caught;

/// A [`Token`] that is cancelled when tokio-util's token is, for as long as the
/// bridge is held.
///
/// Its reason is that of the token of ours which cancels theirs, over
/// [`to_tokio_util`], while this bridge is there, and else [`Reason::Requested`], with a
/// message that says where it comes from. Clones of the token outlive the bridge; nobody cancels them then.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::compat::from_tokio_util;
///
/// let theirs = tokio_util::sync::CancellationToken::new();
/// let ours = from_tokio_util(&theirs);
/// theirs.cancel();
/// assert_eq!(ours.reason(), Some(Reason::Requested));
/// ```
#[must_use = "the link is there until this is dropped: here, if it is not kept"]
pub fn from_tokio_util(theirs: &CancellationToken) -> FromTokioUtil {
    let source = Source::new();
    let token = source.token();
    let link = Arc::new(Link { source });
    let mut waits = Box::pin(theirs.clone().cancelled_owned());
    let waker = Waker::from(Arc::clone(&link));
    if waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        // Of old: whatever is carried now is not why.
        link.tell(None);
    }
    FromTokioUtil { token, _waits: waits }
}

/// What [`from_tokio_util`] gives. It derefs to the [`Token`].
///
/// ```
/// use desist_tokio::compat::from_tokio_util;
///
/// let theirs = tokio_util::sync::CancellationToken::new();
/// let ours = from_tokio_util(&theirs);
/// let token = ours.token().clone();
/// drop(ours);
/// theirs.cancel();
/// assert!(!token.is_cancelled(), "it was cut off before");
/// ```
#[must_use = "the link is there until this is dropped: here, if it is not kept"]
pub struct FromTokioUtil {
    token: Token,
    _waits: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The waker that theirs has.
struct Link {
    source: Source,
}

impl Link {
    fn tell(&self, why: Option<Cancelled>) {
        let cause = match why {
            Some(cancelled) => Cause::from(cancelled),
            None => Cause::new(Reason::Requested).message("a tokio-util token was cancelled"),
        };
        let _heard = caught(|| self.source.cancel_with(cause));
    }
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.tell(carried());
    }
}

impl FromTokioUtil {
    /// The token.
    ///
    /// ```
    /// use desist_tokio::compat::from_tokio_util;
    ///
    /// let theirs = tokio_util::sync::CancellationToken::new();
    /// assert!(from_tokio_util(&theirs).token().can_be_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }
}

impl Deref for FromTokioUtil {
    type Target = Token;

    fn deref(&self) -> &Token {
        &self.token
    }
}

impl AsRef<Token> for FromTokioUtil {
    fn as_ref(&self) -> &Token {
        &self.token
    }
}

impl fmt::Debug for FromTokioUtil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromTokioUtil").field("token", &self.token).finish_non_exhaustive()
    }
}

/// A token of tokio-util that is cancelled when ours is, for as long as the bridge
/// is held, or for good once it is [detached](ToTokioUtil::detach).
///
/// ```
/// use desist::Source;
/// use desist_tokio::compat::to_tokio_util;
///
/// let ours = Source::new();
/// let theirs = to_tokio_util(&ours.token());
/// ours.cancel();
/// assert!(theirs.is_cancelled());
/// ```
#[must_use = "the link is there until this is dropped: here, if it is not kept"]
pub fn to_tokio_util(ours: &Token) -> ToTokioUtil {
    let theirs = CancellationToken::new();
    let cancelled = theirs.clone();
    let registration = ours.on_cancel(move |why| carrying(why, || cancelled.cancel()));
    ToTokioUtil { theirs, registration }
}

/// What [`to_tokio_util`] gives. It derefs to tokio-util's token.
///
/// ```
/// use desist::Source;
/// use desist_tokio::compat::to_tokio_util;
///
/// let ours = Source::new();
/// let bridge = to_tokio_util(&ours.token());
/// let theirs = bridge.token().clone();
/// drop(bridge);
/// ours.cancel();
/// assert!(!theirs.is_cancelled(), "it was cut off before");
/// ```
#[must_use = "the link is there until this is dropped: here, if it is not kept"]
pub struct ToTokioUtil {
    theirs: CancellationToken,
    registration: Registration,
}

impl ToTokioUtil {
    /// The token.
    ///
    /// ```
    /// use desist::Source;
    /// use desist_tokio::compat::to_tokio_util;
    ///
    /// let ours = Source::new();
    /// assert!(!to_tokio_util(&ours.token()).token().is_cancelled());
    /// ```
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.theirs
    }

    /// Leaves the link in place until ours is cancelled or gone.
    ///
    /// ```
    /// use desist::Source;
    /// use desist_tokio::compat::to_tokio_util;
    ///
    /// let ours = Source::new();
    /// let theirs = to_tokio_util(&ours.token()).detach();
    /// ours.cancel();
    /// assert!(theirs.is_cancelled());
    /// ```
    #[must_use = "it is the token that the link was made for"]
    pub fn detach(self) -> CancellationToken {
        self.registration.detach();
        self.theirs
    }
}

impl Deref for ToTokioUtil {
    type Target = CancellationToken;

    fn deref(&self) -> &CancellationToken {
        &self.theirs
    }
}

impl AsRef<CancellationToken> for ToTokioUtil {
    fn as_ref(&self) -> &CancellationToken {
        &self.theirs
    }
}

impl fmt::Debug for ToTokioUtil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToTokioUtil").field("token", &self.theirs).finish_non_exhaustive()
    }
}

thread_local! {
    /// Why this thread cancels a token of tokio-util.
    static CARRIED: Cell<Option<Cancelled>> = const { Cell::new(None) };
}

fn carried() -> Option<Cancelled> {
    let read = CARRIED.try_with(|carried| {
        let why = carried.take();
        carried.set(why.clone());
        why
    });
    read.ok().flatten()
}

fn carrying(why: &Cancelled, cancel: impl FnOnce()) {
    struct Back(Option<Cancelled>);

    impl Drop for Back {
        fn drop(&mut self) {
            let _ended = CARRIED.try_with(|carried| carried.set(self.0.take()));
        }
    }

    let outer = CARRIED.try_with(|carried| carried.replace(Some(why.clone())));
    let _back = Back(outer.ok().flatten());
    cancel();
}
