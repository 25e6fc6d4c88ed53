use std::fmt;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use desist::{Cancelled, Token};
use tokio_postgres::error::{DbError, Severity};

use super::connector::BoxError;
use super::handle::Held;
use super::lease::{Lease, Slot};
use super::pool::Pool;
use super::run::{stop, until_stopped};
use super::wire::Status;
use crate::Error;

/// A transaction, in the hands of the work that it is for: statements are made with the
/// driver's own client, to which it derefs.
///
/// ```no_run
/// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
/// let moves = pool.transaction(&token, |tx| async move {
///     tx.execute("UPDATE accounts SET amount = amount - 1 WHERE id = 1", &[]).await?;
///     tx.execute("UPDATE accounts SET amount = amount + 1 WHERE id = 2", &[]).await
/// });
/// assert_eq!(moves.await?, 1);
/// # Ok(())
/// # }
/// ```
pub struct Tx {
    held: Option<Held>,
    depth: usize,
}

impl Pool {
    /// Does that work in a transaction, which is committed when the work has succeeded, and
    /// rolled back when it fails, is stopped, or is dropped.
    ///
    /// A token that is cancelled before the commit is sent stops it; after that nobody does,
    /// and its outcome is awaited. If the token has a deadline, the server knows of it
    /// (`SET LOCAL statement_timeout`).
    ///
    /// # Errors
    ///
    /// As of [`run`](Self::run); and it was not committed, because a statement in it had failed
    /// though the work went on, or the server refused; or the connection was lost while it was
    /// ([`Error::is_in_doubt`]).
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// let inserted = pool.transaction(&token, |tx| async move {
    ///     tx.execute("INSERT INTO orders DEFAULT VALUES", &[]).await
    /// });
    /// match inserted.await {
    ///     Ok(rows) => assert_eq!(rows, 1),
    ///     Err(error) if error.is_in_doubt() => println!("look whether it is there"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction<T, E, F, Fut>(&self, token: &Token, work: F) -> Result<T, Error<E>>
    where
        F: FnOnce(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let (lease, held) = self.lease(token).await?;
        // In one flush, with the time that there is.
        let says = token.remaining().and_then(|left| lease.says_of(left));
        let begins = says.map_or_else(|| "BEGIN".to_owned(), |it| format!("BEGIN; SET LOCAL {it}"));
        let failed = "the transaction could not begin";
        let (lease, held) = self.first(token, lease, held, &begins, failed).await?;
        held.wire().begins();
        let ended = {
            let work = pin!(work(Tx { held: Some(held), depth: 0 }));
            until_stopped(token, work).await
        };
        match ended {
            Ok(Ok(result)) => self.commit(token, lease).await.map(|()| result),
            Ok(Err(error)) => {
                lease.failed().await;
                Err(Error::failed(error))
            }
            Err(why) => {
                stop(lease, self.wait()).await;
                Err(why.into())
            }
        }
    }

    async fn commit<E>(&self, token: &Token, mut lease: Lease) -> Result<(), Error<E>> {
        let Some(held) = Held::of(lease.slot()) else {
            // Whoever has it may commit it until its server's process has ended.
            lease.failed().await;
            return Err(Error::in_doubt("its handle was kept beyond the work"));
        };
        // What the work has left running comes first, and is stopped as the work is.
        let held = match self.rests(token, held).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                lease.failed().await;
                return Err(Error::not_committed(error));
            }
            Err(why) => {
                stop(lease, self.wait()).await;
                return Err(why.into());
            }
        };
        if lease.slot().is_torn() {
            drop(held);
            lease.failed().await;
            let why = "a savepoint of it was dropped half-way; await it, or return its error";
            return Err(Error::not_committed(why));
        }
        if held.wire().has_turned() {
            drop(held);
            lease.failed().await;
            let why = "a statement in it has ended it, or begun another one; leave both to the \
                       result of its work";
            return Err(Error::in_doubt(why));
        }
        if held.wire().status() == Status::Idle {
            drop(held);
            lease.ended();
            return Err(Error::not_committed("a statement in it has ended it already"));
        }
        if let Err(why) = token.check() {
            drop(held);
            stop(lease, self.wait()).await;
            return Err(why.into());
        }
        // From here on nobody stops it: who drops this future leaves it to the lease's owner.
        lease.commits();
        let commits = held.client().batch_execute("COMMIT");
        match tokio::time::timeout(self.commit_within(), commits).await {
            Ok(Ok(())) => {
                let is_committed = held.wire().last_was("COMMIT");
                drop(held);
                lease.ended();
                if is_committed {
                    return Ok(());
                }
                Err(Error::not_committed("a statement in it had failed"))
            }
            Ok(Err(error)) => {
                // The server said no; or it ends, which it may do when it has committed.
                let severity = error.as_db_error().and_then(DbError::parsed_severity);
                let is_answer = severity == Some(Severity::Error);
                drop(held);
                lease.failed().await;
                Err(if is_answer { Error::not_committed(error) } else { Error::in_doubt(error) })
            }
            Err(late) => {
                drop(held);
                // Nobody waits for that any longer.
                drop(lease.undone());
                Err(Error::in_doubt(late))
            }
        }
    }
}

