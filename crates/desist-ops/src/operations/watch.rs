//! Watching one.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::Operations;
use crate::hints::Watching;
use crate::store::Store;
use crate::{Error, Operation, OperationId, State};

/// What nobody tells of is looked for after this, and twice that, up to the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(500));
/// And so often at most, whatever is told.
const PAUSE: Duration = Duration::from_millis(10);

/// Changes of an operation, as they come: [`Operations::watch`].
///
/// Changes that come close together are one. Whatever is told or not, it looks twice a second.
///
/// ```
/// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), desist_ops::Error> {
/// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
/// # let store = Sqlite::open(":memory:").await?;
/// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
/// let id = operations.start("export", "orders").await?.id();
/// let mut watch = operations.watch(id, 0);
/// while let Some(operation) = watch.next().await? {
///     println!("{}: {:?}", operation.state, operation.progress);
///     # operations.cancel(id, CancelRequest::new()).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Watch<S> {
    operations: Operations<S>,
    watching: Watching,
    id: OperationId,
    version: i64,
    is_over: bool,
}

impl<S: Store> Watch<S> {
    /// The operation, as soon as it has changed since the last time; at first, as it is. `None` after
    /// it was given as one that has ended, here or to the watch that this one continues.
    ///
    /// # Errors
    ///
    /// There is no such operation, or the database failed: then it may be asked again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Operation>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let mut look = LOOK.0;
        loop {
            let changed = self.watching.changed();
            let operation = self.operations.get(self.id).await?;
            let operation = operation.ok_or_else(|| Error::not_found(self.id))?;
            if operation.version > self.version {
                self.version = operation.version;
                self.is_over = operation.state.is_finished();
                return Ok(Some(operation));
            }
            if operation.state.is_finished() {
                // Whoever goes on here has seen the end.
                self.is_over = true;
                return Ok(None);
            }
            let _ = timeout(look, changed).await;
            tokio::time::sleep(PAUSE).await;
            look = (look * 2).min(LOOK.1);
        }
    }
}

impl<S: Store> Operations<S> {
    /// Watches one, from the first change after this version; 0 is now.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let id = operations.start("export", "orders").await?.id();
    /// let mut watch = operations.watch(id, 0);
    /// assert_eq!(watch.next().await?.unwrap().state, State::Waiting);
    /// operations.cancel(id, CancelRequest::new()).await?;
    /// assert!(watch.next().await?.unwrap().state.is_finished());
    /// assert!(watch.next().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn watch(&self, id: OperationId, after: i64) -> Watch<S> {
        let watching = self.shared().hints.watch(id);
        Watch { operations: self.clone(), watching, id, version: after, is_over: false }
    }

    /// Waits until one has ended, for so long at most, and gives it as it is then:
    /// [`state`](Operation::state) says whether it has.
    ///
    /// # Errors
    ///
    /// There is no such operation, or the database failed.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// use std::time::Duration;
    ///
    /// let id = operations.start("export", "orders").await?.id();
    /// let seen = operations.wait(id, Duration::from_millis(1)).await?;
    /// assert_eq!(seen.state, State::Waiting, "nobody runs it");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait(&self, id: OperationId, within: Duration) -> Result<Operation, Error> {
        self.until(id, Some(within), State::is_finished).await
    }

    /// Waits until one has begun to run, or has ended.
    ///
    /// # Errors
    ///
    /// There is no such operation, or the database failed.
    pub async fn until_running(&self, id: OperationId) -> Result<Operation, Error> {
        self.until(id, None, |state| state != State::Waiting).await
    }

    async fn until(
        &self,
        id: OperationId,
        within: Option<Duration>,
        is_there: impl Fn(State) -> bool,
    ) -> Result<Operation, Error> {
        let end = within.and_then(|within| Instant::now().checked_add(within));
        let mut watch = self.watch(id, 0);
        let mut last = None;
        loop {
            let next = watch.next();
            let next = match (end, &last) {
                // It is looked at once, however little time there is.
                (Some(end), Some(_)) => timeout_at(end, next).await.ok(),
                _ => Some(next.await),
            };
            let seen = match next {
                Some(seen) => seen?,
                None => None,
            };
            match (seen, last) {
                (Some(seen), _) if is_there(seen.state) => return Ok(seen),
                (Some(seen), _) => last = Some(seen),
                (None, Some(last)) => return Ok(last),
                (None, None) => return Err(Error::not_found(id)),
            }
        }
    }
}
