//! Where operations are kept.

mod conn;
mod local;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::future::Future;
use std::sync::Arc;

pub(crate) use self::conn::{
    Conn, Dialect, Row, Value, micros, strange as conn_strange, time, values,
};
pub(crate) use self::local::Local;

use crate::Error;
use crate::hints::Hints;

/// A database that operations are kept in: [`Sqlite`](crate::Sqlite), or
/// [`Postgres`](crate::Postgres).
///
/// It cannot be implemented outside of this crate: what a database has to promise is more than
/// its types can say.
pub trait Store: Keeps {}

/// What one has to do. All of it may be done again when it was not answered.
pub trait Keeps: Clone + Send + Sync + 'static {
    /// Whether one writes at a time, and the others wait, whatever they write.
    const ONE_WRITES: bool;

    /// Does this in a transaction.
    fn transact<W: Work>(
        &self,
        within: Within,
        work: W,
    ) -> impl Future<Output = Result<W::Done, Error>> + Send;

    /// Makes its tables.
    fn migrate(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Listens for as long as it is polled, and tells what it hears. `node` is who is called.
    fn listen(&self, node: String, hints: Arc<Hints>) -> impl Future<Output = ()> + Send;

    /// Tells others that there is work, after it was committed. What is lost is found by the
    /// next look.
    fn work_is_there(&self) -> impl Future<Output = ()> + Send;

    /// Where it is told what changes within this process.
    fn local(&self) -> &Arc<Local>;
}

/// Some steps of the protocol, for whichever database.
pub trait Work: Send + Sync + Clone + 'static {
    /// What is known after it.
    type Done: Send + 'static;

    /// Whether it is one statement that only reads, and needs no transaction.
    const READS: bool = false;

    /// Whether it is over so many rows that it may take its time.
    fn is_large(&self) -> bool {
        false
    }

    /// Does them, with nothing but this connection.
    fn run<C: Conn>(self, conn: &mut C) -> impl Future<Output = Result<Self::Done, Error>> + Send;
}

/// Who is served: what keeps the lease does not wait for what users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// What keeps the lease, and reads what was asked for. It waits for no operation's lock, and so
    /// not for those that do.
    Lease,
    /// What keeps operations going.
    Control,
    /// What somebody waits for.
    Request,
    /// The same, where they are about to change it: those who only look do not keep them waiting.
    Change,
}

#[cfg(feature = "postgres")]
impl Within {
    fn is_waited_for(self) -> bool {
        matches!(self, Self::Request | Self::Change)
    }
}
