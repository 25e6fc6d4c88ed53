//! Promise 6: no foreign code ever runs under a lock.
//!
//! Every kind of foreign code uses the whole signal, on its own thread and on another one that it
//! waits for: under any lock of ours the second would never return.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use desist::{Cause, Reason, Source, Token};

use crate::common::wakers::{Event, hooked, on_wake};
use crate::common::{Count, DetailOnDrop, Gate, OnDrop, lock, no_deadlock, poll_once, poll_with};

/// Does everything that does not cancel the tokens given.
fn look(source: &Source, token: &Token) {
    let hour = Duration::from_secs(3_600);
    let _ = (token.is_cancelled(), token.reason(), token.can_be_cancelled());
    let _ = (token.check(), token.cancellation(), token.deadline(), token.remaining());
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    let _ = (hasher.finish(), token == &source.token(), format!("{source:?} {token:?}"));

    let child = token.child_with_timeout(hour);
    let linked = Source::linked([token.clone(), child.token(), source.token()]);
    let any = Token::any([&linked.token(), token]);
    drop(child.token().on_cancel(|_| ()));
    token.on_cancel(|_| ()).unregister();
    token.on_cancel(|_| ()).blocking_unregister();
    linked.token().on_cancel(|_| ()).detach();
    token.while_registered(|_| (), || ());
    let _ = poll_once(pin!(token.cancelled()));
    let _ = poll_once(pin!(any.clone().cancelled_owned()));
    let _ = poll_once(pin!(token.run(async { 1 })));
    let _ = token.blocking_wait_timeout(Duration::ZERO);
    child.cancel_after(hour);
    child.disarm();
    linked.cancel();
    child.cancel();
}

/// The same, and cancels.
fn look_and_cancel(source: &Source, token: &Token) {
    look(source, token);
    source.cancel();
    look(source, token);
}

/// Runs it here and on another thread, which is waited for.
fn here_and_there(work: impl Fn() + Sync) {
    work();
    thread::scope(|scope| {
        scope.spawn(&work);
    });
    work();
}

/// A closure that looks at the tree of `source` from here and from another thread.
fn looking(source: &Source, count: &Count) -> impl Fn() + Send + Sync + Clone + 'static {
    let (token, count) = (source.token(), count.clone());
    let child = source.child();
    move || {
        if count.next() < 3 {
            here_and_there(|| look(&child, &token));
        }
    }
}

#[test]
fn a_callback_may_use_everything() {
    no_deadlock(|| {
        let root = Source::new();
        let middle = root.child();
        let leaf = middle.child();
        let called = Count::new();
        for source in [&root, &middle, &leaf] {
            let (all, count) = ([root.clone(), middle.clone(), leaf.clone()], called.clone());
            let held = source.token().on_cancel(move |_| {
                count.add();
                for source in &all {
                    here_and_there(|| look_and_cancel(source, &source.token()));
                }
            });
            held.detach();
        }
        assert!(middle.cancel());
        assert!(!root.cancel(), "its child's callback has cancelled it");
        assert_eq!(called.get(), 3);
    });
}

#[test]
fn a_waker_may_use_everything_when_it_is_woken() {
    no_deadlock(|| {
        let root = Source::new();
        let middle = root.child();
        let leaf = middle.child();
        let woken = Count::new();
        let mut waits = Vec::new();
        for source in [&root, &middle, &leaf] {
            let (all, count) = ([root.clone(), middle.clone(), leaf.clone()], woken.clone());
            let waker = on_wake(move || {
                count.add();
                for source in &all {
                    here_and_there(|| look_and_cancel(source, &source.token()));
                }
            });
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            waits.push(wait);
        }
        assert!(middle.cancel());
        assert_eq!(woken.get(), 3);
    });
}

#[test]
fn a_waker_may_use_everything_when_it_is_cloned_or_dropped() {
    for cancelled in [false, true] {
        no_deadlock(move || {
            let source = Source::new();
            let (cloned, dropped) = (Count::new(), Count::new());
            let (on_clone, on_drop) = (looking(&source, &cloned), looking(&source, &dropped));
            let waker = hooked(move |event| match event {
                Event::Clone => on_clone(),
                Event::Drop => on_drop(),
                Event::Wake => (),
            });
            let token = source.token();
            let mut wait = Box::pin(token.clone().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            assert!(cloned.get() > 0, "a pending wait keeps a clone");
            // Another waker displaces it, and is displaced again.
            assert!(poll_with(wait.as_mut(), Waker::noop()).is_pending());
            assert!(dropped.get() > 0, "the displaced waker is dropped");
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            if cancelled {
                source.cancel();
            }
            drop(wait);
            let before = dropped.get();
            drop(waker);
            assert!(dropped.get() > before);
        });
    }
}

#[test]
fn a_waker_may_cancel_its_own_token_when_it_is_cloned() {
    no_deadlock(|| {
        let source = Source::new();
        let canceller = source.clone();
        let woken = Count::new();
        let count = woken.clone();
        let waker = hooked(move |event| match event {
            Event::Clone => {
                here_and_there(|| look_and_cancel(&canceller, &canceller.token()));
            }
            Event::Wake => count.add(),
            Event::Drop => (),
        });
        let mut wait = Box::pin(source.token().cancelled_owned());
        // Cancelled in the middle of this poll: ready, or woken.
        let pending = poll_with(wait.as_mut(), &waker).is_pending();
        assert!(source.is_cancelled());
        assert!(!pending || woken.get() > 0, "the wake-up is lost");
        assert!(poll_once(wait.as_mut()).is_ready());
    });
}

#[test]
fn a_waker_may_drop_other_waits_of_the_same_token() {
    no_deadlock(|| {
        let source = Source::new();
        let others: Arc<Mutex<Vec<_>>> = Arc::default();
        let mut first = Box::pin(source.token().cancelled_owned());
        let mut last = Box::pin(source.token().cancelled_owned());
        let emptied = Arc::clone(&others);
        let waker = on_wake(move || drop(std::mem::take(&mut *lock(&emptied))));
        assert!(poll_with(first.as_mut(), &waker).is_pending());
        for _ in 0..200 {
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_once(wait.as_mut()).is_pending());
            lock(&others).push(wait);
        }
        assert!(poll_with(last.as_mut(), &waker).is_pending());
        assert!(source.cancel());
        assert!(lock(&others).is_empty());
        assert!(poll_once(first.as_mut()).is_ready());
        assert!(poll_once(last.as_mut()).is_ready());
    });
}

