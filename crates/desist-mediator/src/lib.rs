#![doc = include_str!("../README.md")]
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
