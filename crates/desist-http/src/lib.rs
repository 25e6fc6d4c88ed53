#![doc = include_str!("../README.md")]
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
