//! The future of a lease.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use desist::{Cancelled, Token, WhenCancelled};
use tokio::sync::oneshot;

use super::DATABASE;
use super::begin::{Kind, begin};
use super::commit::{Uncommitted, Why, commit};
use super::handle::Conn;
use super::lease::Lease;
use super::pool::Shared;
use super::refused::{NoLease, refused};
use super::settle::{self, Left};
use crate::counted::{self, Unless};
use crate::{Error, Wait};

type Begins = Pin<Box<dyn Future<Output = Result<Lease, NoLease>> + Send>>;
type Until = Pin<Box<WhenCancelled<'static>>>;

/// The future of [`Pool::run`](super::Pool::run), [`Pool::transaction`](super::Pool::transaction)
/// and [`Pool::transaction_with`](super::Pool::transaction_with).
///
/// It begins when it is polled for the first time. When it is dropped the work is stopped.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Run<F, Fut: Future> {
    shared: Arc<Shared>,
    token: Token,
    kind: Kind,
    wait: Wait,
    call: fn(F, Conn) -> Fut,
    state: State<F, Fut>,
}

/// What is first in a variant is dropped first.
enum State<F, Fut: Future> {
    Begins(F),
    Acquires {
        comes: Begins,
        until: Until,
        f: F,
        unless: Unless,
    },
    Works {
        work: Pin<Box<Fut>>,
        lease: Lease,
        until: Until,
    },
    /// It has failed in the moment in which its time was over, and waits for the word of it.
    Late {
        until: Until,
        lease: Lease,
    },
    Settles {
        told: oneshot::Receiver<Result<(), Uncommitted>>,
        then: Then<Fut::Output>,
    },
    Ended,
}

enum Then<R> {
    Stopped(Cancelled),
    Returned(R),
}

// Nothing in it is pinned but what is in a box.
impl<F, Fut: Future> Unpin for Run<F, Fut> {}

impl<F, Fut: Future> Run<F, Fut> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        token: &Token,
        kind: Kind,
        f: F,
        call: fn(F, Conn) -> Fut,
    ) -> Self {
        let (shared, token) = (Arc::clone(shared), token.clone());
        let wait = shared.settings.wait;
        Self { shared, token, kind, wait, call, state: State::Begins(f) }
    }

    /// Whether it waits for the server when it is stopped, whatever the pool says.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool, token: desist::Token) {
    /// use desist_sql::Wait;
    ///
    /// let slept = pool.run(&token, async |mut conn| {
    ///     sqlx::query("SELECT pg_sleep(1)").execute(&mut *conn).await
    /// });
    /// assert_eq!(slept.wait(Wait::AtOnce).await.unwrap().rows_affected(), 1);
    /// # }
    /// ```
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// The closure is gone: the connection goes to its owner, and this waits, or not.
    fn settle(&mut self, mut lease: Lease, left: Left, then: Then<Fut::Output>) {
        let (tell, told) = oneshot::channel();
        let runtime = lease.runtime();
        let commits =
            self.kind.is_transaction() && left == Left::Whole && matches!(then, Then::Returned(_));
        match lease.end() {
            Some(owned) if commits => drop(runtime.spawn(commit(owned, tell))),
            Some(owned) => {
                let tell = || drop(tell.send(Ok(())));
                drop(runtime.spawn(settle::finish(owned, left, tell)));
            }
            None => {
                let terminated = lease.terminate();
                drop(runtime.spawn(async move {
                    terminated.await;
                    let _ = tell.send(Err(Uncommitted::Perhaps(Why::Smuggled)));
                }));
            }
        }
        self.state = State::Settles { told, then };
    }
}

