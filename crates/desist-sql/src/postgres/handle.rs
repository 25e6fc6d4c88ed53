use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Transaction, TransactionBuilder};

use super::lease::{Slot, Taken};
use super::wire::Wire;

/// A connection, in the hands of the work that it is for: the driver's own client, with all
/// that it can do.
///
/// It is not given as `&mut`: two of them that were swapped would each be taken for the other.
/// What the driver wants that for is [`transaction`](Self::transaction), and
/// [`build_transaction`](Self::build_transaction).
///
/// It is given back when it is dropped. Whoever keeps it for longer than their work keeps its
/// place in the pool for as long; its server's process is ended, where it is known, and it is
/// never anybody else's.
///
/// ```no_run
/// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
/// let rows = pool.run(&token, |conn| async move { conn.query("SELECT 1", &[]).await }).await?;
/// assert_eq!(rows[0].get::<_, i32>(0), 1);
/// # Ok(())
/// # }
/// ```
pub struct Conn {
    held: Held,
}

/// A connection that goes back to its slot.
pub(super) struct Held {
    taken: Option<Taken>,
    slot: Arc<Slot>,
}

impl Held {
    pub(super) fn new(taken: Taken, slot: &Arc<Slot>) -> Self {
        Self { taken: Some(taken), slot: Arc::clone(slot) }
    }

    /// `None`: it is not there.
    pub(super) fn of(slot: &Arc<Slot>) -> Option<Self> {
        let taken = slot.pick()?;
        Some(Self::new(taken, slot))
    }

    pub(super) fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.slot)
    }

    fn taken(&self) -> &Taken {
        let Some(taken) = &self.taken else { unreachable!("it is there until it is dropped") };
        taken
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.taken().wire
    }

    /// Nothing that was asked for is on its way to the socket.
    pub(super) fn has_sent(&self) -> bool {
        self.taken().driven.has_sent()
    }

    pub(super) fn client(&self) -> &ClientWrapper {
        &self.taken().client
    }

    pub(super) fn client_mut(&mut self) -> &mut ClientWrapper {
        let Some(taken) = &mut self.taken else { unreachable!("it is there until it is dropped") };
        &mut taken.client
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.slot.lay(taken);
        }
    }
}

impl Conn {
    pub(super) fn new(held: Held) -> Self {
        Self { held }
    }

    /// A transaction of the driver's own, which nobody commits or rolls back but the work; what
    /// it leaves open is rolled back before anybody else comes.
    /// [`Pool::transaction`](super::Pool::transaction) sees to more.
    ///
    /// # Errors
    ///
    /// The driver's own.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// let inserts = |mut conn: desist_sql::postgres::Conn| async move {
    ///     let tx = conn.transaction().await?;
    ///     assert_eq!(tx.execute("INSERT INTO orders DEFAULT VALUES", &[]).await?, 1);
    ///     tx.commit().await
    /// };
    /// pool.run(&token, inserts).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction(&mut self) -> Result<Transaction<'_>, tokio_postgres::Error> {
        self.held.client_mut().transaction().await
    }

    /// The same, of another isolation, say.
    ///
    /// ```no_run
    /// # async fn work(pool: desist_sql::postgres::Pool, token: desist::Token) -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio_postgres::IsolationLevel::Serializable;
    ///
    /// let reads = |mut conn: desist_sql::postgres::Conn| async move {
    ///     let begins = conn.build_transaction().isolation_level(Serializable).read_only(true);
    ///     let tx = begins.start().await?;
    ///     assert_eq!(tx.query_one("SELECT 1", &[]).await?.get::<_, i32>(0), 1);
    ///     tx.commit().await
    /// };
    /// pool.run(&token, reads).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn build_transaction(&mut self) -> TransactionBuilder<'_> {
        self.held.client_mut().build_transaction()
    }
}

impl Deref for Conn {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.held.client()
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").finish_non_exhaustive()
    }
}
