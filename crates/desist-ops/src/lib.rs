#![doc = include_str!("../README.md")]
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
