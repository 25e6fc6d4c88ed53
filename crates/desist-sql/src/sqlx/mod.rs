//! Postgres through [`::sqlx`]: a [`Pool`] over the `PgPool` that one has.
//!
//! It asks for Rust 1.94, as sqlx does. Which TLS, which types and whether there are macros
//! is what the features of one's own `sqlx` say.
//!
//! ```
//! use desist::Token;
//! use desist_sql::sqlx::Pool;
//! use sqlx::PgPool;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sqlx::Result<()> {
//! let pool = Pool::new(PgPool::connect_lazy("postgres://shop@localhost/shop")?);
//! // It was stopped before: nothing is sent, and not even a connection made.
//! let stopped = Token::cancelled_with("enough");
//! let one = pool.run(&stopped, async |mut conn| {
//!     sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut *conn).await
//! });
//! assert!(one.await.unwrap_err().cancelled().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! When the token is cancelled, or the future dropped, the closure's future is dropped, and
//! the server stops what it still does for it. Its connection is then either proven to be
//! quiet, in step and outside of any transaction, and used again; or it is closed and its
//! backend terminated. No statement of anybody else is ever cancelled.
//!
//! # How it keeps it
//!
//! **Who owns a connection.** One at a time: the lease while it begins; the handle, [`Conn`]
//! or [`Tx`], while the closure works; a task of its own, the *owner*, from then on. What the
//! connection still owes is never awaited by the caller's future, which may be dropped. The
//! handle gives its connection back when it is dropped; what is not back when the closure's
//! future is gone was smuggled out, and its backend is terminated. Whoever terminates closes
//! the socket when the backend is gone, or its time for that is over, and not before: behind a
//! pooler in session mode the backend is somebody else's as soon as the socket is closed.
//!
//! **One road back.** A connection goes back to the pool by `Owned::release` alone, which is
//! called after a *probe*: a statement that asks for the backend's pid, whether the
//! transaction began with that very statement, so that none was open before it, and a number
//! that was never asked for before. Its answer proves that the server has nothing left to do
//! there, and that the driver reads the answer to what it has sent and not to something
//! earlier; `COPY` in sqlx 0.9 loses count of the answers when it is abandoned, or refused.
//! On every other way out, also with the runtime, the connection is closed. A timeout that was
//! set for the lease is set back before each probe. What sqlx does as it takes a connection back
//! is awaited by the owner, too, for a bounded time: it has a place in the pool.
//!
//! **States of a lease.**
//!
//! | state | ends with | then |
//! |---|---|---|
//! | begins: acquire, then a probe, or `BEGIN` and a probe | the probe's answer | works |
//! | | the stop | nothing of the caller's runs; the owner sees to the probe |
//! | works: the closure's future | its end | the owner: `COMMIT`, `ROLLBACK`, or a probe |
//! | | the stop | its future is dropped, then the owner stops the server |
//! | settles: the owner alone | the proof, or the end of its time | released, or discarded |
//!
//! **Stopping the server.** The owner waits for the answer to what was abandoned, and at the
//! same time asks over a side connection, again and again, to cancel what that backend does:
//! a cancel that comes before its statement is ignored by the server. Then it probes. Nothing
//! takes place before *both* the last cancel's answer has come and the connection has
//! answered: `pg_cancel_backend` answers after it has sent its signal, so that it is pending
//! in the backend before the probe is sent to it; the backend handles it before it can read
//! the probe, and a cancel that meets no statement is forgotten there. An answer that does
//! not come may stand for a signal that still will, so the connection is discarded then. The
//! side connection is never one of the pool, which may be exhausted by what is to be stopped;
//! so may the server, and therefore the first is opened with the first work. One that was idle
//! may have died unseen: it is asked before the signal goes out, so that there is none if it
//! has; and no answer is waited for without a bound.
//!
//! **Which backend.** sqlx tells nobody the pid, so the probe at the start of a lease asks for
//! it, which is a round trip; it also finds connections that have died, so that the pool's own
//! `test_before_acquire` is not needed and should be off. A cancel names the pid *and* says
//! when its server was started, because one address may lead to several; *and* that its
//! backend began before the lease, so that it cannot hit another one that was given the same
//! pid since; for a transaction, that it is still the one that began then, because
//! behind a pooler the backend is somebody else's as soon as it has ended.
//!
//! **Commit.** Before it the transaction is probed: one in which a statement failed answers
//! with an error, where Postgres would answer `COMMIT` with a silent `ROLLBACK`. From then on
//! neither the token nor dropping the future changes anything; the owner awaits the answer,
//! for a bounded time. Is there none, nobody knows, and the error says so. Nor does anybody
//! know of a transaction that its closure has ended, or whose handle it has kept: it is in
//! doubt, too.
//!
//! **Who cancelled.** Ours is the state: an `Err` of a closure whose token is cancelled, or
//! whose time is over, is the stop. SQLSTATE 57014 is not looked at: when nobody cancelled
//! the token it is the driver's error, somebody else's doing.
//!
//! # What it cannot do
//!
//! The work of a statement that ended before the stop reached it is done, outside of a
//! transaction. An abandoned `COPY` costs its connection. Through PgBouncer in transaction
//! mode [`Pool::run`] is unsafe for others, because the backend of the cancel need not be the
//! one of the statement; where that is [known](Builder::behind_transaction_pooler) it is
//! refused. [`Pool::transaction`] asks for its backend inside of the transaction. Where the
//! server has `track_activities` off no transaction can be told from another one, so that its
//! connection is closed, and nothing cancelled. What a session keeps, settings and advisory
//! locks, is kept as ever in sqlx.

mod begin;
mod builder;
mod commit;
mod depth;
mod handle;
mod lease;
mod pool;
mod probe;
mod refused;
mod rows;
mod run;
mod settle;
mod side;

pub use self::builder::Builder;
pub use self::handle::{Conn, Tx};
pub use self::pool::Pool;
pub use self::rows::Rows;
pub use self::run::Run;

/// The label of its metrics.
const DATABASE: &str = "sqlx";
