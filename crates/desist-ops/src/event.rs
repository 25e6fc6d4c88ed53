//! What happened to an operation.

use std::time::SystemTime;

/// One of the things that happened to an operation. They are numbered by its versions, from 1;
/// numbers may be left out, for not each change is kept.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let id = operations.start("export", "orders").await?.id();
/// let first = &operations.events(id, 0).await?[0];
/// assert_eq!((first.number, &*first.what), (1, "started"));
/// assert!(first.detail.contains("export"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The version that the operation had after it.
    pub number: i64,
    /// When, by the database's clock.
    pub at: SystemTime,
    /// What: `started`, `claimed`, `cancel_requested`, `heard`, `overdue`, `retried`,
    /// `given_back`, `taken_over`, `finished`.
    pub what: String,
    /// More of it, as a JSON object.
    pub detail: String,
}
