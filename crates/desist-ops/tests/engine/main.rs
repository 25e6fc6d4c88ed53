//! Operations on real databases, SQLite and Postgres: each promise is tried on both.

mod asked;
mod bench;
mod cancels;
mod causes;
mod claims;
mod commits;
mod cut_off;
mod deaths;
#[cfg(feature = "console")]
#[path = "../http/console/desk.rs"]
#[allow(dead_code)] // They are for all tests of consoles.
mod desk;
mod ends;
mod input;
mod intents;
mod isolation;
mod keys;
mod lifecycle;
mod listing;
#[cfg(feature = "console")]
mod looks;
#[cfg(feature = "metrics")]
mod measured;
mod over;
mod overdue;
mod panics;
mod proxy;
mod push;
mod races;
#[cfg(feature = "console")]
#[path = "../http/console/reader.rs"]
#[allow(dead_code)] // They are for all tests of consoles.
mod reader;
#[cfg(feature = "metrics")]
mod recorder;
mod schema;
#[path = "../../../desist-sql/tests/common/server.rs"]
#[allow(dead_code)] // They are for all tests of servers.
mod server;
mod start_in;
mod stops;
mod trees;
mod watching;
mod within;
mod world;

use std::time::Duration;

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
