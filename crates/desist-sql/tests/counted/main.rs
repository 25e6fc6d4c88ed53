//! What is counted, of each database. It has a process of its own, because threads count it.
#![cfg(feature = "metrics")]

#[cfg(unix)]
#[path = "../common/mod.rs"]
mod common;
#[cfg(all(unix, feature = "postgres"))]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite", feature = "sqlx"))]
mod recorder;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(unix, feature = "sqlx"))]
mod sqlx;
