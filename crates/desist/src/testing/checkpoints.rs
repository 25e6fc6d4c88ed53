use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::node::sync::{Mutex, MutexGuard};
use crate::node::{CountLooks, Probe, SourceRef};
use crate::{Cause, Reason, Source, Token, WhenCancelled};

/// More runs than this: the body surely loops until it is cancelled.
const MAX_RUNS: usize = 10_000;
/// More looks than this after the cancel: the body does not heed them.
const MAX_LOOKS_AFTER: usize = 1_000_000;
/// Longer than this is no test.
const MAX_TIME: Duration = Duration::from_secs(60);
/// A future that waits for the token and was not woken for this long waits for
/// it alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `body` again and again; run `k` is cancelled at the `k`-th look at the
/// token or at a descendant of it, until a run ends without being asked to.
/// Gives the number of checkpoints.
///
/// Every check is a look, and so is a poll that finds nothing and the begin of
/// a blocking wait. A body that waits for its token alone would wait for ever:
/// it is cancelled there, and that run is the last.
///
/// Check in the body, or after it, what must hold however far it came: nothing
/// lost, nothing done twice, nothing left open.
///
/// # Panics
///
/// With advice, if the body has too many checkpoints or takes too long. A panic
/// of the body goes on; which run it was is said on standard error.
///
/// ```
/// use desist::{Cancelled, Token, testing::every_checkpoint};
///
/// fn move_all(from: &mut Vec<u8>, to: &mut Vec<u8>, token: &Token) -> Result<(), Cancelled> {
///     while !from.is_empty() {
///         token.check()?;
///         to.push(from.remove(0));
///     }
///     Ok(())
/// }
///
/// let checkpoints = every_checkpoint(|token| {
///     let (mut from, mut to) = (vec![1, 2, 3], vec![]);
///     let _ = move_all(&mut from, &mut to, &token);
///     assert_eq!(from.len() + to.len(), 3, "nothing is lost");
/// });
/// assert_eq!(checkpoints, 3);
/// ```
pub fn every_checkpoint<R>(mut body: impl FnMut(Token) -> R) -> usize {
    let since = Instant::now();
    for run in 1..=MAX_RUNS {
        let (counter, token) = Counter::start(run, since);
        drop(body(token));
        if let Some(checkpoints) = counter.end() {
            return checkpoints;
        }
    }
    too_many_runs()
}

/// The same for an async body, on the caller's runtime.
///
/// # Panics
///
/// As [`every_checkpoint`].
///
/// ```
/// use desist::testing::every_checkpoint_async;
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     let mut future = pin!(future);
/// #     loop {
/// #         let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
/// #         if let Poll::Ready(output) = polled {
/// #             return output;
/// #         }
/// #     }
/// # }
///
/// let checkpoints = block_on(every_checkpoint_async(|token| async move {
///     token.run(std::future::ready(())).await?;
///     token.check()
/// }));
/// assert_eq!(checkpoints, 2);
/// ```
pub async fn every_checkpoint_async<F, Fut>(mut body: F) -> usize
where
    F: FnMut(Token) -> Fut,
    Fut: Future,
{
    let since = Instant::now();
    for run in 1..=MAX_RUNS {
        let (counter, token) = Counter::start(run, since);
        let body = pin!(body(token));
        Watched { body, counter: Arc::clone(&counter), patience: None }.await;
        if let Some(checkpoints) = counter.end() {
            return checkpoints;
        }
    }
    too_many_runs()
}

fn too_many_runs() -> usize {
    panic!(
        "the body still looked at its token at its {MAX_RUNS}th checkpoint; \
         if it loops until it is cancelled, give it an end of its own"
    );
}

/// Counts the looks of one run, and cancels it.
struct Counter {
    run: usize,
    since: Instant,
    tally: Mutex<Tally>,
    waker: Mutex<Option<Waker>>,
    source: Mutex<Option<Source>>,
}

#[derive(Default)]
struct Tally {
    looks: usize,
    looks_after: usize,
    /// How many futures wait with the waker of [`Watched`].
    waiting: usize,
    cancelled: bool,
    alone: bool,
}

