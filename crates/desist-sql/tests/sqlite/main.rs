//! What is promised of SQLite, with real files.
#![cfg(feature = "sqlite")]

mod closing;
mod commits;
mod common;
mod data;
mod killed;
mod leases;
mod locks;
mod opening;
mod queue;
mod races;
mod stops;
mod transactions;
