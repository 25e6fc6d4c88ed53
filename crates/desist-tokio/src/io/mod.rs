//! Input and output that stops when it is asked to.
//!
//! | to do this | take |
//! |---|---|
//! | copy, and know how far it came | [`copy`] |
//! | give a stream to code that knows no token | [`OrCancelled`] |
//! | the same for blocking code | [`Checked`], and on Unix [`Interruptible`], which ends an idle wait |
//! | write a file that is there whole, or not at all | [`AtomicFile`] |
//!
//! What a cancel ends is the wait, not the operating system's work: a block that the
//! kernel was given is written, and a read of a regular file is not interruptible.

mod atomic;
mod checked;
mod copy;
mod copy_error;
#[cfg(unix)]
mod interruptible;
mod or_cancelled;
mod progress;

pub use self::atomic::AtomicFile;
pub use self::checked::Checked;
pub use self::copy::{Copy, copy};
pub use self::copy_error::{CopyError, Side};
#[cfg(unix)]
pub use self::interruptible::Interruptible;
pub use self::or_cancelled::OrCancelled;
pub use self::progress::Progress;
