//! What must not compile, each with the words of the compiler.
#![allow(clippy::print_stderr)]

use std::env;
use std::process::Command;

/// The compiler whose words `tests/ui` holds; those of others differ.
const WORDS_OF: &str = "rustc 1.95.";

#[test]
fn what_must_not_compile_does_not() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().expect("rustc runs").stdout;
    if String::from_utf8_lossy(&version).starts_with(WORDS_OF) {
        trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
    } else {
        eprintln!("left out: tests/ui holds the words of {WORDS_OF}x");
    }
}
