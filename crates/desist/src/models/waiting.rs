//! A cancel against whoever waits for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use loom::thread;

use super::{Count, Model, block_on, saw, writing_callback};
use crate::Source;
use crate::node::plain::Plain;
use crate::node::spread::sit;
use crate::park::Parker;

/// A waker that tells whether it was woken, and how many there are.
pub(super) struct Counted {
    pub(super) woken: Count,
    inner: Option<Arc<Parker>>,
}

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.woken.add();
        if let Some(inner) = &self.inner {
            Wake::wake_by_ref(inner);
        }
    }
}

pub(super) fn counted(inner: Option<Arc<Parker>>) -> (Arc<Counted>, Waker) {
    let counted = Arc::new(Counted { woken: Count::new(), inner });
    let waker = Waker::from(Arc::clone(&counted));
    (counted, waker)
}

/// Whoever comes too late for the waking must not be found where callbacks are.
#[test]
fn loom_a_wait_that_begins_while_a_callback_is_called() {
    let outcomes = &["found cancelled", "live"];
    Model::bounded("a wait that begins during the calling", 3, outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let (registration, called, _drops) = writing_callback(&token);
        registration.detach();
        let canceller = thread::spawn(move || source.cancel());
        let (count, waker) = counted(None);
        {
            let mut waiting = pin!(token.cancelled());
            let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
            saw(if polled.is_ready() { "found cancelled" } else { "live" });
            canceller.join().unwrap();
            assert_eq!(count.woken.get(), usize::from(polled.is_pending()), "woken if it waited");
        }
        assert_eq!(called.get(), 1);
    });
}

#[test]
fn loom_cancel_and_wait() {
    Model::bounded("cancel and wait", 3, &["found cancelled", "woken"])
        .check(|| cancel_and_wait(Source::new()));
}

pub(super) fn cancel_and_wait(source: Source) {
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
    saw(outcome);
    canceller.join().unwrap();
}

#[test]
fn loom_cancel_and_a_look() {
    Model::exhaustive("cancel and a look", &["live", "cancelled"]).check(|| {
        let source = Source::new();
        let token = source.token();
        let before = Plain::new();
        let canceller = thread::spawn({
            let before = before.clone();
            move || {
                before.add();
                source.cancel_with("stop");
            }
        });
        if let Some(cancelled) = token.cancellation() {
            assert_eq!(before.get(), 1, "what came before the cancel is seen");
            assert_eq!(cancelled.detail().unwrap().to_string(), "stop");
            saw("cancelled");
        } else {
            saw("live");
        }
        canceller.join().unwrap();
    });
}

#[test]
fn loom_cancel_and_a_bare_look() {
    Model::exhaustive("cancel and a bare look", &["live", "cancelled"]).check(|| {
        let source = Source::new();
        let token = source.token();
        let before = Plain::new();
        let canceller = thread::spawn({
            let before = before.clone();
            move || {
                before.add();
                source.cancel();
            }
        });
        let cancelled = token.is_cancelled();
        assert!(!cancelled || before.get() == 1, "what came before the cancel is seen");
        saw(if cancelled { "cancelled" } else { "live" });
        canceller.join().unwrap();
    });
}

#[test]
fn loom_cancel_and_a_blocked_thread() {
    let outcomes = &["cancelled before", "live before"];
    Model::bounded("cancel and a blocked thread", 3, outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let before = Plain::new();
        let canceller = thread::spawn({
            let before = before.clone();
            move || {
                before.add();
                source.cancel();
            }
        });
        saw(if token.is_cancelled() { "cancelled before" } else { "live before" });
        token.blocking_wait();
        assert_eq!(before.get(), 1);
        canceller.join().unwrap();
    });
}

#[test]
fn loom_cancel_and_poll_with_a_new_waker() {
    let outcomes = &["ready at the first poll", "ready at the second", "woken through the second"];
    Model::bounded("cancel and poll with a new waker", 3, outcomes)
        .check(|| cancel_and_poll_with_a_new_waker(Source::new()));
}

