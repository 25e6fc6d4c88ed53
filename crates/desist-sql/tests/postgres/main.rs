//! Statements, transactions and streams of tokio-postgres, on real servers that are started
//! here: what is stopped, what becomes of it, and whom it does not hit.
#![cfg(all(unix, feature = "postgres"))]

mod commits;
mod common;
mod copies;
#[path = "../common/mod.rs"]
mod databases;
mod deadlines;
mod faults;
mod pooler;
mod races;
mod sessions;
mod statements;
mod tls;
mod transactions;
mod transfers;
