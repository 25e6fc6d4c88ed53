#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

mod backoff;
mod broker;
mod consumer;
mod error;
mod fate;
mod keeper;
mod ledger;
mod message;
#[cfg(feature = "nats")]
mod nats;
mod news;
pub mod recipes;
mod report;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod trace;

pub use self::backoff::Backoff;
pub use self::broker::{Broker, Delivery, Subscription};
pub use self::consumer::{Consumer, WorkOutput};
pub use self::error::{BoxError, Error};
pub use self::fate::{Aside, RetryAfter};
pub use self::ledger::{Ledger, Recent};
pub use self::message::{Message, MessageId};
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub use self::nats::{Nats, NatsConsumer, NatsDelivery, NatsSubscription};
pub use self::news::News;
pub use self::report::{Left, Report};
