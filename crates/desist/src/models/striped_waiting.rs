//! A signal at which threads met: those who wait on lists by thread.

use std::pin::pin;
use std::sync::Arc;
use std::task::Context;

use loom::thread;

use super::stripes::striped;
use super::waiting::counted;
use super::{Model, saw};
use crate::node::plain::Plain;
use crate::node::spread::sit;
use crate::park::Parker;

#[test]
fn loom_stripes_cancel_and_wait() {
    let outcomes = &["found cancelled", "woken"];
    Model::bounded("stripes: cancel and wait", 3, outcomes).check(|| {
        let source = striped();
        let token = source.token();
        let before = Plain::new();
        let canceller = thread::spawn({
            let before = before.clone();
            move || {
                before.add();
                source.cancel();
            }
        });
        let parker = Arc::new(Parker::new());
        let (count, waker) = counted(Some(Arc::clone(&parker)));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(token.cancelled());
        let mut outcome = "found cancelled";
        while waiting.as_mut().poll(&mut cx).is_pending() {
            outcome = "woken";
            parker.park();
            assert_eq!(count.woken.get(), 1, "woken once");
        }
        assert_eq!(before.get(), 1, "what came before the cancel is seen");
        canceller.join().unwrap();
        saw(outcome);
    });
}

#[test]
fn loom_stripes_cancel_and_poll_with_a_new_waker() {
    let outcomes = &["ready at the first poll", "ready at the second", "woken through the second"];
    Model::bounded("stripes: cancel and poll with a new waker", 3, outcomes).check(|| {
        let source = striped();
        let token = source.token();
        let canceller = thread::spawn(move || source.cancel());
        let mut waiting = pin!(token.cancelled());
        let (first, waker) = counted(None);
        if waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            saw("ready at the first poll");
        } else {
            // The task is on another thread now.
            sit(1);
            let parker = Arc::new(Parker::new());
            let (second, waker) = counted(Some(Arc::clone(&parker)));
            if waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                saw("ready at the second");
            } else {
                parker.park();
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
                assert_eq!(first.woken.get(), 0, "the old waker was replaced");
                assert_eq!(second.woken.get(), 1);
                saw("woken through the second");
            }
        }
        canceller.join().unwrap();
    });
}

#[test]
fn loom_stripes_cancel_and_drop_of_a_future() {
    let outcomes = &["woken", "left in time", "was cancelled before"];
    Model::bounded("stripes: cancel and drop of a future", 3, outcomes).check(|| {
        let source = striped();
        let token = source.token();
        let canceller = thread::spawn(move || source.cancel());
        let (count, waker) = counted(None);
        let ready = {
            let mut waiting = pin!(token.cancelled());
            waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        canceller.join().unwrap();
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "every clone of the waker was dropped");
        saw(match (ready, count.woken.get()) {
            (true, _) => "was cancelled before",
            (false, 0) => "left in time",
            (false, _) => "woken",
        });
    });
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
