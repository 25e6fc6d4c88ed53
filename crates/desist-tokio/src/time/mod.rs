//! Waiting for time, unless the stop is asked for first.

mod interval;
mod sleep;
mod timeout;

pub use self::interval::{Interval, interval};
pub use self::sleep::{Sleep, sleep};
pub use self::timeout::{Timeout, timeout, timeout_at};
