#![doc = include_str!("../README.md")]
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
