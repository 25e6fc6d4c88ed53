#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `sqlite-bundled`, by default | [`Sqlite`], with a SQLite that is compiled along |
//! | `sqlite` | the same, with the system's |
//! | `postgres` | [`Postgres`], shared by many replicas |
//! | `http` | [`http`]: routes for axum |
//! | `console` | [`console`]: a page for people; with `http` |
//! | `anyhow` | a cancellation within an `anyhow::Error` is seen |
//! | `metrics` | counters, gauges and histograms through its facade |
//! | `tracing` | a span for every run, and events for what goes wrong |
//! | `testing` | for our tests of what must not happen: not for a service |
//!
//! ## Where to go next
//!
//! * What runs: [`Kind`], whose handler is given a [`Context`]. To start, see, cancel and run:
//!   [`Operations`]. What is seen: [`Operation`], [`State`], [`Outcome`].
//! * To stop one: [`CancelRequest`], and what is answered: [`CancelAnswer`]. After a death:
//!   [`AfterDeath`].
//! * For people and programs: [`http::Routes`], [`console::Console`]. How it is kept:
//!   [`_protocol`].
//! * Guides: [operations][g11], [SQL][g09], [requests][g08], [services and shutdown][g10]; [all
//!   thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist), [desist-sql](https://docs.rs/desist-sql),
//!   [desist-host](https://docs.rs/desist-host). Each [example] prints what it proves.
//!
//! [g11]: https://github.com/desist-rs/desist/blob/main/docs/11-operations.md
//! [g09]: https://github.com/desist-rs/desist/blob/main/docs/09-sql.md
//! [g08]: https://github.com/desist-rs/desist/blob/main/docs/08-requests.md
//! [g10]: https://github.com/desist-rs/desist/blob/main/docs/10-services-and-shutdown.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without a store nothing of it is used.
#![cfg_attr(not(any(feature = "postgres", feature = "sqlite")), allow(dead_code, unused_imports))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

#[doc = include_str!("../PROTOCOL.md")]
pub mod _protocol {}

mod cancel;
mod commit;
#[cfg(feature = "console")]
#[cfg_attr(docsrs, doc(cfg(feature = "console")))]
pub mod console;
mod context;
mod error;
mod event;
mod filter;
mod hints;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod id;
mod kind;
mod lasting;
mod lock;
mod measure;
mod operation;
mod operations;
mod policy;
mod protocol;
mod store;
mod text;
mod worker;

pub use self::cancel::{CancelAnswer, CancelAnswers, CancelMode, CancelRequest};
pub use self::commit::CommitError;
pub use self::context::Context;
pub use self::error::{BoxError, Error};
pub use self::event::Event;
pub use self::filter::Filter;
pub use self::hints::Push;
pub use self::id::{NotAnId, OperationId};
pub use self::kind::Kind;
pub use self::lasting::Lasting;
pub use self::operation::{Operation, Outcome, Progress, State};
pub use self::operations::{Operations, OperationsBuilder, Start, Started, Watch};
pub use self::policy::{AfterDeath, Duplicates, WhenOverdue};
pub use self::store::Store;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use self::store::postgres::{Postgres, PostgresBuilder};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use self::store::sqlite::{Sqlite, SqliteBuilder};
pub use self::worker::Report;
