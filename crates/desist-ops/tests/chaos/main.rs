//! Several processes on one database: processes that are killed, stopped and cut off, a server
//! that is killed, and what must hold all the while, looked at from the outside.
//!
//! `DESIST_CHAOS_SEED` repeats a run, `DESIST_CHAOS_SECONDS` makes it longer, and
//! `DESIST_CHAOS_AIM` asks for the latency that is aimed at, which a loaded machine may miss.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // What was counted.

mod base;
mod cable;
mod chaos;
mod clients;
mod cutoff;
mod deeds;
mod dice;
mod fence;
mod held;
mod judge;
mod kinds;
mod latency;
mod log;
mod process;
mod rolling;
#[path = "../../../desist-sql/tests/common/server.rs"]
#[allow(dead_code)] // They are for all tests of servers.
mod server;
mod sqlite;
mod storm;
mod waiting;
mod worker;

use std::time::Duration;

/// How long anything is waited for that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const MS: fn(u64) -> Duration = Duration::from_millis;

/// What is asked again and again, for there is no event of it here, until it is there.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, asks: impl Fn() -> F) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(there) = asks().await {
            return there;
        }
        assert!(begin.elapsed() < PATIENCE, "in vain, for {PATIENCE:?}: {what}");
        tokio::time::sleep(MS(20)).await;
    }
}
