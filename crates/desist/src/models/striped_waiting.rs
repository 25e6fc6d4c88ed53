//! A signal at which threads met: those who wait on lists by thread.

use std::sync::Arc;
use std::task::Context;

use loom::thread;

use super::stripes::striped;
use super::waiting::counted;
use super::{Model, saw, waiting};
use crate::node::spread::sit;

#[test]
fn loom_stripes_cancel_and_wait() {
    let outcomes = &["found cancelled", "woken"];
    Model::bounded("stripes: cancel and wait", 3, outcomes)
        .check(|| waiting::cancel_and_wait(striped()));
}

#[test]
fn loom_stripes_cancel_and_poll_with_a_new_waker() {
    let outcomes = &["ready at the first poll", "ready at the second", "woken through the second"];
    Model::bounded("stripes: cancel and poll with a new waker", 3, outcomes)
        .check(|| waiting::cancel_and_poll_with_a_new_waker(striped()));
}

#[test]
fn loom_stripes_cancel_and_drop_of_a_future() {
    let outcomes = &["woken", "left in time", "was cancelled before"];
    Model::bounded("stripes: cancel and drop of a future", 3, outcomes)
        .check(|| waiting::cancel_and_drop_of_a_future(striped()));
}

/// A future that waits in one place is dropped by a thread of another.
#[test]
fn loom_stripes_waits_come_and_go_in_two_places() {
    let outcomes = &["left in time", "woken"];
    Model::bounded("stripes: waits come and go in two places", 2, outcomes).check(|| {
        let source = striped();
        let (count, waker) = counted(None);
        let mut waiting = [(); 3].map(|()| Box::pin(source.token().cancelled_owned()));
        for waiting in &mut waiting {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let [first, middle, last] = waiting;
        let other = thread::spawn(move || {
            sit(1);
            drop((last, middle));
        });
        source.cancel();
        drop((first, waker));
        other.join().unwrap();
        assert_eq!(Arc::strong_count(&count), 1, "every clone of the waker was dropped");
        saw(if count.woken.get() == 3 { "woken" } else { "left in time" });
    });
}
