#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `postgres` | [`postgres`], with tokio-postgres and deadpool |
//! | `sqlite` | [`sqlite`], with rusqlite and the system's SQLite |
//! | `sqlite-bundled` | the same, with a SQLite that is compiled along |
//! | `sqlx` | [`sqlx`](mod@sqlx), Postgres through sqlx; Rust 1.94 |
//! | `metrics` | counters and gauges through its facade |
//!
//! No feature is on by default: without one there is no pool.
//!
//! ## Where to go next
//!
//! * A pool: [`postgres::Pool`], [`sqlite::Pool`], [`sqlx::Pool`]. What came
//!   of the work: [`Error`]. When who is stopped is told so: [`Wait`].
//! * Guides: [SQL][g09], [deadlines][g05], [cleanup and shields][g04]; [all thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-http](https://docs.rs/desist-http), [desist-ops](https://docs.rs/desist-ops). Each
//!   [example] prints what it proves.
//!
//! [g09]: https://github.com/desist-rs/desist/blob/main/docs/09-sql.md
//! [g05]: https://github.com/desist-rs/desist/blob/main/docs/05-deadlines.md
//! [g04]: https://github.com/desist-rs/desist/blob/main/docs/04-cleanup-and-shields.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports, dead_code))))]

#[cfg_attr(not(any(feature = "postgres", feature = "sqlite", feature = "sqlx")), allow(dead_code))]
mod counted;
mod error;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(all(test, unix, feature = "sqlx"))]
#[path = "../tests/common/mod.rs"]
mod server_of_tests;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "sqlx")]
pub mod sqlx;
mod wait;

// What the tests have in common is written for those outside of the crate.
#[cfg(all(test, unix, feature = "sqlx"))]
#[allow(unused_extern_crates)] // It is used, by them.
extern crate self as desist_sql;

pub use self::error::Error;
pub use self::wait::Wait;
