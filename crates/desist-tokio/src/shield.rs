//! Cleanup that goes on where its task ends.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use desist::{Cancelled, Reason, Source, Token};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::current::{Ambient, ambient, within};
use crate::group::{Keeper, Lost, TaskPanic, caught};
use crate::{clock, trace};

/// The bound of a [`shield()`] that was given none.
///
/// ```
/// assert_eq!(desist_tokio::SHIELD_BOUND.as_secs(), 10);
/// ```
pub const SHIELD_BOUND: Duration = Duration::from_secs(10);

/// Cleanup that must finish, also where the task that it is in is cancelled or
/// dropped: it runs as a task of its own, for [`SHIELD_BOUND`] at most. See
/// [`shield_for`].
///
/// ```
/// use desist::Token;
/// use desist_tokio::{shield, sleep, timeout};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (tell, told) = tokio::sync::oneshot::channel();
/// let rollback = async {
///     sleep(Duration::from_secs(2), &Token::never()).await.unwrap();
///     tell.send("rolled back").unwrap();
/// };
/// let work = timeout(Duration::from_secs(1), &Token::never(), |_token| shield(rollback));
/// assert!(work.await.is_err(), "dropped in the middle");
/// assert_eq!(told.await.unwrap(), "rolled back");
/// # }
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    shield_for(SHIELD_BOUND, future)
}

/// The same with another bound.
///
/// It begins at once, not at the first poll, so it can be used in a `Drop`. To
/// drop what is returned is to [`detach`](Shield::detach) it. Inside,
/// [`current`](crate::current) is a token that nothing around it cancels, with
/// the bound as its deadline.
///
/// When the bound is over that token is cancelled, the future is polled once
/// more, and if it is not ready then it is dropped where it stands; whoever
/// awaits the shield gets the [`Cancelled`], with [`Reason::Deadline`]. That poll it
/// has in any case: also with a bound of zero, and on a runtime that comes to it
/// late.
///
/// The group whose task this is waits for the shield, until its bound: a shield
/// that nobody awaits any more and that did not finish, or panicked, is one of
/// the group's outcomes, by the name `shield`. Outside a group it is a task of
/// the runtime, and ends with it.
///
/// # Errors
///
/// The bound is over, or the runtime was shut down ([`Reason::Shutdown`]).
///
/// # Panics
///
/// Outside a tokio runtime: a destructor that may run there asks
/// `tokio::runtime::Handle::try_current` first, for a panic in it may abort the
/// process. Awaited, it goes on with a panic of the future.
///
/// ```
/// use desist::Reason;
/// use desist_tokio::{current, shield_for};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let stuck = shield_for(Duration::from_secs(5), std::future::pending::<()>());
/// assert_eq!(stuck.await.unwrap_err().reason(), Reason::Deadline);
///
/// let bounded = shield_for(Duration::from_secs(5), async { current().remaining() });
/// assert!(bounded.await.unwrap().unwrap() <= Duration::from_secs(5));
/// # }
/// ```
#[track_caller]
pub fn shield_for<F>(bound: Duration, future: F) -> Shield<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let Ok(runtime) = Handle::try_current() else {
        panic!(
            "a shield is raised outside a tokio runtime; \
             raise it in a task, or inside Runtime::enter()"
        );
    };
    let limit = Source::with_clock(clock::root_clock());
    limit.cancel_after(bound);
    let place = Location::caller();
    let outer = ambient().and_then(|ambient| ambient.keeper.clone());
    let shelter = outer.as_ref().and_then(Weak::upgrade).map(|keeper| keeper.shelter(place, bound));
    let unread = outer.clone();
    let token = limit.token();
    let ambient = Ambient::of(vec![token.clone()], outer, false);
    let (tell, told) = oneshot::channel();
    runtime.spawn(async move {
        let ended = ended(token, Some(ambient), future).await;
        if let Ok(Err(cancelled)) = &ended {
            trace::overdue("shield", place, cancelled, bound);
        }
        let lost = tell.send(ended).map_or_else(lost_of, |()| Lost::Nothing);
        if let Some(shelter) = shelter {
            shelter.over(lost);
        }
    });
    Shield { told, keeper: unread, place }
}

