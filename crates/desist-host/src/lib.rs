#![doc = include_str!("../README.md")]
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
