//! Bad input: defined, never a panic of ours, never a leak, never a deadlock.

mod common;

#[path = "bad_input/in_callbacks.rs"]
mod in_callbacks;
#[path = "bad_input/panicking_drops.rs"]
mod panicking_drops;
#[path = "bad_input/parents.rs"]
mod parents;
#[path = "bad_input/thread_ends.rs"]
mod thread_ends;
#[path = "bad_input/times.rs"]
mod times;
#[path = "bad_input/wakers.rs"]
mod wakers;
