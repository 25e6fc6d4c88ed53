//! The ambient token: for code whose signatures cannot change.
//!
//! What is current is a property of a task, not of a thread: a thread has it
//! only while it polls a future that set it. The future keeps it and lends it to
//! the thread for each poll, and for its drop.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use desist::Token;
use pin_project_lite::pin_project;

use crate::group::Keeper;
use crate::stop::on_system_time;

thread_local! {
    static CURRENT: Cell<Option<Arc<Ambient>>> = const { Cell::new(None) };
}

/// What a task has around it.
pub(crate) struct Ambient {
    pub(crate) token: Token,
    /// The group whose task this is.
    pub(crate) keeper: Option<Weak<dyn Keeper>>,
    /// The group's token is part of this one.
    pub(crate) of_group: bool,
}

impl Ambient {
    /// Whether this is around a task of that group, and its token is obeyed.
    pub(crate) fn is_of(&self, keeper: &Weak<dyn Keeper>) -> bool {
        let own = self.keeper.as_ref().map(|own| own.as_ptr().cast::<()>());
        self.of_group && own == Some(keeper.as_ptr().cast())
    }
}

impl Ambient {
    /// The same on the system's time, for work that no runtime moves.
    pub(crate) fn on_system_time(&self) -> Arc<Self> {
        let (keeper, of_group) = (self.keeper.clone(), self.of_group);
        Arc::new(Self { token: on_system_time(&self.token), keeper, of_group })
    }
}

/// What is around the caller, if anything.
pub(crate) fn ambient() -> Option<Arc<Ambient>> {
    // While the thread is torn down nothing is around it.
    CURRENT
        .try_with(|current| {
            let ambient = current.take();
            current.set(ambient.clone());
            ambient
        })
        .ok()
        .flatten()
}

/// Runs `body` with what is in `own` around it, and puts it back.
pub(crate) fn within<R>(own: &mut Option<Arc<Ambient>>, body: impl FnOnce() -> R) -> R {
    struct Back<'a>(&'a mut Option<Arc<Ambient>>);

    impl Back<'_> {
        fn swap(&mut self) {
            let swapped = CURRENT.try_with(|current| current.replace(self.0.take()));
            *self.0 = swapped.unwrap_or_default();
        }
    }

    impl Drop for Back<'_> {
        fn drop(&mut self) {
            self.swap();
        }
    }

    let mut back = Back(own);
    back.swap();
    body()
}

/// The token that is around the running code: of [`with_current`], of the group
/// whose task this is, or [`Token::never`].
///
/// For code that cannot be given a token, such as the implementation of a
/// foreign trait. Where a parameter can be added, add it: what a function obeys
/// then stands in its signature, and an explicit token is always the one that
/// counts.
///
/// ```
/// use desist::{Cancelled, Source};
/// use desist_tokio::{current, with_current};
///
/// async fn deep_below() -> Result<(), Cancelled> {
///     current().check()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = Source::new();
/// assert!(with_current(source.token(), deep_below()).await.is_ok());
/// source.cancel();
/// assert!(with_current(source.token(), deep_below()).await.is_err());
/// assert!(deep_below().await.is_ok(), "nothing is around it");
/// # }
/// ```
#[must_use]
pub fn current() -> Token {
    ambient().map_or_else(Token::never, |ambient| ambient.token.clone())
}

/// Runs `future` with `token` as the [`current`] one, beside what is around
/// already: whichever is cancelled first counts.
///
/// What is around is taken at the first poll. It is not inherited by
/// `tokio::spawn`; a [`TaskGroup`](crate::TaskGroup) hands it on. What `future`
/// drives itself, a `LocalSet`, a `block_on` or a runtime of its own, is a part of
/// it and has the same token around it, as with tokio's task-locals.
///
/// ```
/// use desist::Source;
/// use desist_tokio::{current, with_current};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (outer, inner) = (Source::new(), Source::new());
/// let work = async {
///     outer.cancel();
///     current().is_cancelled()
/// };
/// assert!(with_current(outer.token(), with_current(inner.token(), work)).await);
/// # }
/// ```
pub fn with_current<F: Future>(token: impl AsRef<Token>, future: F) -> WithCurrent<F> {
    WithCurrent {
        future: Some(future),
        ambient: Around { ambient: None, token: Some(token.as_ref().clone()), alone: false },
    }
}

struct Around {
    ambient: Option<Arc<Ambient>>,
    /// Until the first poll.
    token: Option<Token>,
    alone: bool,
}

impl Around {
    fn begin(&mut self) {
        let Some(token) = self.token.take() else { return };
        let outer = ambient();
        let keeper = outer.as_ref().and_then(|outer| outer.keeper.clone());
        let (token, of_group) = match outer {
            Some(outer) if !self.alone => (Token::any([&token, &outer.token]), outer.of_group),
            _ => (token, false),
        };
        self.ambient = Some(Arc::new(Ambient { token, keeper, of_group }));
    }
}

pin_project! {
    /// The future of [`with_current`].
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct WithCurrent<F> {
        #[pin]
        future: Option<F>,
        ambient: Around,
    }

    impl<F> PinnedDrop for WithCurrent<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.ambient.token.is_some() {
                // It has not begun: what is around its drop is the caller's.
                return this.future.set(None);
            }
            within(&mut this.ambient.ambient, || this.future.set(None));
        }
    }
}

impl<F> WithCurrent<F> {
    /// The token alone, in the place of what is around: for work that must not
    /// be stopped by it.
    ///
    /// ```
    /// use desist::{Source, Token};
    /// use desist_tokio::{current, with_current};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let request = Source::new();
    /// request.cancel();
    /// let audit = async { current().is_cancelled() };
    /// let audit = with_current(Token::never(), audit).replacing();
    /// assert!(!with_current(request.token(), audit).await);
    /// # }
    /// ```
    pub fn replacing(mut self) -> Self {
        // Nothing moves: it has not been polled.
        self.ambient.alone = true;
        self
    }
}

impl<F: Future> Future for WithCurrent<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.ambient.begin();
        let future = this.future.as_mut().as_pin_mut();
        let Some(future) = future else { unreachable!("it is there until the drop") };
        within(&mut this.ambient.ambient, || future.poll(cx))
    }
}

impl<F> std::fmt::Debug for WithCurrent<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithCurrent").finish_non_exhaustive()
    }
}
