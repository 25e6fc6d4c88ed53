//! A registration that is dropped at once takes its callback back.

#![deny(unused_must_use)]

fn main() {
    let source = desist::Source::new();
    source.token().on_cancel(|_| ());
}
