//! Starting one in a transaction of one's own.

use tokio_postgres::GenericClient;

use super::asked::{Asked, failed};
use crate::error::Kind;
use crate::store::Work;
use crate::{Error, Postgres, Start, Started};

impl Start<'_, Postgres> {
    /// Starts it in a transaction of one's own: it is there when that is committed, and not if it is
    /// not. Takes the driver's client within a transaction, or its transaction.
    ///
    /// The others are told of it as that is committed, for which Postgres takes a lock that all such
    /// transactions share: who starts thousands of them a second better does it outside.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    ///
    /// ```no_run
    /// use desist_ops::{BoxError, Operations, Postgres};
    ///
    /// # async fn asks(operations: Operations<Postgres>, token: desist::Token) -> Result<(), BoxError> {
    /// let orders = operations.store().pool().transaction(&token, |tx| {
    ///     let operations = operations.clone();
    ///     async move {
    ///         tx.execute("INSERT INTO orders DEFAULT VALUES", &[]).await?;
    ///         Ok::<_, BoxError>(operations.start("export", "orders").start_in(&**tx).await?)
    ///     }
    /// });
    /// println!("{} is started", orders.await.map_err(|error| error.into_boxed())?.id());
    /// # Ok(())
    /// # }
    /// # let _ = asks;
    /// ```
    pub async fn start_in<C: GenericClient + Sync>(self, tx: &C) -> Result<Started, Error> {
        let (_, mut start) = self.checked()?;
        start.tells = true;
        if start.key.is_some() || start.parent.is_some() {
            sees_the_newest(tx).await?;
        }
        Ok(Started::of(&start.run(&mut Asked::within(tx)).await?))
    }
}

/// Who has a key, and whether a tree was cancelled, is asked after others were waited for: a
/// transaction that keeps seeing what it saw at first would not know.
async fn sees_the_newest<C: GenericClient + Sync>(tx: &C) -> Result<(), Error> {
    let asks = "SELECT current_setting('transaction_isolation')";
    let row = tx.query_typed_one(asks, &[]).await.map_err(failed)?;
    let isolation = row.try_get::<_, String>(0).map_err(failed)?;
    if isolation == "read committed" {
        return Ok(());
    }
    let said = format!(
        "an operation with a key or a parent cannot be started in a transaction that is {isolation}; \
         begin it with ISOLATION LEVEL READ COMMITTED, or start it outside"
    );
    Err(Error::new(Kind::Input, said))
}