pub(super) fn cancel_and_poll_with_a_new_waker(source: Source) {
    let token = source.token();
    let canceller = thread::spawn(move || source.cancel());
    let mut waiting = pin!(token.cancelled());
    let (first, waker) = counted(None);
    if waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        saw("ready at the first poll");
    } else {
        // The task is on another thread now, in another place.
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
}

/// The second poll compares its waker without the lock, while a walk may take it.
#[test]
fn loom_cancel_and_poll_again_with_the_same_waker() {
    let outcomes = &["ready at the first poll", "ready at the second", "woken"];
    Model::bounded("cancel and poll again with the same waker", 3, outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let canceller = thread::spawn(move || source.cancel());
        let parker = Arc::new(Parker::new());
        let (count, waker) = counted(Some(Arc::clone(&parker)));
        let mut cx = Context::from_waker(&waker);
        let mut waiting = pin!(token.cancelled());
        if waiting.as_mut().poll(&mut cx).is_ready() {
            saw("ready at the first poll");
        } else if waiting.as_mut().poll(&mut cx).is_ready() {
            saw("ready at the second");
        } else {
            parker.park();
            assert!(waiting.as_mut().poll(&mut cx).is_ready());
            assert_eq!(count.woken.get(), 1, "nothing is missed");
            saw("woken");
        }
        canceller.join().unwrap();
    });
}

#[test]
fn loom_cancel_and_drop_of_a_future() {
    let outcomes = &["woken", "left in time", "was cancelled before"];
    Model::bounded("cancel and drop of a future", 3, outcomes)
        .check(|| cancel_and_drop_of_a_future(Source::new()));
}

pub(super) fn cancel_and_drop_of_a_future(source: Source) {
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
}

#[test]
fn loom_drop_of_the_future_and_of_the_source() {
    let outcomes = &["dropped while live", "still live"];
    Model::exhaustive("drop of the future and of the last source", outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let owner = thread::spawn(move || drop(source));
        let (count, waker) = counted(None);
        {
            let mut waiting = Box::pin(token.clone().cancelled_owned());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        saw(if token.can_be_cancelled() { "still live" } else { "dropped while live" });
        drop(token);
        owner.join().unwrap();
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1);
        assert_eq!(count.woken.get(), 0);
    });
}

#[test]
fn loom_two_futures_wait_for_one_cancel() {
    Model::bounded("two futures wait", 1, &["found cancelled", "woken"]).check(|| {
        let source = Source::new();
        let token = source.token();
        let other = thread::spawn({
            let token = source.token();
            move || block_on(token.cancelled()).reason()
        });
        let canceller = thread::spawn(move || source.cancel());
        let parker = Arc::new(Parker::new());
        let waker = Waker::from(Arc::clone(&parker));
        let mut waiting = pin!(token.cancelled());
        let mut outcome = "found cancelled";
        while waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            outcome = "woken";
            parker.park();
        }
        saw(outcome);
        other.join().unwrap();
        canceller.join().unwrap();
    });
}

/// Longer than what a walk takes in one go, so that it lets go of the lock.
#[test]
fn loom_a_long_list_and_one_that_leaves_it() {
    let outcomes = &["left in time", "woken"];
    Model::bounded("a long list and one that leaves", 3, outcomes).check(|| {
        let source = Source::new();
        let token = source.token();
        let (count, waker) = counted(None);
        let mut waiting: Vec<_> = (0..4)
            .map(|_| {
                let mut waiting = Box::pin(source.token().cancelled_owned());
                let _ = waiting.as_mut().poll(&mut Context::from_waker(&waker));
                waiting
            })
            .collect();
        let canceller = thread::spawn(move || source.cancel());
        drop(waiting.remove(1));
        canceller.join().unwrap();
        drop((waiting, waker));
        assert!(token.is_cancelled());
        assert_eq!(Arc::strong_count(&count), 1);
        saw(match count.woken.get() {
            4 => "woken",
            3 => "left in time",
            other => panic!("{other} woken"),
        });
    });
}
