//! The whole service, as its users have it: real processes, real interruptions, real servers.
#![cfg(unix)]
#![forbid(unsafe_code)]

mod clients;
mod operations;
mod queue;
mod replicas;
mod requests;
mod showcase;
mod uploads;

#[allow(dead_code)] // It has more than is needed here.
#[path = "../../../../crates/desist-sql/tests/common/server.rs"]
mod postgres;

#[allow(dead_code)] // It has more than is needed here.
#[path = "../../../../crates/desist-queue/tests/nats/server.rs"]
mod nats;

pub(crate) use showcase::PATIENCE;
