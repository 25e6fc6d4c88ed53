#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `tower` | [`MediatorBuilder::layer`]: any `tower::Layer` as a behaviour |
//! | `tracing` | [`Tracing`]: a span for every request, and an event for its end |
//!
//! No feature is on by default, and no runtime is needed.
//!
//! ## Where to go next
//!
//! * To ask: [`Request`], [`Mediator::send`]. To answer: [`Handler`]. Around it: [`Behaviour`],
//!   with its [`Call`]; of ours [`Timeout`] and [`Validation`].
//! * To tell many: [`Notification`], [`Mediator::publish`], in a [`Delivery`]. What went wrong:
//!   [`Error`], [`PublishError`].
//! * Guides: [passing the token down][g02], [requests][g08], [testing][g12]; [all
//!   thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-http](https://docs.rs/desist-http), [desist-host](https://docs.rs/desist-host).
//!   Each [example] prints what it proves.
//!
//! [g02]: https://github.com/desist-rs/desist/blob/main/docs/02-passing-the-token-down.md
//! [g08]: https://github.com/desist-rs/desist/blob/main/docs/08-requests.md
//! [g12]: https://github.com/desist-rs/desist/blob/main/docs/12-testing.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

mod behaviour;
mod behaviours;
mod build_error;
mod builder;
mod call;
mod delivery;
mod envelope;
mod error;
mod handler;
#[cfg(feature = "tower")]
mod layer;
mod mediator;
mod proceed;
mod publish;
mod publish_error;
mod request;
mod sending;
mod table;
mod validity;

pub use self::behaviour::Behaviour;
pub use self::behaviours::Timeout;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use self::behaviours::Tracing;
pub use self::behaviours::Validation;
pub use self::build_error::BuildError;
pub use self::builder::MediatorBuilder;
pub use self::call::{Answer, Call};
pub use self::delivery::Delivery;
pub use self::error::{BoxError, Error};
pub use self::handler::{Handler, NotificationHandler};
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
pub use self::layer::Rest;
pub use self::mediator::{Mediator, WeakMediator};
pub use self::proceed::Proceed;
pub use self::publish::Publishing;
pub use self::publish_error::{Failure, PublishError};
pub use self::request::{Notification, Request};
pub use self::sending::Sending;
pub use self::validity::Invalid;
