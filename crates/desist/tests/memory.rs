//! Everything that was created and dropped leaves the heap as it was, to the byte.
//!
//! One test at a time; each does its work several times over, because the first time may create
//! what is kept for ever, and because other threads of the test harness may allocate meanwhile:
//! what counts is that the work can be done without a byte left over.

mod common;

#[path = "memory/chains.rs"]
mod chains;
#[path = "memory/heap.rs"]
mod heap;
#[path = "memory/meeting.rs"]
mod meeting;
#[path = "memory/millions.rs"]
mod millions;
#[path = "memory/nothing.rs"]
mod nothing;
#[path = "memory/trees.rs"]
mod trees;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;
