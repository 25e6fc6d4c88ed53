use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crate::node::{WakerHooks, hooked_waker};

type Hook = OnceLock<Box<dyn Fn() + Send + Sync>>;

/// A waker that does what a waker should not: it counts, panics, or calls back
/// into the code that holds it, when it is cloned, woken or dropped.
///
/// ```
/// use desist::{Source, testing::HostileWaker};
/// use std::future::Future;
/// use std::pin::pin;
/// use std::task::Context;
///
/// let source = Source::new();
/// let token = source.token();
/// let hostile = HostileWaker::new().on_wake({
///     let token = token.clone();
///     move || assert!(token.is_cancelled(), "marked before anybody is woken")
/// });
/// let waker = hostile.waker();
///
/// let mut stopped = pin!(token.cancelled());
/// assert!(stopped.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
/// source.cancel();
/// assert_eq!(hostile.wakes(), 1);
/// ```
#[derive(Clone, Default)]
pub struct HostileWaker(Arc<Hooks>);

#[derive(Default)]
struct Hooks {
    clone: Hook,
    wake: Hook,
    drop: Hook,
    clones: AtomicUsize,
    wakes: AtomicUsize,
    drops: AtomicUsize,
}

fn count_and_call(count: &AtomicUsize, hook: &Hook) {
    // Ordering: Release pairs with the Acquire in `read`.
    count.fetch_add(1, Release);
    if let Some(hook) = hook.get() {
        hook();
    }
}

fn read(count: &AtomicUsize) -> usize {
    // Ordering: Acquire pairs with the Release in `count_and_call`: whoever
    // sees the use of a waker sees what was done before it.
    count.load(Acquire)
}

impl WakerHooks for Hooks {
    fn cloned(&self) {
        count_and_call(&self.clones, &self.clone);
    }

    fn woken(&self) {
        count_and_call(&self.wakes, &self.wake);
    }

    fn dropped(&self) {
        count_and_call(&self.drops, &self.drop);
    }
}

impl HostileWaker {
    /// A waker that only counts.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let hostile = HostileWaker::new();
    /// hostile.waker().wake();
    /// assert_eq!((hostile.wakes(), hostile.clones()), (1, 0));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `hook` whenever a waker is cloned. The first hook stays.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let waker = HostileWaker::new().on_clone(|| panic!("cloned")).waker();
    /// assert!(std::panic::catch_unwind(|| waker.clone()).is_err());
    /// ```
    #[must_use]
    pub fn on_clone(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        let _ = self.0.clone.set(Box::new(hook));
        self
    }

    /// Calls `hook` whenever a waker is woken. The first hook stays.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let waker = HostileWaker::new().on_wake(|| panic!("woken")).waker();
    /// assert!(std::panic::catch_unwind(|| waker.wake_by_ref()).is_err());
    /// ```
    #[must_use]
    pub fn on_wake(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        let _ = self.0.wake.set(Box::new(hook));
        self
    }

    /// Calls `hook` whenever a waker is dropped without being woken. The first
    /// hook stays.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let hostile = HostileWaker::new().on_drop(|| ());
    /// drop(hostile.waker());
    /// assert_eq!(hostile.drops(), 1);
    /// ```
    #[must_use]
    pub fn on_drop(self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        let _ = self.0.drop.set(Box::new(hook));
        self
    }

    /// A waker with these hooks.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let hostile = HostileWaker::new();
    /// assert!(hostile.waker().will_wake(&hostile.waker()));
    /// ```
    #[must_use]
    pub fn waker(&self) -> Waker {
        hooked_waker(Arc::clone(&self.0))
    }

    /// How often a waker was cloned.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let hostile = HostileWaker::new();
    /// drop(hostile.waker().clone());
    /// assert_eq!(hostile.clones(), 1);
    /// ```
    #[must_use]
    pub fn clones(&self) -> usize {
        read(&self.0.clones)
    }

    /// How often a waker was woken.
    ///
    /// ```
    /// assert_eq!(desist::testing::HostileWaker::new().wakes(), 0);
    /// ```
    #[must_use]
    pub fn wakes(&self) -> usize {
        read(&self.0.wakes)
    }

    /// How often a waker was dropped without being woken.
    ///
    /// ```
    /// use desist::testing::HostileWaker;
    ///
    /// let hostile = HostileWaker::new();
    /// drop(hostile.waker());
    /// assert_eq!(hostile.drops(), 1);
    /// ```
    #[must_use]
    pub fn drops(&self) -> usize {
        read(&self.0.drops)
    }
}

impl fmt::Debug for HostileWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostileWaker").field("wakes", &self.wakes()).finish_non_exhaustive()
    }
}