impl Counter {
    fn start(run: usize, since: Instant) -> (Arc<Self>, Token) {
        let counter = Arc::new(Self {
            run,
            since,
            tally: Mutex::default(),
            waker: Mutex::default(),
            source: Mutex::default(),
        });
        let source = Source::from_ref(SourceRef::probed(Arc::clone(&counter) as Probe));
        let token = source.token();
        *lock(&counter.source) = Some(source);
        (counter, token)
    }

    /// The number of checkpoints, if this run was the last.
    fn end(&self) -> Option<usize> {
        // The source keeps the counter, which keeps the source.
        let source = lock(&self.source).take();
        let waker = lock(&self.waker).take();
        drop((source, waker));
        let tally = lock(&self.tally);
        let last = tally.looks < self.run || tally.alone;
        last.then_some(tally.looks)
    }

    fn cancel(&self, text: String) {
        let source = lock(&self.source).clone();
        if let Some(source) = source {
            source.cancel_with(Cause::new(Reason::Requested).message(text));
        }
    }

    /// True if nothing but the token can wake the body, as far as is known.
    fn only_token_can_wake(&self, clones: usize) -> bool {
        let waiting = lock(&self.tally).waiting;
        waiting > 0 && clones == waiting
    }
}

impl CountLooks for Counter {
    fn look(&self) {
        assert!(
            self.since.elapsed() < MAX_TIME,
            "the body has run {} times in {MAX_TIME:?}; give it less to do, or a clock that is \
             moved by hand",
            self.run
        );
        let mut tally = lock(&self.tally);
        if tally.cancelled {
            tally.looks_after += 1;
            let heeded = tally.looks_after < MAX_LOOKS_AFTER;
            drop(tally);
            assert!(
                heeded,
                "the body has looked at its token {MAX_LOOKS_AFTER} times since it was cancelled \
                 at checkpoint {}, and goes on; does it heed what it sees?",
                self.run
            );
            return;
        }
        tally.looks += 1;
        tally.cancelled = tally.looks == self.run;
        let now = tally.cancelled;
        drop(tally);
        if now {
            self.cancel(format!("at checkpoint {}", self.run));
        }
    }

    fn waits_alone(&self) {
        let mut tally = lock(&self.tally);
        let first = !tally.cancelled;
        tally.alone |= first;
        tally.cancelled = true;
        drop(tally);
        if first {
            self.cancel("it waits for its token alone".into());
        }
    }

    fn waits(&self, waker: &Waker, begins: bool) {
        let ours = lock(&self.waker).as_ref().is_some_and(|own| own.will_wake(waker));
        if ours {
            let waiting = &mut lock(&self.tally).waiting;
            *waiting = if begins { *waiting + 1 } else { waiting.saturating_sub(1) };
        }
    }
}

/// Polls an async body with a waker of its own, so that it is known who could
/// wake it.
struct Watched<'a, F> {
    body: Pin<&'a mut F>,
    counter: Arc<Counter>,
    patience: Option<Pin<Box<WhenCancelled<'static>>>>,
}

struct OwnWaker {
    outer: Waker,
    woken: AtomicBool,
}

impl Wake for OwnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Ordering: Release pairs with the Acquire in `poll`.
        self.woken.store(true, Release);
        self.outer.wake_by_ref();
    }
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // One waker per poll: what still holds an older one was replaced, or
        // will be woken by it.
        let own = Arc::new(OwnWaker { outer: cx.waker().clone(), woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&own));
        lock(&self.counter.tally).waiting = 0;
        let displaced = lock(&self.counter.waker).replace(waker.clone());
        drop(displaced);
        if self.body.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return Poll::Ready(());
        }
        // Ordering: Acquire pairs with the Release in `wake_by_ref`.
        if own.woken.load(Acquire) {
            self.patience = None;
            return Poll::Pending;
        }
        // Three are ours: `own`, `waker` and the one that the counter compares.
        if self.counter.only_token_can_wake(Arc::strong_count(&own) - 3) {
            self.counter.waits_alone();
            return Poll::Pending;
        }
        let patience = self.patience.get_or_insert_with(|| {
            Box::pin(Source::with_timeout(PATIENCE).token().cancelled_owned())
        });
        if patience.as_mut().poll(cx).is_ready() {
            self.patience = None;
            if lock(&self.counter.tally).waiting > 0 {
                self.counter.waits_alone();
            }
        }
        Poll::Pending
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
