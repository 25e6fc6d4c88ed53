//! A check that nobody looks at stops nothing.

#![deny(unused_must_use)]

fn main() {
    let token = desist::Source::new().token();
    token.check();
}
