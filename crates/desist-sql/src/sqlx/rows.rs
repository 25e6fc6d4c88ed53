//! Rows that outlive a closure.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::sqlx::postgres::PgRow;
use ::sqlx::{Error as Driver, Execute, Executor, Postgres};
use desist::{Guard, Token};
use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use super::pool::Pool;
use crate::Error;

/// How many rows are read before somebody asks for them.
const AHEAD: usize = 64;

/// The stream of [`Pool::stream`]: rows, and at its end an error, if there was one.
///
/// It begins when it is polled for the first time. When it is dropped the server is stopped,
/// with [`Dropped`](desist::Reason::Dropped), and the connection given back after that.
#[must_use = "streams do nothing unless polled"]
pub struct Rows {
    /// Dropped first: it is stopped before it is not heard any more.
    _stop: Guard,
    /// `None`: it has begun.
    task: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    rows: mpsc::Receiver<PgRow>,
    /// `None`: it has ended.
    end: Option<oneshot::Receiver<Result<(), Error<Driver>>>>,
}

impl Rows {
    pub(super) fn new<Q>(pool: Pool, token: &Token, query: Q) -> Self
    where
        Q: Execute<'static, Postgres> + 'static,
    {
        let stop = token.child().into_guard();
        let (send, rows) = mpsc::channel(AHEAD);
        let (tell, end) = oneshot::channel();
        let run = pool.run(&stop.token(), async move |mut conn| {
            let mut fetched = conn.fetch(query);
            while let Some(row) = poll_fn(|cx| fetched.as_mut().poll_next(cx)).await {
                if send.send(row?).await.is_err() {
                    // Nobody listens, so that it is stopped in this very moment.
                    pending::<()>().await;
                }
            }
            Ok(())
        });
        let task = Some(Box::pin(async move {
            let _ = tell.send(run.await);
        }) as _);
        Self { _stop: stop, task, rows, end: Some(end) }
    }

    /// The next row, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As of [`Pool::run`]; it is the last item.
    ///
    /// # Cancel safety
    ///
    /// No row is lost when the future is dropped.
    ///
    /// ```no_run
    /// # async fn run(pool: desist_sql::sqlx::Pool) {
    /// let mut rows = pool.stream(&desist::Token::never(), sqlx::query("SELECT 1"));
    /// assert!(rows.next().await.unwrap().is_ok());
    /// assert!(rows.next().await.is_none());
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<PgRow, Error<Driver>>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Rows {
    type Item = Result<PgRow, Error<Driver>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(task) = self.task.take() {
            tokio::spawn(task);
        }
        if let Some(row) = ready!(self.rows.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(row)));
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(end).poll(cx));
        self.end = None;
        // Its task panicked, or the runtime has ended.
        let ended = ended.unwrap_or_else(|_| Err(Error::failed(Driver::WorkerCrashed)));
        Poll::Ready(ended.err().map(Err))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("has_ended", &self.end.is_none()).finish_non_exhaustive()
    }
}
