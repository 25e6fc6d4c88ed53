//! A callback runs on whichever thread cancels.

use std::rc::Rc;

fn main() {
    let source = desist::Source::new();
    let shared = Rc::new(1);
    let _registration = source.token().on_cancel(move |_| drop(shared));
}
