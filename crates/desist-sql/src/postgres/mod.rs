//! Postgres, with `tokio-postgres`.
//!
//! A [`Pool`] lends a [`Conn`], or a transaction, a [`Tx`], to work that has a token; both
//! dereference to the driver's own client.
//!
//! ```
//! use desist::Token;
//! use desist_sql::postgres::{Conn, Pool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new("postgres://shop@localhost/shop")?;
//! // It was stopped before: nothing is sent, and not even a connection made.
//! let stopped = Token::cancelled_with("enough");
//! let one = pool.run(&stopped, async |conn: Conn| conn.query_one("SELECT 1", &[]).await).await;
//! assert!(one.unwrap_err().cancelled().is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # How it is done
//!
//! The driver's own clients do the work; a pool of deadpool keeps them. What is added is that
//! a stop reaches the server, and hits nobody else:
//!
//! - Every stream to a server is looked at on its way (`wire.rs`), so that it is known what a
//!   connection still owes, whether a transaction is open on it, and who serves it.
//! - A connection is leased (`lease.rs`), and comes back to the pool only when nothing runs on
//!   it, nothing is on its way to it (`driven.rs`) and no transaction is open. That costs the
//!   usual case nothing that goes over the wire.
//! - One that is not clean is settled by its owner, a task (`settle.rs`): whatever future the
//!   caller drops, the server is asked to cancel, to the end of that, and answers for
//!   everything that was sent before anybody else has the connection.
//!
//! The hardest case is a cancel that comes too late: it names a connection, and not a
//! statement, so it would hit the next one. The server has passed it on when it closes the
//! connection that it came by; the driver does not wait for that, and here it is waited for.

mod build_error;
mod confirmed;
mod connector;
mod counts;
mod driven;
mod handle;
mod lease;
mod manager;
mod pool;
mod pool_builder;
mod run;
mod settle;
mod socket;
mod streaming;
mod transaction;
mod watched;
mod wire;

pub use self::build_error::BuildError;
pub use self::connector::RawStream;
pub use self::handle::Conn;
pub use self::pool::Pool;
pub use self::pool_builder::PoolBuilder;
pub use self::streaming::Streaming;
pub use self::transaction::Tx;
