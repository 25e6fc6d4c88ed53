#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

mod cancelled;
mod cause;
mod future_ext;
mod guard;
mod keeper;
#[cfg(all(test, loom))]
mod models;
#[allow(unsafe_code)]
mod node;
mod park;
mod reason;
mod registration;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod unwind;

pub use self::cancelled::{Cancelled, find_cancelled};
pub use self::cause::Cause;
pub use self::future_ext::FutureExt;
pub use self::guard::Guard;
pub use self::node::{Clock, Run, TimeSource, WeakClock, WhenCancelled};
pub use self::reason::Reason;
pub use self::registration::{Registration, Unregistered};
pub use self::source::Source;
pub use self::token::Token;
