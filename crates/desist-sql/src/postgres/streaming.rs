use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use desist::{Cancelled, Token, WhenCancelled};
use futures_core::Stream;

use super::handle::Conn;
use super::lease::Lease;
use super::pool::Pool;
use super::run::{stop, until_stopped};
use crate::{Error, Wait};

/// What a statement gives, row by row or piece by piece, for as long as somebody reads: of
/// [`Pool::stream`]. Dropped before its end it is stopped.
#[must_use = "streams do nothing unless polled"]
pub struct Streaming<S> {
    now: Now<S>,
    token: Token,
    wait: Wait,
}

enum Now<S> {
    /// Dropped in this order: what is read, and then the lease.
    Reads {
        stream: Pin<Box<S>>,
        until: Pin<Box<WhenCancelled<'static>>>,
        lease: Lease,
    },
    /// It has failed when its time was over, and waits for the word of that.
    Late {
        until: Pin<Box<WhenCancelled<'static>>>,
        lease: Lease,
    },
    /// What runs is being stopped.
    Stops {
        settling: Pin<Box<dyn Future<Output = ()> + Send>>,
        why: Cancelled,
    },
    Ended,
}

impl Pool {
    /// Reads what a statement gives as a stream that outlives the work that began it: rows
    /// (`query_raw`), or pieces of a copy (`copy_out`). It holds its connection to its end.
    ///
    /// # Errors
    ///
    /// As of [`run`](Self::run), as long as the work begins it; after that they are items, and
    /// the last.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio_stream::StreamExt;
    ///
    /// let no_parameters: [&str; 0] = [];
    /// let begins = |conn: desist_sql::postgres::Conn| async move {
    ///     conn.query_raw("SELECT n FROM generate_series(1, 1000000) AS n", no_parameters).await
    /// };
    /// let mut rows = pool.stream(&token, begins).await?;
    /// while let Some(row) = rows.next().await {
    ///     assert!(row?.get::<_, i32>(0) > 0);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn stream<S, T, E, F, Fut>(
        &self,
        token: &Token,
        begins: F,
    ) -> Result<Streaming<S>, Error<E>>
    where
        F: FnOnce(Conn) -> Fut,
        Fut: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, E>>,
    {
        let (lease, held) = self.lease_told(token).await?;
        let begun = {
            let begins = pin!(begins(Conn::new(held)));
            until_stopped(token, begins).await
        };
        match begun {
            Ok(Ok(stream)) => {
                let until = Box::pin(token.clone().cancelled_owned());
                let now = Now::Reads { stream: Box::pin(stream), until, lease };
                Ok(Streaming { now, token: token.clone(), wait: self.wait() })
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
}

impl<S, T, E> Stream for Streaming<S>
where
    S: Stream<Item = Result<T, E>>,
{
    type Item = Result<T, Error<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.now {
                Now::Ended => return Poll::Ready(None),
                Now::Stops { settling, why } => {
                    ready!(settling.as_mut().poll(cx));
                    let why = why.clone();
                    this.now = Now::Ended;
                    return Poll::Ready(Some(Err(why.into())));
                }
                Now::Late { until, .. } => {
                    let why = ready!(until.as_mut().poll(cx));
                    if let Some(item) = this.stops(why) {
                        return Poll::Ready(Some(item));
                    }
                }
                Now::Reads { stream, until, .. } => {
                    if let Poll::Ready(why) = until.as_mut().poll(cx) {
                        match this.stops(why) {
                            Some(item) => return Poll::Ready(Some(item)),
                            None => continue,
                        }
                    }
                    let next = ready!(stream.as_mut().poll_next(cx));
                    let is_late =
                        this.token.is_cancelled() || this.token.remaining() == Some(Duration::ZERO);
                    match next {
                        Some(Ok(item)) => return Poll::Ready(Some(Ok(item))),
                        Some(Err(_)) if is_late => this.is_late(),
                        Some(Err(error)) => {
                            this.ends();
                            return Poll::Ready(Some(Err(Error::failed(error))));
                        }
                        None => {
                            this.ends();
                            return Poll::Ready(None);
                        }
                    }
                }
            }
        }
    }
}

impl<S> Streaming<S> {
    fn ends(&mut self) {
        if let Now::Reads { stream, lease, .. } = std::mem::replace(&mut self.now, Now::Ended) {
            drop(stream);
            lease.ended();
        }
    }

    /// Nobody asks the stream again, which would look like an end.
    fn is_late(&mut self) {
        if let Now::Reads { until, lease, .. } = std::mem::replace(&mut self.now, Now::Ended) {
            self.now = Now::Late { until, lease };
        }
    }

    /// What is said at once, if nobody waits.
    fn stops<T, E>(&mut self, why: Cancelled) -> Option<Result<T, Error<E>>> {
        let lease = match std::mem::replace(&mut self.now, Now::Ended) {
            Now::Reads { stream, lease, .. } => {
                drop(stream);
                Some(lease)
            }
            Now::Late { lease, .. } => Some(lease),
            _ => None,
        };
        if let Some(lease) = lease {
            if let (Some(settling), Wait::Confirmed) = (lease.stopped(), self.wait) {
                self.now = Now::Stops { settling: Box::pin(settling.ends()), why };
                return None;
            }
        }
        Some(Err(why.into()))
    }
}

impl<S> fmt::Debug for Streaming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("has_ended", &matches!(self.now, Now::Ended))
            .finish_non_exhaustive()
    }
}
