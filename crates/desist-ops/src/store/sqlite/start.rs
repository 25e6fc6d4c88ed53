//! Starting one in a transaction of one's own.

use desist_sql::sqlite::rusqlite::Connection;

use super::asked::drive;
use crate::{Error, Sqlite, Start, Started};

impl Start<'_, Sqlite> {
    /// Starts it in a transaction of one's own: it is there when that is committed, and not if it is
    /// not.
    ///
    /// # Errors
    ///
    /// As when it is awaited.
    ///
    /// ```
    /// # use desist_ops::{BoxError, Context, Kind, Operations, Sqlite};
    /// # use desist::Token;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let within = operations.clone();
    /// let orders = operations.store().pool().transaction(&Token::never(), move |tx| {
    ///     tx.execute_batch("CREATE TABLE orders (id)")?;
    ///     Ok::<_, BoxError>(within.start("export", "orders").start_in(tx)?)
    /// });
    /// let id = orders.await.map_err(|error| error.into_boxed())?.id();
    /// assert!(operations.get(id).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn start_in(self, tx: &Connection) -> Result<Started, Error> {
        let (_, start) = self.checked()?;
        Ok(Started::of(&drive(tx, start)?))
    }
}
