//! Copies, streams and files that stop when they are asked to: real files, sockets,
//! pipes and processes.

#[path = "io/atomic.rs"]
mod atomic;
mod common;
#[path = "io/copying.rs"]
mod copying;
#[path = "io/streams.rs"]
mod streams;

use common::on_both;
