//! What a handler is given.

use std::fmt;
use std::sync::Arc;

use desist::Token;
use desist_tokio::Stop;
use serde_core::Serialize;

use crate::worker::Live;
use crate::{OperationId, Operations, Start};

/// A run of an operation, in the hands of its handler: when to stop, how to say how far it is, and
/// how to do something exactly once.
///
/// `commit`, for [SQLite](Context::<crate::Sqlite>::commit) and for Postgres, writes the effects
/// and the end of the operation in one transaction.
///
/// ```
/// use desist_ops::{BoxError, Context, Kind, Sqlite};
///
/// async fn count(ctx: Context<Sqlite>, to: u64) -> Result<u64, BoxError> {
///     for n in 0..to {
///         ctx.progress(n, to, "counts");
///         if ctx.draining().is_cancelled() {
///             return Ok(n);
///         }
///         ctx.token().check()?;
///     }
///     println!("attempt {} of {}, for {:?}", ctx.attempt(), ctx.attempts(), ctx.actor());
///     Ok(to)
/// }
///
/// let kind = Kind::new("count", count);
/// # let _ = kind;
/// ```
pub struct Context<S> {
    pub(crate) live: Arc<Live>,
    pub(crate) operations: Operations<S>,
}

impl<S> Context<S> {
    /// Cancelled when it shall stop now: somebody asked, its time is over, its lease is lost, or
    /// its process ends. The detail of the cancellation is the
    /// [`CancelRequest`](crate::CancelRequest), where there was one.
    #[must_use]
    pub fn token(&self) -> &Token {
        self.live.stop.token()
    }

    /// Cancelled when it shall begin nothing new and finish what is in hand.
    #[must_use]
    pub fn draining(&self) -> &Token {
        self.live.stop.draining()
    }

    /// Both.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.live.stop
    }

    /// Says how far it is. It costs next to nothing: at most one a second is written, and always
    /// the last.
    ///
    /// ```
    /// # use desist_ops::{Context, Sqlite};
    /// async fn import(ctx: Context<Sqlite>, rows: Vec<String>) -> Result<(), desist::Cancelled> {
    ///     for (n, row) in rows.iter().enumerate() {
    ///         ctx.token().check()?;
    ///         ctx.progress(n as u64, rows.len() as u64, row);
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = desist_ops::Kind::new("import", import);
    /// ```
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, message: impl Into<String>) {
        self.live.step(done, total.into(), crate::text::kept(message, crate::text::MESSAGE));
    }

    /// What the operation is called.
    #[must_use]
    pub fn id(&self) -> OperationId {
        self.live.id
    }

    /// Which claim this run belongs to, for systems outside of the database: one that has seen a
    /// greater one refuses this.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.live.generation
    }

    /// The how manieth it is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.live.attempt
    }

    /// How often it may be begun.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.live.attempts
    }

    /// Who started it.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.live.actor.as_deref()
    }

    /// The trace that it belongs to, as W3C writes it.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.live.traceparent.as_deref()
    }

    /// Below which operation it was started.
    #[must_use]
    pub fn parent(&self) -> Option<OperationId> {
        self.live.parent
    }

    /// What it can be found by.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.live.tags
    }

    /// All operations, to ask about others.
    #[must_use]
    pub fn operations(&self) -> &Operations<S> {
        &self.operations
    }
}

impl<S: crate::Store> Context<S> {
    /// Starts another one below this one: cancelling the tree of this one reaches it. In the same
    /// trace, for the same actor.
    ///
    /// ```
    /// use desist_ops::{BoxError, Context, Kind, Sqlite};
    ///
    /// async fn nightly(ctx: Context<Sqlite>, tables: Vec<String>) -> Result<(), BoxError> {
    ///     for table in &tables {
    ///         let _ = ctx.start("export", table).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = Kind::new("nightly", nightly);
    /// ```
    pub fn start<'a, I>(&'a self, kind: &'a str, input: &'a I) -> Start<'a, S>
    where
        I: Serialize + ?Sized,
    {
        let start = self.operations.start(kind, input).parent(self.id());
        let start = match self.actor() {
            Some(actor) => start.actor(actor),
            None => start,
        };
        match self.traceparent() {
            Some(trace) => start.traceparent(trace),
            None => start,
        }
    }
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { live: Arc::clone(&self.live), operations: self.operations.clone() }
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.live.id)
            .field("kind", &self.live.kind)
            .field("generation", &self.live.generation)
            .finish_non_exhaustive()
    }
}