impl<F, Fut, T, E> Run<F, Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    fn stop(&mut self, lease: Lease, why: Cancelled) -> Poll<Result<T, Error<E>>> {
        counted::cancelled(DATABASE);
        self.settle(lease, Left::Midway, Then::Stopped(why));
        if self.wait == Wait::AtOnce { self.at_once() } else { Poll::Pending }
    }

    /// Without the owner's word.
    fn at_once(&mut self) -> Poll<Result<T, Error<E>>> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Settles { then: Then::Stopped(why), .. } => Poll::Ready(Err(why.into())),
            State::Settles { then: Then::Returned(result), .. } => {
                Poll::Ready(result.map_err(Error::failed))
            }
            _ => unreachable!("it settles"),
        }
    }

    /// Its work has come to its end.
    fn ended(&mut self, result: Result<T, E>) -> Poll<Result<T, Error<E>>> {
        let State::Works { work, lease, until } = std::mem::replace(&mut self.state, State::Ended)
        else {
            unreachable!("it works")
        };
        drop(work);
        if result.is_err() {
            if let Some(why) = self.token.cancellation() {
                return self.stop(lease, why);
            }
            if self.token.remaining() == Some(Duration::ZERO) {
                self.state = State::Late { until, lease };
                return Poll::Pending;
            }
        }
        let is_done = !self.kind.is_transaction();
        let left = if result.is_ok() || is_done { Left::Whole } else { Left::Midway };
        self.settle(lease, left, Then::Returned(result));
        if is_done { self.at_once() } else { Poll::Pending }
    }

    /// One step; `Pending` with another state than before is to be polled again.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error<E>>> {
        match &mut self.state {
            State::Begins(_) => {
                let unless = Unless::stopped(DATABASE);
                if let Some(why) = self.token.cancellation() {
                    self.state = State::Ended;
                    return Poll::Ready(Err(why.into()));
                }
                let State::Begins(f) = std::mem::replace(&mut self.state, State::Ended) else {
                    unreachable!("it begins")
                };
                let comes = Box::pin(begin(
                    Arc::clone(&self.shared),
                    self.kind.clone(),
                    self.token.clone(),
                ));
                let until = Box::pin(self.token.clone().cancelled_owned());
                self.state = State::Acquires { comes, until, f, unless };
                Poll::Pending
            }
            State::Acquires { comes, until, .. } => {
                if let Poll::Ready(why) = until.as_mut().poll(cx) {
                    self.state = State::Ended;
                    return Poll::Ready(Err(why.into()));
                }
                let came = ready!(comes.as_mut().poll(cx));
                let State::Acquires { until, f, unless, .. } =
                    std::mem::replace(&mut self.state, State::Ended)
                else {
                    unreachable!("it acquires")
                };
                unless.told();
                let lease = match came {
                    Ok(lease) => lease,
                    Err(error) => {
                        return Poll::Ready(Err(refused(&self.shared.pool, error)));
                    }
                };
                let conn = Conn::new(lease.hand_out().expect("nobody had it before"));
                let work = Box::pin((self.call)(f, conn));
                self.state = State::Works { work, lease, until };
                Poll::Pending
            }
            State::Works { work, until, .. } => {
                if let Poll::Ready(result) = work.as_mut().poll(cx) {
                    return self.ended(result);
                }
                let why = ready!(until.as_mut().poll(cx));
                let State::Works { work, lease, .. } =
                    std::mem::replace(&mut self.state, State::Ended)
                else {
                    unreachable!("it works")
                };
                drop(work);
                self.stop(lease, why)
            }
            State::Late { until, .. } => {
                let why = ready!(until.as_mut().poll(cx));
                let State::Late { lease, .. } = std::mem::replace(&mut self.state, State::Ended)
                else {
                    unreachable!("it is late")
                };
                self.stop(lease, why)
            }
            State::Settles { told, .. } => {
                let told = ready!(Pin::new(told).poll(cx));
                let committed = match &self.state {
                    State::Settles { then: Then::Returned(Ok(_)), .. } => {
                        told.unwrap_or_else(|_| Err(Uncommitted::Perhaps(Why::RuntimeEnded)))
                    }
                    _ => Ok(()),
                };
                match committed {
                    Ok(()) => self.at_once(),
                    Err(why) => {
                        self.state = State::Ended;
                        Poll::Ready(Err(match why {
                            Uncommitted::Certainly(why) => Error::not_committed(why),
                            Uncommitted::Perhaps(why) => Error::in_doubt(why),
                        }))
                    }
                }
            }
            State::Ended => panic!("polled after its end"),
        }
    }
}

impl<F, Fut, T, E> Future for Run<F, Fut>
where
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let before = std::mem::discriminant(&this.state);
            let polled = this.step(cx);
            if polled.is_ready() || std::mem::discriminant(&this.state) == before {
                return polled;
            }
        }
    }
}

impl<F, Fut: Future> fmt::Debug for Run<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("token", &self.token)
            .field("is_transaction", &self.kind.is_transaction())
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