impl Pool {
    /// The connection, when all that was asked for has its answer.
    async fn rests(&self, token: &Token, held: Held) -> Result<Result<Held, BoxError>, Cancelled> {
        if held.has_sent() && held.wire().is_quiet() {
            return Ok(Ok(held));
        }
        let within = self.commit_within();
        let rests = pin!(async move {
            tokio::time::timeout(within, held.client().batch_execute("")).await??;
            Ok::<_, BoxError>(held)
        });
        until_stopped(token, rests).await
    }
}

impl Tx {
    /// Does that work in a savepoint: what it has done is undone when it fails, and the
    /// transaction goes on. They nest. One that is dropped half-way is not undone: the
    /// transaction is not committed then, unless a savepoint around it is undone.
    ///
    /// # Errors
    ///
    /// The work failed, or a statement of the savepoint's own did.
    ///
    /// # Panics
    ///
    /// The work kept its handle.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// pool.transaction(&token, |mut tx| async move {
    ///     let tried = tx.savepoint(|tx| async move { tx.batch_execute("SELECT 1/0").await }).await;
    ///     assert!(tried.is_err());
    ///     tx.batch_execute("SELECT 'the transaction goes on'").await
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn savepoint<T, E, F, Fut>(&mut self, work: F) -> Result<T, E>
    where
        F: FnOnce(Self) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<tokio_postgres::Error>,
    {
        let depth = self.depth + 1;
        self.batch_execute(&format!("SAVEPOINT desist_{depth}")).await?;
        let Some(held) = self.held.take() else { unreachable!("it is there until it is dropped") };
        let mut lent = Lent { slot: held.slot(), to: &mut self.held, depth, has_ended: false };
        let ended = {
            let work = pin!(work(Self { held: Some(held), depth }));
            work.await
        };
        lent.comes_back();
        assert!(lent.to.is_some(), "the handle of a savepoint was kept beyond its work");
        if ended.is_ok() {
            lent.client().batch_execute(&format!("RELEASE desist_{depth}")).await?;
        } else {
            let undoes = format!("ROLLBACK TO desist_{depth}; RELEASE desist_{depth}");
            // What the work has failed with says more than what that may.
            if lent.client().batch_execute(&undoes).await.is_ok() {
                lent.slot.mends(depth);
            } else {
                return ended;
            }
        }
        lent.has_ended = true;
        ended
    }

    fn client(&self) -> &ClientWrapper {
        let Some(held) = &self.held else { unreachable!("it is there until it is dropped") };
        held.client()
    }
}

/// A connection that the work of a savepoint has. Its handle lays it into the slot, from where it
/// is picked up again, also when all of that is dropped half-way.
struct Lent<'a> {
    slot: Arc<Slot>,
    to: &'a mut Option<Held>,
    depth: usize,
    has_ended: bool,
}

impl Lent<'_> {
    fn comes_back(&mut self) {
        if self.to.is_none() {
            *self.to = Held::of(&self.slot);
        }
    }

    fn client(&self) -> &ClientWrapper {
        let Some(held) = &self.to else { unreachable!("it has come back") };
        held.client()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.comes_back();
        if !self.has_ended {
            self.slot.tears(self.depth);
        }
    }
}

impl Deref for Tx {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.client()
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").field("depth", &self.depth).finish_non_exhaustive()
    }
}