#[test]
fn a_waker_of_a_child_may_ask_the_root() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let answers = Count::new();
        let (token, count) = (root.token(), answers.clone());
        let waker = on_wake(move || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    if token.is_cancelled() && token.child().is_cancelled() {
                        count.add();
                    }
                });
            });
        });
        let mut wait = Box::pin(child.token().cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        root.cancel();
        assert_eq!(answers.get(), 1);
    });
}

#[test]
fn what_a_callback_captured_may_use_everything_when_it_is_dropped() {
    no_deadlock(|| {
        let source = Source::new();
        let (never, count) = (Token::never(), Count::new());
        let captured = || {
            let look = looking(&source, &count);
            let captured = OnDrop(look);
            move |_: &desist::Cancelled| drop(captured)
        };
        let token = source.token();
        drop(token.on_cancel(captured()));
        assert_eq!(count.get(), 1, "dropping the registration drops it");
        assert!(token.on_cancel(captured()).unregister());
        assert_eq!(count.get(), 2);
        drop(token.on_cancel(captured()).unregistered());
        assert_eq!(count.get(), 3);
        never.on_cancel(captured()).detach();
        assert_eq!(count.get(), 4);
        let _held = token.on_cancel(captured());
        source.child().token().on_cancel(captured()).detach();
        assert_eq!(count.get(), 5, "the tree of the child is gone");
        source.cancel();
        assert_eq!(count.get(), 6);
        drop(token.on_cancel(captured()));
        assert_eq!(count.get(), 7);
    });
}

#[test]
fn what_a_callback_captured_may_cancel_when_it_is_dropped() {
    no_deadlock(|| {
        let source = Source::new();
        let canceller = source.clone();
        let captured = OnDrop(move || {
            here_and_there(|| look_and_cancel(&canceller, &canceller.token()));
        });
        let held = source.token().on_cancel(move |_| drop(captured));
        assert!(held.unregister());
        assert!(source.is_cancelled());
    });
}

#[test]
fn a_detail_may_use_everything_when_it_is_dropped() {
    no_deadlock(|| {
        let watched = Source::new();
        let count = Count::new();
        let cause = || {
            let look = looking(&watched, &count);
            Cause::new(Reason::Other).detail(DetailOnDrop(look))
        };
        drop(cause());
        assert_eq!(count.get(), 1);
        let first = Source::new();
        let child = first.child();
        assert!(first.cancel_with(cause()));
        assert!(!first.cancel_with(cause()));
        assert_eq!(count.get(), 2, "the cause of a loser is dropped");
        assert!(!child.cancel_with(cause()));
        assert_eq!(count.get(), 3);
        // The last handle of a cancelled tree.
        drop(first);
        assert_eq!(count.get(), 3, "the child still reports it");
        drop(child);
        assert_eq!(count.get(), 4);
    });
}

#[test]
fn a_callback_may_block_while_others_use_the_tree() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let (entered, leave) = (Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), leave.clone());
        let _held = child.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
        });
        thread::scope(|scope| {
            scope.spawn(|| root.cancel());
            entered.wait();
            look_and_cancel(&root, &child.token());
            look_and_cancel(&child, &root.token());
            drop(child);
            leave.open();
        });
    });
}

#[test]
fn a_callback_may_drop_the_last_handles_of_its_own_tree() {
    no_deadlock(|| {
        let root = Source::new();
        let (child, token) = (root.child(), root.token());
        let slot = Arc::new(Mutex::new(Some((root.clone(), child.clone(), token.clone()))));
        let handles = Arc::clone(&slot);
        child.token().on_cancel(move |_| drop(lock(&handles).take())).detach();
        drop((child, token));
        assert!(root.cancel());
        assert!(lock(&slot).is_none());
    });
}

#[test]
fn a_callback_may_wait_for_a_wait_of_its_own_token() {
    no_deadlock(|| {
        let source = Source::new();
        let token = source.token();
        let _held = source.token().on_cancel(move |_| {
            token.blocking_wait();
            assert!(token.blocking_sleep(Duration::from_secs(3_600)).is_err());
            thread::scope(|scope| {
                scope.spawn(|| token.blocking_wait());
            });
        });
        assert!(source.cancel());
    });
}