type Told<T> = Result<Result<T, Cancelled>, TaskPanic>;

/// What is lost with an end that nobody asks for.
fn lost_of<T>(told: Told<T>) -> Lost {
    match told {
        Ok(Ok(_)) => Lost::Nothing,
        Ok(Err(_)) => Lost::Overdue,
        Err(panic) => Lost::Panicked(panic),
    }
}

async fn ended<F: Future>(
    token: Token,
    ambient: Option<Arc<Ambient>>,
    future: F,
) -> Told<F::Output> {
    let mut inside = Inside { future: Some(Box::pin(future)), ambient };
    let mut over = pin!(token.cancelled());
    let ended = poll_fn(|cx| {
        // The work first: it has a poll, and a last word, however late it comes to it.
        if let Poll::Ready(ended) = inside.poll(cx) {
            return Poll::Ready(ended);
        }
        let cancelled = ready!(over.as_mut().poll(cx));
        Poll::Ready(match inside.poll(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => inside.end().map(|()| Err(cancelled)),
        })
    });
    ended.await
}

/// Polls, and drops, with the shield's token around it, and catches panics.
struct Inside<F> {
    future: Option<Pin<Box<F>>>,
    ambient: Option<Arc<Ambient>>,
}

impl<F: Future> Inside<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Told<F::Output>> {
        let Self { future, ambient } = self;
        let Some(future) = future else { unreachable!("it is not polled again") };
        let ended = match caught(|| within(ambient, || future.as_mut().poll(cx))) {
            Ok(polled) => Ok(Ok(ready!(polled))),
            Err(panic) => Err(panic),
        };
        let dropped = self.end();
        Poll::Ready(ended.and_then(|ended| dropped.map(|()| ended)))
    }
}

impl<F> Inside<F> {
    fn end(&mut self) -> Result<(), TaskPanic> {
        let Self { future, ambient } = self;
        caught(|| within(ambient, || *future = None))
    }
}

impl<F> Drop for Inside<F> {
    fn drop(&mut self) {
        // The panic hook has heard what is caught.
        let _heard = self.end();
    }
}

/// The future of [`shield()`] and [`shield_for`]: awaited or not, the work goes
/// on.
#[must_use = "the work goes on without it; say so with `detach()`"]
pub struct Shield<T> {
    told: oneshot::Receiver<Told<T>>,
    /// Who hears what is told and never asked for.
    keeper: Option<Weak<dyn Keeper>>,
    place: &'static Location<'static>,
}

impl<T> Drop for Shield<T> {
    fn drop(&mut self) {
        self.told.close();
        let Ok(told) = self.told.try_recv() else { return };
        let lost = lost_of(told);
        if matches!(lost, Lost::Nothing) {
            return;
        }
        if let Some(keeper) = self.keeper.take().and_then(|keeper| keeper.upgrade()) {
            keeper.inherit("shield".into(), self.place, lost);
        }
    }
}

impl<T> Shield<T> {
    /// Lets the work go on, and asks no more how it ends.
    ///
    /// ```
    /// use desist_tokio::{TaskGroup, shield};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let group = TaskGroup::new();
    /// group.spawn("worker", |_stop| async {
    ///     shield(async { panic!("the disk is full") }).detach();
    /// });
    /// let said: Vec<_> = group.join().await.iter().map(ToString::to_string).collect();
    /// assert_eq!(said[1], "task `shield` panicked: the disk is full");
    /// # }
    /// ```
    pub fn detach(self) {
        drop(self);
    }
}

impl<T> Future for Shield<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.told).poll(cx)) {
            Ok(Ok(ended)) => ended,
            Ok(Err(panic)) => panic.resume(),
            Err(_) => Err(runtime_is_gone()),
        })
    }
}

fn runtime_is_gone() -> Cancelled {
    let cause = Reason::Shutdown.with("the runtime of the shield was shut down");
    match Token::cancelled_with(cause).check() {
        Err(cancelled) => cancelled,
        Ok(()) => unreachable!("it is made cancelled"),
    }
}

impl<T> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").finish_non_exhaustive()
    }
}
