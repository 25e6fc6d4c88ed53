//! Databases of the tests' own.
#![allow(dead_code, unused_imports)] // Not every binary uses all of it.

#[cfg(unix)]
mod bouncer;
#[cfg(unix)]
mod server;
#[cfg(all(unix, feature = "sqlx"))]
pub(crate) mod sqlx;
#[cfg(feature = "sqlx")]
mod wire;

use std::time::Duration;

#[cfg(unix)]
pub(crate) use self::bouncer::Bouncer;
#[cfg(unix)]
pub(crate) use self::server::{LOCKED, Server, find, free_port};

#[cfg(feature = "sqlx")]
pub(crate) use self::wire::Wire;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for what must not.
pub(crate) const WHILE: Duration = Duration::from_millis(300);
