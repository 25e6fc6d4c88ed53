//! Asking operations to stop.

use std::pin::pin;

use super::Operations;
use crate::protocol::{Cancel, Target};
use crate::store::Store;
use crate::{CancelAnswer, CancelAnswers, CancelRequest, Error, Filter, OperationId, State, text};

impl<S: Store> Operations<S> {
    /// Asks one to stop, wherever it runs. What is answered holds when this returns; the operation
    /// stops when it has heard, and [`wait`](Self::wait) waits for that.
    ///
    /// # Errors
    ///
    /// The database failed. It may be asked again: the first request wins.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// use desist_ops::{CancelAnswer, Outcome};
    ///
    /// let id = operations.start("export", "orders").await?.id();
    /// let why = CancelRequest::new().actor("ada").message("the wrong table");
    /// assert_eq!(operations.cancel(id, why.clone()).await?, CancelAnswer::CancelledBeforeStart);
    /// let late = CancelAnswer::AlreadyFinished(Outcome::Cancelled);
    /// assert_eq!(operations.cancel(id, why).await?, late);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel(
        &self,
        id: OperationId,
        request: CancelRequest,
    ) -> Result<CancelAnswer, Error> {
        let (answers, _) = self.cancels(Target::One(id), request).await?;
        Ok(answers.each.into_iter().next().map_or(CancelAnswer::NotFound, |(_, answer)| answer))
    }

    /// Asks one and all that was started below it, also what will be.
    ///
    /// # Errors
    ///
    /// The database failed, and nobody was asked.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Filter, Kind, Operations, Sqlite, State};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let root = operations.start("export", "all").await?.id();
    /// let _ = operations.start("export", "orders").parent(root).await?;
    /// assert_eq!(operations.cancel_tree(root, CancelRequest::new()).await?.before_start(), 2);
    /// assert!(operations.start("export", "boats").parent(root).await?.is_cancelled());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel_tree(
        &self,
        root: OperationId,
        request: CancelRequest,
    ) -> Result<CancelAnswers, Error> {
        Ok(self.cancels(Target::Tree(root), request).await?.0)
    }

    /// Asks all with this tag that wait or run; many of them a thousand at a time.
    ///
    /// # Errors
    ///
    /// The database failed, and some may have been asked already. It may be asked again.
    ///
    /// ```
    /// # use desist_ops::{BoxError, CancelRequest, Context, Kind, Operations, Sqlite};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), desist_ops::Error> {
    /// # async fn export(_: Context<Sqlite>, _: String) -> Result<(), BoxError> { Ok(()) }
    /// # let store = Sqlite::open(":memory:").await?;
    /// # let operations = Operations::builder(store).kind(Kind::new("export", export)).open().await?;
    /// let _ = operations.start("export", "orders").tag("tenant:7").await?;
    /// let _ = operations.start("export", "boats").tag("tenant:7").await?;
    /// let answers = operations.cancel_tagged("tenant:7", CancelRequest::new()).await?;
    /// assert_eq!(answers.before_start(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel_tagged(
        &self,
        tag: &str,
        request: CancelRequest,
    ) -> Result<CancelAnswers, Error> {
        let tag = text::kept(tag, usize::MAX);
        let (mut all, mut after) = (CancelAnswers::default(), None);
        loop {
            let target = Target::Tagged { tag: tag.clone(), after };
            let (answers, more) = self.cancels(target, request.clone()).await?;
            all.each.extend(answers.each);
            after = more;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    async fn cancels(
        &self,
        target: Target,
        request: CancelRequest,
    ) -> Result<(CancelAnswers, Option<OperationId>), Error> {
        let at_once = self.at_once(&target).await;
        let mut asks = pin!(self.asks(Cancel { target, request: request.clone() }));
        let done = tokio::select! {
            biased;
            done = &mut asks => done?,
            // It is written as soon as somebody may write.
            () = std::future::ready(()) => {
                self.local().tell(|hints| hints.at_once(&at_once, &request));
                asks.await?
            }
        };
        for (id, answer) in &done.answers {
            self.tells_of(*id, answer);
        }
        Ok((CancelAnswers { each: done.answers }, done.more))
    }

    /// Those that run. Where one writes at a time, one that commits keeps a request to stop it from
    /// being written: it is told before.
    async fn at_once(&self, target: &Target) -> Vec<OperationId> {
        if !S::ONE_WRITES {
            return Vec::new();
        }
        let running = Filter::new().state(State::Running).most(1000);
        let running = match target {
            Target::One(id) => return vec![*id],
            Target::Tree(root) => running.tree(*root),
            Target::Tagged { tag, .. } => running.tag(tag.as_str()),
        };
        // They are told all the same, and later.
        let found = self.list(&running).await.unwrap_or_default();
        found.into_iter().map(|operation| operation.id).collect()
    }

    /// Within this process it is known at once.
    pub(super) fn tells_of(&self, id: OperationId, answer: &CancelAnswer) {
        self.local().tell(|hints| {
            if answer.is_requested() {
                hints.cancel(id);
            }
            hints.changed(id);
        });
    }
}
