use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, mem};

use desist::{Cancelled, Guard, Reason, Registration, Source, Token};

use super::DATABASE;
use super::lane::{Lane, NoPlace};
use super::lease::{Lease, Outlook};
use super::pool::Pool;
use super::ticket::{Job, Ticket, Work};
use crate::{Error, counted};

/// A call of [`Pool::run`], [`Pool::write`] or [`Pool::transaction`], which begins when it
/// is polled first.
///
/// # Cancel safety
///
/// Dropping it is a stop, with [`Dropped`](Reason::Dropped): the statement that runs ends,
/// what is open is rolled back, and nothing commits that was not on its way to. It does not
/// wait for that; the next call does.
///
/// # Panics
///
/// With the panic of its closure, and if it is polled after its end.
///
/// ```
/// use desist::Token;
/// use desist_sql::sqlite::{Pool, rusqlite};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
/// let (pool, never) = (Pool::builder().in_memory().open().await?, Token::never());
/// drop(pool.write(&never, |conn| conn.execute_batch("CREATE TABLE t (x)")));
/// let tables = pool.run(&never, |conn| {
///     conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
/// });
/// assert_eq!(tokio::spawn(tables).await.unwrap()?, 0, "it was never polled");
/// # Ok(())
/// # }
/// ```
#[must_use = "futures do nothing unless polled or awaited"]
pub struct Running<T, E> {
    pool: Pool,
    is_writer: bool,
    state: State<T, E>,
}

enum State<T, E> {
    New { work: Work<T, E>, source: Source, guard: Guard, caller: &'static Location<'static> },
    Queued(Queued<T, E>),
    Over,
}

/// Dropped in this order: the stop, which leaves the queue, and last what was to be done.
struct Queued<T, E> {
    guard: Guard,
    _registration: Registration,
    ticket: Arc<Ticket<T, E>>,
}

impl<T, E> Running<T, E> {
    #[track_caller]
    pub(super) fn new(pool: &Pool, token: &Token, is_writer: bool, work: Work<T, E>) -> Self {
        let source = token.child();
        let guard = source.guard();
        let state = State::New { work, source, guard, caller: Location::caller() };
        Self { pool: pool.clone(), is_writer, state }
    }
}

impl<T: Send + 'static, E: Send + 'static> Running<T, E> {
    /// Into the queue, unless it is stopped already.
    fn begin(
        &self,
        work: Work<T, E>,
        source: Source,
        guard: Guard,
        caller: &'static Location<'static>,
    ) -> Result<Queued<T, E>, Error<E>> {
        let lane = self.pool.lane(self.is_writer);
        let number = match place(lane, &source) {
            Ok(Some(number)) => number,
            Ok(None) => return Err(closed()),
            Err(cancelled) => {
                counted::cancelled(DATABASE);
                return Err(cancelled.into());
            }
        };
        let token = source.token();
        let ticket = Arc::new(Ticket::new(Lease::new(source, caller, self.is_writer), work));
        let registration = {
            let (ticket, lane) = (Arc::clone(&ticket), Arc::clone(lane));
            token.on_cancel(move |_| {
                ticket.lease().stop();
                lane.remove(number);
                ticket.wake();
            })
        };
        lane.push(number, Arc::clone(&ticket) as Arc<dyn Job>);
        Ok(Queued { guard, _registration: registration, ticket })
    }
}

impl<T: Send + 'static, E: Send + 'static> Future for Running<T, E> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let queued = match mem::replace(&mut this.state, State::Over) {
            State::New { work, source, guard, caller } => {
                match this.begin(work, source, guard, caller) {
                    Ok(queued) => queued,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            State::Queued(queued) => queued,
            State::Over => panic!("a call that is over was polled"),
        };
        // Whatever changes after the look at the lease wakes the waker that is left here.
        if let Poll::Ready(answer) = queued.ticket.answer.poll_take(cx) {
            drop(queued.guard.disarm());
            return Poll::Ready(answer.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        match queued.ticket.lease().outlook(this.pool.wait(), cx) {
            Outlook::Stopped(cancelled) => Poll::Ready(Err(cancelled.into())),
            Outlook::Refused => Poll::Ready(Err(closed())),
            Outlook::Wait => {
                this.state = State::Queued(queued);
                Poll::Pending
            }
        }
    }
}

/// A place in the queue, unless the stop has come. `None`: it is closed.
fn place(lane: &Lane, source: &Source) -> Result<Option<u64>, Cancelled> {
    source.token().check()?;
    match lane.number() {
        Ok(number) => return Ok(Some(number)),
        Err(NoPlace::Closed) => return Ok(None),
        Err(NoPlace::Full) => {}
    }
    source.cancel_with(Reason::Overload.with("too many wait for a connection"));
    // Unless another stop was faster.
    Err(source.token().cancellation().expect("it was cancelled above"))
}

fn closed<E>() -> Error<E> {
    Error::no_connection("the pool is closed; open another, or ask it earlier", "closed")
}

impl<T, E> fmt::Debug for Running<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New { .. } => "new",
            State::Queued(_) => "queued or running",
            State::Over => "over",
        };
        f.debug_struct("Running").field("state", &state).finish_non_exhaustive()
    }
}
