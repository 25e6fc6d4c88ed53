use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use desist::{Cancelled, Token};

use super::handle::{Conn, Held};
use super::lease::Lease;
use super::pool::Pool;
use crate::{Error, Wait};

/// A server is told of no less outside of a transaction, for what undoes that has to come to its
/// end within it.
const LEAST: Duration = Duration::from_millis(10);

impl Pool {
    /// Does that work with a connection, until it has ended or the token is cancelled.
    ///
    /// When it is stopped, what runs on the server is, too: the caller waits until the server
    /// has confirmed that, or not ([`Wait`]), and has [`Error::cancelled`]. The same happens
    /// to what runs when this future is dropped. A result that is there is never thrown away.
    /// With a token that is cancelled already nothing is done at all.
    ///
    /// A statement that was stopped outside of a transaction may have come to its end all the
    /// same, a moment before.
    ///
    /// # Errors
    ///
    /// The work was stopped, or failed, or there was no connection for it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// let slow = |conn: desist_sql::postgres::Conn| async move {
    ///     conn.query_one("SELECT count(*) FROM everything", &[]).await
    /// };
    /// match pool.run(&token, slow).await {
    ///     Ok(row) => assert!(row.get::<_, i64>(0) >= 0),
    ///     Err(error) => match error.cancelled() {
    ///         Some(why) => println!("nothing runs on: {why}"),
    ///         None => return Err(error.into()),
    ///     },
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, E, F, Fut>(&self, token: &Token, work: F) -> Result<T, Error<E>>
    where
        F: FnOnce(Conn) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (lease, held) = self.lease_told(token).await?;
        // In its place from the beginning: it may be large, and is dropped here.
        let ended = {
            let work = pin!(work(Conn::new(held)));
            until_stopped(token, work).await
        };
        match ended {
            Ok(Ok(result)) => {
                lease.ended();
                Ok(result)
            }
            Ok(Err(error)) => {
                lease.ended();
                Err(Error::failed(error))
            }
            Err(why) => {
                stop(lease, self.wait()).await;
                Err(why.into())
            }
        }
    }

    /// A connection, whose server knows of the deadline where that is wanted.
    pub(super) async fn lease_told<E>(&self, token: &Token) -> Result<(Lease, Held), Error<E>> {
        let (mut lease, held) = self.lease(token).await?;
        // First what costs nothing: the rest asks what time it is.
        let left = if self.statement_timeout() { token.remaining() } else { None };
        let Some(says) = left.and_then(|left| lease.says_of(left.max(LEAST))) else {
            return Ok((lease, held));
        };
        if !lease.tells() {
            return Ok((lease, held));
        }
        let failed = "the server could not be told of the deadline";
        self.first(token, lease, held, &format!("SET {says}"), failed).await
    }

    /// What is done before the work is.
    pub(super) async fn first<E>(
        &self,
        token: &Token,
        lease: Lease,
        held: Held,
        does: &str,
        failed: &'static str,
    ) -> Result<(Lease, Held), Error<E>> {
        let done = {
            let does = pin!(async move {
                held.client().batch_execute(does).await?;
                Ok::<_, tokio_postgres::Error>(held)
            });
            until_stopped(token, does).await
        };
        match done {
            Ok(Ok(held)) => Ok((lease, held)),
            Ok(Err(error)) => {
                lease.failed().await;
                Err(Error::no_connection(failed, error))
            }
            Err(why) => {
                stop(lease, self.wait()).await;
                Err(why.into())
            }
        }
    }
}

/// The result of the work, or why it was stopped. A failure that comes when the time is over is
/// a consequence of that: a server with the same time may be faster than the token.
pub(super) async fn until_stopped<T, E>(
    token: &Token,
    mut work: Pin<&mut impl Future<Output = Result<T, E>>>,
) -> Result<Result<T, E>, Cancelled> {
    let mut stopped = pin!(token.cancelled());
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(ended));
        }
        stopped.as_mut().poll(cx).map(Err)
    })
    .await?;
    if ended.is_err() && (token.is_cancelled() || token.remaining() == Some(Duration::ZERO)) {
        return Err(stopped.await);
    }
    Ok(ended)
}

pub(super) async fn stop(lease: Lease, wait: Wait) {
    let settling = lease.stopped();
    if let (Wait::Confirmed, Some(settling)) = (wait, settling) {
        settling.ends().await;
    }
}
