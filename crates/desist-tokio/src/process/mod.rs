//! Child processes that stop when they are asked to, and leave nobody behind.
//!
//! Start with [`command`], and [`run`](Command::run) it with a token and a grace; what comes of
//! it is an [`Exit`].
//!
//! A child is the leader of a process group of its own, and what is asked is asked of
//! the group: SIGTERM, a grace, SIGKILL. Then it is reaped. So:
//!
//! * No zombie: whoever was started is waited for, also where the future is dropped.
//! * No orphan while we live: when the leader has ended, by itself or asked, whoever is
//!   left in its group is killed.
//! * Nobody innocent: a group is signalled only while its leader is not reaped, for
//!   until then its number is not given to others.
//!
//! What is outside: a descendant that leaves the group, as a daemon does by `setsid`;
//! our own SIGKILL, after which nobody is there to ask; a process that the kernel does
//! not let die, or that we have no right to signal, for which a run waits; and code in
//! this process that waits for children which are not its own, as `waitpid(-1)` does:
//! then the group is left alone.
//!
//! States of a run: it *runs* until the leader has ended or the stop is asked for; it is
//! *asked* until the group is empty or the grace is over; it is *over* when the rest of
//! the group was killed, the pipes have come to their end, or were read for a second
//! without one, since a descendant outside may hold them for ever, and the leader is
//! reaped. All the while the pipes are read and written.

mod command;
mod error;
mod exit;
mod family;
mod pipes;
mod running;

pub use self::command::{Command, command};
pub use self::error::{CommandError, Unsuccessful};
pub use self::exit::{Ending, Exit, Output};
