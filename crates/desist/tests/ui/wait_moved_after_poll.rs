//! A wait stands in a list of its token and must not be moved once polled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

fn main() {
    let token = desist::Token::never();
    let mut wait = token.cancelled();
    let _ = Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop()));
    let moved = wait;
    drop(moved);
}
