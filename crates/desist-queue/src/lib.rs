#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `json` | [`Message::json`]: payloads in JSON |
//! | `nats` | [`Nats`]: NATS JetStream; Rust 1.89 |
//! | `testing` | [`testing::MemoryBroker`]: a broker in memory, for tests of one's own |
//! | `tracing` | events: what failed, was set aside, was given back, and when the broker is away |
//!
//! No feature is on by default.
//!
//! ## Where to go next
//!
//! * To consume: [`Consumer`], whose work is given a [`Message`]; in the end there is a
//!   [`Report`]. To end a message otherwise: [`Aside`], [`RetryAfter`].
//! * Another broker: [`Broker`], [`Subscription`], [`Delivery`]. Nothing twice: [`recipes`],
//!   [`Ledger`].
//! * Guides: [services and shutdown][g10], [tasks][g07], [testing][g12]; [all
//!   thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-tokio](https://docs.rs/desist-tokio), [desist-host](https://docs.rs/desist-host).
//!   Each [example] prints what it proves.
//!
//! [g10]: https://github.com/desist-rs/desist/blob/main/docs/10-services-and-shutdown.md
//! [g07]: https://github.com/desist-rs/desist/blob/main/docs/07-tasks.md
//! [g12]: https://github.com/desist-rs/desist/blob/main/docs/12-testing.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
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
