//! SQLite that really stops, through rusqlite.
//!
//! A [`Pool`] has one thread that writes and several that read, each of which owns its
//! connection. Work is a closure that is sent there, with a token; its rows are mapped
//! there, and what it returns comes back. rusqlite's types are its own, and it is
//! [here](rusqlite) in the release that fits.
//!
//! ```
//! use desist::{Reason, Source};
//! use desist_sql::sqlite::{Pool, rusqlite};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), desist_sql::Error<rusqlite::Error>> {
//! let pool = Pool::open(":memory:").await?;
//! let request = Source::with_timeout(Duration::from_millis(50));
//! let endless = pool.run(&request.token(), |conn| {
//!     let sql = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n)
//!                SELECT max(x) FROM n";
//!     conn.query_row(sql, [], |row| row.get::<_, i64>(0))
//! });
//! assert_eq!(endless.await.unwrap_err().cancelled().unwrap().reason(), Reason::Deadline);
//! # Ok(())
//! # }
//! ```
//!
//! # What a stop is
//!
//! Work goes through these phases, and through each at most once:
//!
//! | phase | a stop | dropping the future |
//! |---|---|---|
//! | before the first poll | nothing is done, not even queued | the same |
//! | waits for its turn | leaves the queue; its closure is dropped, not run | the same |
//! | runs | every statement of it fails from now on; nothing of it commits any more | the same |
//! | over | finds nothing to do | the same |
//!
//! While it runs, the connection is lent to it: that is a *lease*. A stop of it is its
//! own token, a child of the caller's, which is cancelled by the caller's, by the dropping
//! of the future (`Dropped`) and by the pool's being closed (`Shutdown`). Five things look
//! at that token, because each reaches what the others do not:
//!
//! * the progress handler, each 1,000 steps of SQLite's machine: whatever computes;
//! * the busy handler, which waits for a lock and is woken by the stop;
//! * `interrupt`, called by whoever stops: a sort, a long row, a checkpoint;
//! * the trace of statements, as each begins: one that begins after the stop ends before
//!   its first row. (`interrupt` between two statements is lost, and the progress handler
//!   comes too late for a short one.)
//! * the commit hook: after the stop nothing commits, in a transaction or by itself. (The
//!   rollback hook only looks: it tells what became of a commit.)
//!
//! # What holds
//!
//! * **S1 (one lease).** The handlers ask the connection, or its thread, which lease it is, and
//!   there is one only while its closure runs. They are installed anew for each, so that one
//!   that took them away has done it for itself alone.
//! * **S2 (no late interrupt).** `interrupt` is called under the lock of the lease, if it
//!   is still on; the lease ends under the same lock, before the connection does
//!   anything else. What an interrupt leaves behind on a connection on which nothing runs
//!   is cleared by SQLite itself when the next statement begins.
//! * **S3 (clean).** A connection is lent again only if nothing of the last lease is open on it.
//!   A transaction is rolled back; a connection that cannot be rolled back, with a statement
//!   that was forgotten (`mem::forget`), or whose `reset` fails, is thrown away, and another is
//!   opened when it is needed. The caller is told after that.
//! * **S4 (commit or stop).** The commit hook and a caller that does not wait ask under
//!   the lock of the lease, so that one is the first: either the commit does not happen,
//!   or the caller waits for what becomes of it. (It counts as on its way until the next
//!   statement begins, it is rolled back, or the closure ends; then the caller is told.)
//! * **S5 (order).** Work waits in the order in which it came. One that leaves takes its
//!   place along; a turn that it was given already goes to the next.
//! * **S6 (whole).** In [`Pool::transaction`] nothing is committed but by the pool itself, at
//!   the end, and only if the rollback hook has seen nothing: where it was rolled back before,
//!   by its closure or by SQLite itself, what came after that does not slip out of it.
//! * **S7 (no loss untold).** `Ok` is not told of a commit that came to nothing: one that was
//!   vetoed, was rolled back in the same statement, or never came, for the statement was
//!   forgotten. Its closure may not know, for a
//!   statement with `RETURNING` commits when it is reset, and rusqlite says nothing of what
//!   comes of that; nor of a transaction that commits when it is dropped. And where a commit
//!   has passed and no rollback was seen, an error that comes after takes nothing back.
//!
//! Whether work was stopped is known from its token, not from SQLite's code: an
//! `SQLITE_INTERRUPT` without a stop is a failure like any other.
//!
//! # What the caller is told
//!
//! An error after a stop is the stop. A closure that has come to its good end in spite of it
//! has its result, unless it wrote, and something was rolled back after the stop. So if
//! [`Pool::transaction`] says that it was stopped, nothing of it is there, and if it says `Ok`
//! all of it is. What a closure of [`Pool::write`] had committed before the stop stays; if its
//! last commit came to nothing, it is told so. A panic comes out of the future, as if the
//! closure had run there.
//!
//! # What can go wrong
//!
//! * One call of a function that takes long, `hex` of 400 MB or one's own, is not
//!   interrupted by SQLite: the stop is seen when it returns. So it is with the closure's
//!   own code, which should look at its [`token()`], and with a rollback.
//! * A sort does not look while it puts in order what fits into the page cache (2 MB, unless
//!   `cache_size` says otherwise): some milliseconds.
//! * A statement that has its one row in the moment of the stop may still give it out.
//! * Closures may set handlers of their own for progress, busy, trace, commit or rollback: then
//!   those of the pool are gone until the closure ends, and with each what it alone reaches.
//! * On a thread that a closure begins, with its connection, the stop is heard by the progress
//!   handler, by `interrupt` and by the commit hook; a short statement that begins after it may
//!   still run there, and a lock is not waited for.
//! * What else a closure sets on its connection stays: pragmas, temporary tables, attached
//!   databases, functions, an authorizer; [`Builder::reset`] can take it back.
//! * A statement that a closure forgets is never ended, and rusqlite cannot close its
//!   connection: with its files and locks that is leaked until the process ends. One that reads
//!   keeps the write-ahead log from beginning anew. One that writes is rolled back all the same,
//!   but not where its lease was stopped, for the interrupt stays: then nobody writes to this
//!   database any more.
//! * Some pragmas take effect while they are prepared, `query_only` and `foreign_keys` among
//!   them, and so after the stop as well, though the statement then fails. (An authorizer would
//!   see them, but would have each lease prepare its statements anew.)
//! * An `InterruptHandle` that a closure gives away hits whoever has the connection when it is
//!   used. Nobody can take it back.
//! * A statement of which only the first rows are read commits when it is reset, and where that
//!   fails rusqlite does not say so. The pool does, of the last commit of a lease (S7), and not
//!   of one that another followed.
//! * A `wal_hook` that fails gives its error to a statement that was committed. Of a transaction
//!   the pool knows; a closure of [`Pool::write`] has to know it itself.
//! * A file that is deleted or replaced under an open pool is not noticed: what was opened reads
//!   and writes what nobody else sees, and a connection that is opened later finds another
//!   database. Close the pool first.
//! * One that puts another connection in the place of its own leaves the pool with that.
//! * `VACUUM` commits without asking the hook: stopped late, it may be done.
//! * A closure that waits for another call of the same pool may wait for itself.
//!
//! # Who owns what
//!
//! A thread owns its connection, the queue owns the work that waits, the future owns
//! the right to its answer. The threads end when the last [`Pool`] and the last future are
//! gone, or when it is [closed](Pool::close), the writer last: it takes the write-ahead log
//! along.

mod builder;
mod closing;
mod crew;
mod current;
mod handlers;
mod lane;
mod lease;
mod opening;
mod pool;
mod running;
mod slot;
mod ticket;
mod worker;

pub use rusqlite;

pub use self::builder::{Builder, Synchronous};
pub use self::closing::{Closed, StillRunning};
pub use self::current::token;
pub use self::pool::Pool;
pub use self::running::Running;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The label of what is counted.
const DATABASE: &str = "sqlite";

/// No foreign code runs under a lock of ours, so none is left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
