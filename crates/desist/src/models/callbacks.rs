//! A cancel against everything that is done with a callback.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::{Context, Waker};

use loom::sync::atomic::AtomicBool;
use loom::thread;

use super::{Count, Dropped, Model, assert_dropped_once, block_on, saw, writing_callback};
use crate::node::plain::Plain;
use crate::{Registration, Source};

/// A source with a registered callback that writes, and who counts its end.
fn registered() -> (Source, Registration, Plain, Count) {
    let source = Source::new();
    let (registration, written, drops) = writing_callback(&source.token());
    (source, registration, written, drops)
}

#[test]
fn loom_cancel_and_register() {
    Model::exhaustive("cancel and register", &["inline", "by the walk"]).check(|| {
        let source = Source::new();
        let token = source.token();
        let before = Plain::new();
        let (dropped, drops) = Dropped::new();
        let canceller = thread::spawn({
            let before = before.clone();
            move || {
                before.add();
                source.cancel();
            }
        });
        let canceller_id = canceller.thread().id();
        let calls = Count::new();
        let registration = token.on_cancel({
            let calls = calls.clone();
            move |_| {
                let _dropped = dropped;
                assert_eq!(before.get(), 1, "what came before the cancel is seen");
                calls.add();
                let by_the_walk = thread::current().id() == canceller_id;
                saw(if by_the_walk { "by the walk" } else { "inline" });
            }
        });
        canceller.join().unwrap();
        assert_eq!(calls.get(), 1, "it runs exactly once");
        drop(registration);
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_cancel_and_unregister() {
    Model::bounded("cancel and unregister", 3, &["prevented", "ran"]).check(|| {
        let (source, registration, written, drops) = registered();
        let canceller = thread::spawn(move || source.cancel());
        let prevented = registration.unregister();
        canceller.join().unwrap();
        assert_eq!(written.get(), u32::from(!prevented));
        assert_dropped_once(&drops);
        saw(if prevented { "prevented" } else { "ran" });
    });
}

#[test]
fn loom_cancel_and_drop_of_the_registration() {
    Model::bounded("cancel and drop of the registration", 3, &["prevented", "ran"]).check(|| {
        let (source, registration, written, drops) = registered();
        let canceller = thread::spawn(move || source.cancel());
        drop(registration);
        canceller.join().unwrap();
        assert_dropped_once(&drops);
        saw(if written.get() == 0 { "prevented" } else { "ran" });
    });
}

#[test]
fn loom_cancel_and_blocking_unregister() {
    Model::bounded("cancel and blocking unregister", 3, &["prevented", "over"]).check(|| {
        let (source, registration, written, drops) = registered();
        let canceller = thread::spawn(move || source.cancel());
        let prevented = registration.blocking_unregister();
        // Read before the join: the callback must be over for certain.
        assert_eq!(written.get(), u32::from(!prevented));
        assert_dropped_once(&drops);
        canceller.join().unwrap();
        saw(if prevented { "prevented" } else { "over" });
    });
}

#[test]
fn loom_cancel_and_async_unregister() {
    Model::bounded("cancel and async unregister", 3, &["prevented", "over"]).check(|| {
        let (source, registration, written, drops) = registered();
        let canceller = thread::spawn(move || source.cancel());
        let prevented = block_on(registration.unregistered());
        assert_eq!(written.get(), u32::from(!prevented));
        assert_dropped_once(&drops);
        canceller.join().unwrap();
        saw(if prevented { "prevented" } else { "over" });
    });
}

#[test]
fn loom_async_unregister_that_is_dropped_halfway() {
    let outcomes = &["ready at once", "dropped while it ran"];
    Model::bounded("async unregister dropped halfway", 3, outcomes).check(|| {
        let (source, registration, _written, drops) = registered();
        let canceller = thread::spawn(move || source.cancel());
        let mut unregistered = registration.unregistered();
        let mut cx = Context::from_waker(Waker::noop());
        let ready = Pin::new(&mut unregistered).poll(&mut cx).is_ready();
        drop(unregistered);
        canceller.join().unwrap();
        assert_dropped_once(&drops);
        saw(if ready { "ready at once" } else { "dropped while it ran" });
    });
}

#[test]
fn loom_cancel_and_detach() {
    Model::bounded("cancel and detach", 3, &["detached first", "ran first"]).check(|| {
        let (source, registration, written, drops) = registered();
        let token = source.token();
        let canceller = thread::spawn(move || source.cancel());
        registration.detach();
        saw(if token.is_cancelled() { "ran first" } else { "detached first" });
        drop(token);
        canceller.join().unwrap();
        assert_eq!(written.get(), 1, "detached is not taken back");
        assert_dropped_once(&drops);
    });
}

#[test]
fn loom_unregister_and_the_end_of_the_signal() {
    let outcomes = &["the signal went first", "the registration went first"];
    Model::exhaustive("unregister and the end of the signal", outcomes).check(|| {
        let (source, registration, written, drops) = registered();
        let owner = thread::spawn({
            let drops = drops.clone();
            move || {
                drop(source);
                drops.get()
            }
        });
        assert!(registration.unregister(), "nobody cancels");
        let first = owner.join().unwrap() == 1;
        assert_eq!(written.get(), 0);
        assert_dropped_once(&drops);
        saw(if first { "the registration went first" } else { "the signal went first" });
    });
}

#[test]
fn loom_cancel_and_a_scope() {
    Model::bounded("cancel and a scope", 3, &["called", "not called"]).check(|| {
        let source = Source::new();
        let token = source.token();
        let returned = Arc::new(AtomicBool::new(false));
        let canceller = thread::spawn({
            let returned = Arc::clone(&returned);
            move || {
                source.cancel();
                // Ordering: Release pairs with the Acquire below.
                returned.store(true, Release);
            }
        });
        let written = Plain::new();
        // Ordering: Acquire pairs with the Release above.
        let late = token.while_registered(|_| written.add(), || returned.load(Acquire));
        // Borrowed, and read at once: nobody may still be in the callback.
        assert!(!late || written.get() == 1, "what could not be registered was called");
        saw(if written.get() == 1 { "called" } else { "not called" });
        canceller.join().unwrap();
    });
}

#[test]
fn loom_two_callbacks_and_two_that_take_them_back() {
    let outcomes = &["both ran", "one ran", "none ran"];
    Model::bounded("two callbacks taken back by two", 1, outcomes).check(|| {
        let (source, first, written, _) = registered();
        let also_written = Plain::new();
        let second = source.token().on_cancel({
            let also_written = also_written.clone();
            move |_| also_written.add()
        });
        let canceller = thread::spawn(move || source.cancel());
        let other = thread::spawn(move || second.blocking_unregister());
        let prevented = first.blocking_unregister();
        assert_eq!(written.get(), u32::from(!prevented));
        let also_prevented = other.join().unwrap();
        assert_eq!(also_written.get(), u32::from(!also_prevented));
        canceller.join().unwrap();
        saw(match (prevented, also_prevented) {
            (true, true) => "none ran",
            (false, false) => "both ran",
            _ => "one ran",
        });
    });
}

/// More callbacks than a walk turns around in one go, and somebody waits, so
/// that it does turn them.
#[test]
fn loom_a_long_list_of_callbacks_and_one_that_is_taken_back() {
    let outcomes = &["taken back", "ran"];
    Model::bounded("a long list of callbacks", 3, outcomes).check(|| {
        let source = Source::new();
        let written = Plain::new();
        let mut registrations: Vec<_> = (0..4)
            .map(|_| {
                let written = written.clone();
                source.token().on_cancel(move |_| written.add())
            })
            .collect();
        let mut waiting = Box::pin(source.token().cancelled_owned());
        let pending = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(pending.is_pending());
        let canceller = thread::spawn(move || source.cancel());
        let prevented = registrations.remove(2).unregister();
        canceller.join().unwrap();
        assert_eq!(written.get(), 4 - u32::from(prevented));
        saw(if prevented { "taken back" } else { "ran" });
    });
}
