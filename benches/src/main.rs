//! Prints the speed table: every row, `desist` first, its peers beside it.
#![allow(clippy::print_stderr)]

use std::process::ExitCode;

fn main() -> ExitCode {
    desist_benches::speed_table(std::env::args().skip(1)).unwrap_or_else(|error| {
        eprintln!("desist-benches: {error}");
        ExitCode::from(2)
    })
}
