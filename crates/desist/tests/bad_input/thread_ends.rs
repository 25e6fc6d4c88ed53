//! Handles that are dropped, and signals that are cancelled, when a thread ends: what the thread
//! kept for itself may be gone by then.

use std::any::Any;
use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use desist::{Source, Token};

use crate::common::wakers::counting;
use crate::common::{Captured, Count, OnDrop, no_deadlock, poll_with};

type Kept = RefCell<Vec<Box<dyn Any>>>;

thread_local! {
    /// Dropped last, if it was used first; and the other way round.
    static KEPT: Kept = const { RefCell::new(Vec::new()) };
}

/// Keeps what `make` makes until the thread ends. The thread has used the signal before it has
/// kept anything, or the other way round.
fn until_the_thread_ends(signal_first: bool, make: impl FnOnce() -> Vec<Box<dyn Any>> + Send) {
    let use_the_signal = || {
        let source = Source::with_timeout(Duration::from_secs(3_600));
        let child = source.child();
        source.token().on_cancel(|_| ()).detach();
        source.token().while_registered(|_| (), || source.cancel());
        assert!(child.is_cancelled());
    };
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if signal_first {
                use_the_signal();
            }
            KEPT.with_borrow_mut(|kept| kept.push(Box::new(())));
            use_the_signal();
            let made = make();
            KEPT.with_borrow_mut(|kept| kept.extend(made));
        });
        // Only this waits for what the thread does when it ends.
        thread.join().expect("no panic");
    });
}

#[test]
fn everything_may_be_dropped_when_its_thread_ends() {
    for signal_first in [false, true] {
        no_deadlock(move || {
            let root = Source::new();
            let captured = Captured::new();
            until_the_thread_ends(signal_first, || {
                let child = root.child();
                let handle = captured.handle();
                let held = child.token().on_cancel(move |_| drop(handle));
                let (_, waker) = counting();
                let mut wait = Box::pin(child.token().cancelled_owned());
                assert!(poll_with(wait.as_mut(), &waker).is_pending());
                let timed = child.token().child_with_timeout(Duration::from_secs(3_600));
                vec![
                    Box::new(held),
                    Box::new(wait),
                    Box::new(timed),
                    Box::new(child.token()),
                    Box::new(child),
                ]
            });
            assert_eq!(captured.held(), 0);
            assert!(root.cancel());
        });
    }
}

#[test]
fn a_signal_may_be_cancelled_when_a_thread_ends() {
    for signal_first in [false, true] {
        no_deadlock(move || {
            let source = Source::new();
            let called = Count::new();
            let (count, inner) = (called.clone(), source.token());
            let _held = source.child().token().on_cancel(move |_| {
                inner.on_cancel(|_| ()).unregister();
                count.add();
            });
            let (wakes, waker) = counting();
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            until_the_thread_ends(signal_first, || vec![Box::new(source.guard())]);
            assert!(source.is_cancelled());
            assert_eq!((called.get(), wakes.get()), (1, 1));
        });
    }
}

#[test]
fn signals_may_be_made_and_used_when_a_thread_ends() {
    for signal_first in [false, true] {
        no_deadlock(move || {
            let done = Count::new();
            let (root, count) = (Source::new(), done.clone());
            until_the_thread_ends(signal_first, || {
                let last = OnDrop(move || {
                    let source = Source::with_timeout(Duration::from_secs(3_600));
                    let linked = Source::linked([source.token(), root.token()]);
                    let held = linked.token().on_cancel(|_| ());
                    let waited = linked.token().blocking_wait_timeout(Duration::ZERO);
                    assert!(waited.is_none() && !format!("{linked:?}").is_empty());
                    assert!(held.blocking_unregister());
                    linked.token().while_registered(|_| (), || source.cancel());
                    assert!(Token::any([linked.token(), root.token()]).is_cancelled());
                    count.add();
                });
                vec![Box::new(last)]
            });
            assert_eq!(done.get(), 1);
        });
    }
}

#[test]
fn a_thread_may_end_inside_a_wait_of_another() {
    no_deadlock(|| {
        for _ in 0..50 {
            let source = Source::new();
            let token = source.token();
            let (wakes, waker) = counting();
            // Polled by a thread that is gone when the signal comes, dropped by a third one.
            let polled = thread::spawn(move || {
                let mut wait = Box::pin(token.cancelled_owned());
                assert!(poll_with(wait.as_mut(), &waker).is_pending());
                wait
            });
            let wait = polled.join().expect("no panic");
            assert!(source.cancel());
            assert_eq!(wakes.get(), 1);
            thread::spawn(move || drop(wait)).join().expect("no panic");
        }
    });
}
