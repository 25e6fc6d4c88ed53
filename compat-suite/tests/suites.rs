//! tokio-util's own tests.
#![allow(warnings, clippy::all)] // They are not ours.

include!(concat!(env!("OUT_DIR"), "/suites.rs"));
