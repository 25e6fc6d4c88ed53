#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `axum`, by default | [`serve`], answers for handlers, and [`RequestToken`] as an argument of one |
//! | `metrics` | counters and histograms through its facade |
//! | `reqwest` | [`SendWith`]: requests that a service sends in its turn |
//! | `tonic` | [`TokenChannel`], [`TokenInterceptor`]: clients of gRPC; Rust 1.88 |
//! | `tracing` | a span for every request |
//!
//! ## Where to go next
//!
//! * In a handler: [`RequestToken`], and [`Stopped`] as its error. To serve: [`serve`], which
//!   gives a [`ServeReport`]; what runs now: [`InFlight`].
//! * Layers: [`DeadlineLayer`] with [`Deadlines`], [`AdmissionLayer`], [`PolicyLayer`];
//!   [`RequestLayer`] under another server.
//! * Guides: [requests][g08], [deadlines][g05], [passing the token down][g02], [services and
//!   shutdown][g10]; [all thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-tokio](https://docs.rs/desist-tokio), [desist-host](https://docs.rs/desist-host),
//!   [desist-sql](https://docs.rs/desist-sql). Each [example] prints what it proves.
//!
//! [g08]: https://github.com/desist-rs/desist/blob/main/docs/08-requests.md
//! [g05]: https://github.com/desist-rs/desist/blob/main/docs/05-deadlines.md
//! [g02]: https://github.com/desist-rs/desist/blob/main/docs/02-passing-the-token-down.md
//! [g10]: https://github.com/desist-rs/desist/blob/main/docs/10-services-and-shutdown.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports, dead_code))))]

mod admission;
mod alone;
#[cfg(feature = "reqwest")]
mod client;
// Without the server nobody tells connections, and some of it is not asked for.
#[cfg_attr(not(feature = "axum"), allow(dead_code))]
mod connection;
mod deadlines;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg_attr(not(feature = "axum"), allow(dead_code))]
mod heard;
mod layer;
mod outcome;
#[cfg(any(feature = "reqwest", feature = "tonic"))]
mod outgoing;
mod policy;
#[cfg_attr(not(feature = "axum"), allow(dead_code))]
mod request;
mod rpc;
#[cfg(feature = "axum")]
mod serve;
mod stopped;
#[cfg(any(feature = "reqwest", feature = "tonic"))]
mod until;

pub use self::admission::{AdmissionFuture, AdmissionLayer, AdmissionService};
#[cfg(feature = "reqwest")]
pub use self::client::{SendError, SendWith, Sending};
pub use self::deadlines::{DeadlineLayer, DeadlineService, Deadlines};
#[cfg(feature = "tonic")]
pub use self::grpc::{Calling, Receiving, TokenChannel, TokenInterceptor};
pub use self::layer::{RequestLayer, RequestService, ResponseFuture, TokenBody};
pub use self::policy::{Policy, PolicyLayer, PolicyService};
pub use self::request::{MissingToken, RequestToken};
#[cfg(feature = "axum")]
pub use self::serve::{InFlight, Incoming, Running, Serve, ServeReport, serve};
pub use self::stopped::Stopped;
