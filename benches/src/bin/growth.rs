//! Prints how the cost of one grows with how many there are, and what a check takes while
//! a million children are cancelled.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    desist_benches::growth_table(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("growth: {error}");
        ExitCode::from(2)
    })
}
