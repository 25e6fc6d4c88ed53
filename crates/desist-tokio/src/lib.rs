#![doc = include_str!("../README.md")]
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
