//! A server as the tests have it.

/// How long it may take to start.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

#[path = "../../../../crates/desist-sql/tests/common/server.rs"]
#[allow(dead_code)]
mod server;

pub(crate) use self::server::Server;
