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
///
/// The tokens that are joined are kept each for itself, once: tasks that spawn each
/// other in turn, through several groups and scopes, join the same few again and
/// again, and must not build a chain of it.
pub(crate) struct Ambient {
    /// All of them.
    pub(crate) token: Token,
    parts: Vec<Token>,
    /// The group whose task this is.
    pub(crate) keeper: Option<Weak<dyn Keeper>>,
    /// The group's token is part of this one.
    pub(crate) of_group: bool,
}

impl Ambient {
    pub(crate) fn of(
        parts: Vec<Token>,
        keeper: Option<Weak<dyn Keeper>>,
        of_group: bool,
    ) -> Arc<Self> {
        let token = match &parts[..] {
            [] => Token::never(),
            [one] => one.clone(),
            several => Token::any(several),
        };
        Arc::new(Self { token, parts, keeper, of_group })
    }

    pub(crate) fn parts(&self) -> &[Token] {
        &self.parts
    }

    /// This one and those, whichever of them can still be cancelled.
    pub(crate) fn joined<'a>(
        self: &Arc<Self>,
        others: impl Iterator<Item = &'a Token>,
    ) -> Arc<Self> {
        let more = others.filter(|other| !self.parts.contains(other) && other.can_be_cancelled());
        let more: Vec<_> = more.cloned().collect();
        if more.is_empty() {
            return Arc::clone(self);
        }
        let parts = self.parts.iter().cloned().chain(more).collect();
        Self::of(parts, self.keeper.clone(), self.of_group)
    }

    /// Whether this is around a task, or a shield, of that group.
    pub(crate) fn is_kept_by(&self, keeper: &Weak<dyn Keeper>) -> bool {
        let own = self.keeper.as_ref().map(|own| own.as_ptr().cast::<()>());
        own == Some(keeper.as_ptr().cast())
    }

    /// The same on the system's time, for work that no runtime moves.
    pub(crate) fn on_system_time(&self) -> Arc<Self> {
        Arc::new(Self {
            token: on_system_time(&self.token),
            parts: self.parts.clone(),
            keeper: self.keeper.clone(),
            of_group: self.of_group,
        })
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
        self.ambient = Some(match outer {
            // The inner one comes first: it is named where both are cancelled.
            Some(outer) if !self.alone && !outer.parts.contains(&token) => {
                let inner = Ambient::of(vec![token], keeper, outer.of_group);
                inner.joined(outer.parts.iter())
            }
            Some(outer) if !self.alone => outer,
            _ => Ambient::of(vec![token], keeper, false),
        });
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
