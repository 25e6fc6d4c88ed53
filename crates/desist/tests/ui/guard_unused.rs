//! A guard that is dropped at once cancels at once.

#![deny(unused_must_use)]

fn main() {
    let source = desist::Source::new();
    source.guard();
    source.into_guard();
}
