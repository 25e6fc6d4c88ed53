//! What a test of cancellable code needs: time that is moved by hand, a run for
//! every point at which the code looks, and wakers that misbehave.
//!
//! ```
//! use desist::{Reason, Source, testing::ManualClock};
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let source = Source::with_clock(clock.clock());
//! source.cancel_after(Duration::from_secs(3600));
//! clock.advance(Duration::from_secs(3599));
//! assert!(!source.is_cancelled());
//! clock.advance(Duration::from_secs(1));
//! assert_eq!(source.token().reason(), Some(Reason::Deadline));
//! ```

mod checkpoints;
mod manual_clock;
mod wakers;

pub use self::checkpoints::{every_checkpoint, every_checkpoint_async};
pub use self::manual_clock::ManualClock;
pub use self::wakers::HostileWaker;
