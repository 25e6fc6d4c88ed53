//! The end of an operation and its effects, in one transaction: P11.

use std::sync::Arc;

use desist_sql::sqlite::rusqlite::Transaction;
use serde_core::Serialize;

use super::asked::drive;
use crate::commit::InCommit;
use crate::{BoxError, CommitError, Context, Sqlite};

impl Context<Sqlite> {
    /// Does this in a transaction that ends the operation as well: both are there, or neither is.
    /// What the closure gives is the operation's output; what its handler returns after that
    /// changes nothing.
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
    /// ```
    /// use desist_ops::{BoxError, Context, Sqlite};
    ///
    /// async fn import(ctx: Context<Sqlite>, names: Vec<String>) -> Result<(), BoxError> {
    ///     ctx.commit(move |tx| {
    ///         for name in &names {
    ///             tx.execute("INSERT INTO customers (name) VALUES (?1)", [name])?;
    ///         }
    ///         Ok(names.len())
    ///     })
    ///     .await?;
    ///     Ok(())
    /// }
    /// # let _ = desist_ops::Kind::new("import", import);
    /// ```
    pub async fn commit<T, F>(&self, work: F) -> Result<T, CommitError>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, BoxError> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let committing = self.live.may_commit()?;
        let (live, operations) = (Arc::clone(&self.live), self.operations.clone());
        let does = self.operations.store().pool().transaction(self.token(), move |tx| {
            let given = work(tx).map_err(InCommit::Handler)?;
            let finish = operations.finish_of(&live, &given)?;
            InCommit::checked(drive(tx, finish), given)
        });
        committing.became(does.await)
    }
}
