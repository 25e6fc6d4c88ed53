#![doc = include_str!("../README.md")]
//!
//! ## Features
//!
//! | feature | adds |
//! |---|---|
//! | `tokio-util` | bridges from and to the token of tokio-util itself, in [`compat`] |
//! | `tracing` | events: a stop that was requested, heard, done, overdue |
//!
//! No feature is on by default. Minimum supported Rust: 1.85.
//!
//! ## Where to go next
//!
//! * Tasks: [`TaskGroup`], and what becomes of them: [`Report`], [`Outcome`]. The two stages of
//!   a stop: [`Stop`] for who obeys, [`StopSource`] and [`signals`](fn@signals) for who asks.
//! * Time: [`sleep`], [`timeout`](fn@timeout), [`interval`]. Cleanup: [`shield`](fn@shield).
//!   Streams: [`StreamExt`].
//! * Modules: [`recipes`] for channels, locks and permits; [`io`] for copies and files;
//!   [`process`] for programs; [`compat`] for who comes from tokio-util.
//! * Guides: [tasks][g07], [cleanup and shields][g04], [deadlines][g05], [services and
//!   shutdown][g10], [testing][g12]; [all thirteen][guides].
//! * Other crates: [desist](https://docs.rs/desist),
//!   [desist-http](https://docs.rs/desist-http), [desist-host](https://docs.rs/desist-host).
//!   Each [example] prints what it proves.
//!
//! [g07]: https://github.com/desist-rs/desist/blob/main/docs/07-tasks.md
//! [g04]: https://github.com/desist-rs/desist/blob/main/docs/04-cleanup-and-shields.md
//! [g05]: https://github.com/desist-rs/desist/blob/main/docs/05-deadlines.md
//! [g10]: https://github.com/desist-rs/desist/blob/main/docs/10-services-and-shutdown.md
//! [g12]: https://github.com/desist-rs/desist/blob/main/docs/12-testing.md
//! [guides]: https://github.com/desist-rs/desist/tree/main/docs
//! [example]: https://github.com/desist-rs/desist/tree/main/examples
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(unused_imports))))]

mod clock;
pub mod compat;
mod current;
mod group;
pub mod io;
mod note;
#[cfg(unix)]
pub mod process;
pub mod recipes;
mod shield;
mod signals;
mod stop;
mod stream;
mod time;
mod trace;

pub use self::clock::{clock, root_clock};
pub use self::current::{WithCurrent, current, with_current};
pub use self::group::{
    BoxError, Ended, Grace, OnFailure, Outcome, Report, RunningTask, Spawner, Straggler,
    TaskFailed, TaskGroup, TaskId, TaskOutput, TaskPanic,
};
pub use self::io::copy;
#[cfg(unix)]
pub use self::process::command;
pub use self::shield::{SHIELD_BOUND, Shield, shield, shield_for};
pub use self::signals::{Signal, Signals, signals};
pub use self::stop::{Stop, StopSource};
pub use self::stream::{StreamExt, UntilCancelled};
pub use self::time::{Interval, Sleep, Timeout, interval, sleep, timeout, timeout_at};
pub use desist::FutureExt;
