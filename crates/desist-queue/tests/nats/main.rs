//! Consumers on a real server of NATS, which the tests start; processes that are killed.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // What was counted.

mod aside;
mod chaos;
mod effects;
mod jetstream;
mod running;
mod server;
mod wire;
mod worker;
