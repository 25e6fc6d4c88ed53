#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `health` | [`Health`]: `/livez` and `/readyz` as a tower service |
//! | `tracing` | events: what the host begins, asks, waits for and leaves behind |
//!
//! No feature is on by default.
//!
//! ## Where to go next
//!
//! * To build one: [`Host::builder`], which gives a [`HostBuilder`]; a service with a start and
//!   a cleanup: [`Service`]; what each is given: [`Stop`].
//! * While it runs: [`HostHandle`], [`News`]. In the end: [`Report`], [`ServiceReport`],
//!   [`Outcome`].
//! * Under Kubernetes, under systemd, in a test: [`recipes`].
//! * Guides: [services and shutdown][g10], [tasks][g07], [cleanup and shields][g04]; [all
//!   thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-tokio](https://docs.rs/desist-tokio), [desist-http](https://docs.rs/desist-http),
//!   [desist-ops](https://docs.rs/desist-ops). Each [example] prints what it proves.
//!
//! [g10]: https://github.com/desist-rs/desist/blob/main/docs/10-services-and-shutdown.md
//! [g07]: https://github.com/desist-rs/desist/blob/main/docs/07-tasks.md
//! [g04]: https://github.com/desist-rs/desist/blob/main/docs/04-cleanup-and-shields.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

mod builder;
mod driver;
mod error;
mod handle;
#[cfg(feature = "health")]
mod health;
mod host;
mod news;
mod order;
mod outcome;
mod phase;
mod policy;
mod process;
pub mod recipes;
mod report;
mod service;
mod supervisor;
#[cfg(target_os = "linux")]
mod systemd;
mod table;
#[cfg(feature = "tracing")]
mod trace;

pub use self::builder::HostBuilder;
pub use self::error::BuildError;
pub use self::handle::HostHandle;
#[cfg(feature = "health")]
pub use self::health::{Health, HealthBody};
pub use self::host::Host;
pub use self::news::News;
pub use self::outcome::{Failure, Outcome, ServicePanic};
pub use self::phase::Phase;
pub use self::policy::{OnEnd, OnFailure, Restart};
pub use self::report::{Report, ServiceReport};
pub use self::service::Service;
pub use desist_tokio::{BoxError, Signal, Stop};
