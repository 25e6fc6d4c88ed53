#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `testing` | [`testing`]: a clock moved by hand, a run for every checkpoint, hostile wakers |
//!
//! No feature is on by default, and there is no dependency.
//!
//! ## Where to go next
//!
//! * To ask for a stop: [`Source`], with a [`Cause`]; to see it: [`Token`]. What it is seen as
//!   is [`Cancelled`], and why is its [`Reason`].
//! * For any future: [`FutureExt::or_cancelled`]. To be called back: [`Token::on_cancel`],
//!   which gives a [`Registration`].
//! * Time that is not the system's: [`Clock`].
//! * Guides: [the idea][g01], [passing the token down][g02], [checking in loops][g03], [cleanup
//!   and shields][g04], [deadlines][g05], [blocking code][g06], [testing][g12],
//!   [mistakes][g13]; [all thirteen][guides].
//! * Other crates: [desist-tokio](https://docs.rs/desist-tokio),
//!   [desist-http](https://docs.rs/desist-http), [desist-sql](https://docs.rs/desist-sql),
//!   [desist-host](https://docs.rs/desist-host),
//!   [desist-mediator](https://docs.rs/desist-mediator),
//!   [desist-queue](https://docs.rs/desist-queue), [desist-ops](https://docs.rs/desist-ops).
//!   Each [example] prints what it proves.
//!
//! [g01]: https://github.com/desist-rs/desist/blob/main/docs/01-the-idea.md
//! [g02]: https://github.com/desist-rs/desist/blob/main/docs/02-passing-the-token-down.md
//! [g03]: https://github.com/desist-rs/desist/blob/main/docs/03-checking-in-loops.md
//! [g04]: https://github.com/desist-rs/desist/blob/main/docs/04-cleanup-and-shields.md
//! [g05]: https://github.com/desist-rs/desist/blob/main/docs/05-deadlines.md
//! [g06]: https://github.com/desist-rs/desist/blob/main/docs/06-blocking-code.md
//! [g12]: https://github.com/desist-rs/desist/blob/main/docs/12-testing.md
//! [g13]: https://github.com/desist-rs/desist/blob/main/docs/13-mistakes.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
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
