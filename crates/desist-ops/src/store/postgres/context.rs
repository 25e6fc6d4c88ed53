//! The end of an operation and its effects, in one transaction: P11.

use std::future::Future;

use desist_sql::postgres::Tx;
use serde_core::Serialize;

use super::asked::{FRESH, last_step};
use crate::commit::InCommit;
use crate::{BoxError, CommitError, Context, Postgres};

impl Context<Postgres> {
    /// Does this in a transaction that ends the operation as well: both are there, or neither is.
    /// What the closure gives is the operation's output; what its handler returns after that
    /// changes nothing.
    ///
    /// It is READ COMMITTED, whatever is usual: the end has to see who has the operation now.
    ///
    /// It is committed only if this run still has the operation; so it is there once, however
    /// often the operation was begun. A cancel that comes before the commit undoes it.
    ///
    /// # Errors
    ///
    /// The closure failed; it was stopped, also because its lease is lost; this run is over; the
    /// database failed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is rolled back, unless the commit was on its way: then no other one may be begun.
    ///
    /// ```no_run
    /// use desist_ops::{BoxError, Context, Postgres};
    ///
    /// async fn import(ctx: Context<Postgres>, names: Vec<String>) -> Result<(), BoxError> {
    ///     ctx.commit(|tx| async move {
    ///         for name in &names {
    ///             tx.execute("INSERT INTO customers (name) VALUES ($1)", &[name]).await?;
    ///         }
    ///         Ok(names.len())
    ///     })
    ///     .await?;
    ///     Ok(())
    /// }
    /// # let _ = desist_ops::Kind::new("import", import);
    /// ```
    pub async fn commit<T, F, Fut>(&self, work: F) -> Result<T, CommitError>
    where
        F: FnOnce(Tx) -> Fut,
        Fut: Future<Output = Result<T, BoxError>>,
        T: Serialize,
    {
        let committing = self.live.may_commit()?;
        let pool = self.operations.store().pool();
        let does = pool.transaction(self.token(), |mut tx| async move {
            // A process that is stopped in its middle keeps what it has locked for so long.
            let lease = self.operations.shared().settings.lease.as_millis().saturating_mul(4);
            let bound = lease.clamp(60_000, i32::MAX as u128);
            let bound = format!("SET LOCAL idle_in_transaction_session_timeout = {bound}");
            tx.batch_execute(&format!("{FRESH}; {bound}")).await.map_err(InCommit::from)?;
            // The handler has the transaction, and gives it back: the end comes last.
            let saved = tx.savepoint(|tx| async move { work(tx).await.map_err(InCommit::Handler) });
            let given = saved.await?;
            let finish = self.operations.finish_of(&self.live, &given)?;
            InCommit::checked(last_step(&**tx, finish).await, given)
        });
        committing.became(does.await)
    }
}
