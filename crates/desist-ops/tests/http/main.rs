//! Operations over HTTP, with a real server and a real client.

mod access;
mod changes;
#[cfg(feature = "console")]
mod console;
mod keys;
mod pages;
mod reads;
mod site;
mod unread;
mod watching;

use std::time::Duration;

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
