//! Which lease is on, for a thread and its connection (S1).

use std::mem;
use std::sync::{Arc, Mutex};

use desist::Token;

use super::lease::Lease;
use super::lock;

thread_local! {
    static HERE: Arc<Lent> = Arc::default();
}

/// To whom a connection is lent.
#[derive(Default)]
pub(super) struct Lent(Mutex<Option<Arc<Lease>>>);

impl Lent {
    /// Of this thread, and so of the one connection that it owns.
    pub(super) fn here() -> Arc<Self> {
        HERE.with(Arc::clone)
    }

    pub(super) fn lease(&self) -> Option<Arc<Lease>> {
        lock(&self.0).clone()
    }

    /// Whose it was before.
    pub(super) fn lend(&self, to: Option<Arc<Lease>>) -> Option<Arc<Lease>> {
        mem::replace(&mut *lock(&self.0), to)
    }
}

/// The lease that is on, on this thread.
pub(super) fn lease() -> Option<Arc<Lease>> {
    HERE.with(|lent| lent.lease())
}

/// The token of the work whose closure runs on this thread, for what it does besides its
/// statements. It hears of every stop of that work: of the caller's token, of the dropping
/// of its future, and of the closing of its pool, of which the caller's own token hears
/// nothing. Everywhere else it is [`Token::never`], so also on a thread that a closure begins:
/// take it along.
///
/// ```
/// use desist::{Reason, Token};
/// use desist_sql::sqlite::{self, Pool, rusqlite};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
/// let pool = Pool::open(":memory:").await?;
/// let (tell, told) = tokio::sync::oneshot::channel();
/// let running = pool.run(&Token::never(), move |_| {
///     // It computes, and looks up now and then.
///     while !sqlite::token().is_cancelled() {
///         std::thread::yield_now();
///     }
///     tell.send(sqlite::token().cancellation().unwrap().reason()).unwrap();
///     Ok::<_, rusqlite::Error>(())
/// });
/// let task = tokio::spawn(running);
/// while pool.in_use() == 0 {
///     tokio::task::yield_now().await;
/// }
/// task.abort();
/// assert_eq!(told.await.unwrap(), Reason::Dropped);
/// assert!(!sqlite::token().can_be_cancelled(), "no closure runs here");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn token() -> Token {
    lease().map_or_else(Token::never, |lease| lease.token.clone())
}
