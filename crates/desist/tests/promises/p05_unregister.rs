//! Promise 5: what unregistering says, when it waits and when it does not.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use desist::{Registration, Source, Unregistered};

use crate::common::race::{Side, race};
use crate::common::wakers::counting;
use crate::common::{
    Captured, Count, Gate, Log, block_on, lock, no_deadlock, poll_once, poll_with,
};

/// A place for a registration that its own callback looks into.
type Slot<T> = Arc<Mutex<Option<T>>>;

fn put<T>(slot: &Slot<T>, value: T) {
    *lock(slot) = Some(value);
}

fn take<T>(slot: &Slot<T>) -> T {
    lock(slot).take().expect("something was put there")
}

/// A callback that says when it is inside, stays until it may leave, and says when it ends.
struct Running {
    entered: Gate,
    leave: Gate,
    ended: Gate,
    held: Registration,
}

impl Running {
    fn on(source: &Source) -> Self {
        let (entered, leave, ended) = (Gate::new(), Gate::new(), Gate::new());
        let gates = (entered.clone(), leave.clone(), ended.clone());
        let held = source.token().on_cancel(move |_| {
            gates.0.open();
            gates.1.wait();
            gates.2.open();
        });
        Self { entered, leave, ended, held }
    }
}

#[test]
fn unregister_before_the_signal_prevents_the_call() {
    let source = Source::new();
    let called = Count::new();
    let captured = Captured::new();
    let (count, handle) = (called.clone(), captured.handle());
    let registration = source.token().on_cancel(move |_| {
        count.add();
        drop(handle);
    });
    assert!(registration.unregister());
    assert_eq!(captured.held(), 0, "what it captured is dropped at once");
    source.cancel();
    assert_eq!(called.get(), 0);
}

#[test]
fn unregister_after_the_call_returns_false() {
    let source = Source::new();
    let register = || source.token().on_cancel(|_| ());
    let (first, second, third) = (register(), register(), register());
    source.cancel();
    assert!(!first.unregister());
    assert!(!second.blocking_unregister());
    assert!(!block_on(third.unregistered()));
}

#[test]
fn all_three_ways_prevent_the_call() {
    let source = Source::new();
    let called = Count::new();
    let register = || {
        let count = called.clone();
        source.token().on_cancel(move |_| count.add())
    };
    assert!(register().unregister());
    assert!(register().blocking_unregister());
    assert!(block_on(register().unregistered()));
    drop(register());
    drop(register().unregistered());
    source.cancel();
    assert_eq!(called.get(), 0);
}

#[test]
fn unregister_returns_true_exactly_when_it_prevented_the_call() {
    race(
        || {
            let source = Source::new();
            let called = Count::new();
            let count = called.clone();
            let held = source.token().on_cancel(move |_| count.add());
            (source, called, Mutex::new(Some(held)))
        },
        |(source, ..)| source.cancel(),
        |(.., held)| lock(held).take().map(Registration::unregister),
        |(_, called, _), won, prevented| {
            assert!(won);
            let prevented = prevented.expect("it was there");
            assert_eq!(called.get(), usize::from(!prevented));
            Side::left_if(!prevented)
        },
    );
}

#[test]
fn blocking_unregister_returns_after_the_call_or_instead_of_it() {
    race(
        || {
            let source = Source::new();
            let (begun, ended) = (Count::new(), Count::new());
            let (b, e) = (begun.clone(), ended.clone());
            let held = source.token().on_cancel(move |_| {
                b.add();
                thread::yield_now();
                e.add();
            });
            (source, begun, ended, Mutex::new(Some(held)))
        },
        |(source, ..)| source.cancel(),
        |(_, begun, ended, held)| {
            let prevented = lock(held).take().map(Registration::blocking_unregister);
            (prevented, begun.get(), ended.get())
        },
        |(_, _, ended, _), _, (prevented, begun_then, ended_then)| {
            let prevented = prevented.expect("it was there");
            assert_eq!(ended.get(), usize::from(!prevented));
            assert_eq!(begun_then, ended_then, "it was running when the wait was over");
            assert_eq!(ended_then, usize::from(!prevented));
            Side::left_if(!prevented)
        },
    );
}

#[test]
fn dropping_a_registration_prevents_the_call_or_comes_too_late() {
    race(
        || {
            let source = Source::new();
            let captured = Captured::new();
            let called = Count::new();
            let (count, handle) = (called.clone(), captured.handle());
            let held = source.token().on_cancel(move |_| {
                count.add();
                drop(handle);
            });
            (source, called, captured, Mutex::new(Some(held)))
        },
        |(source, ..)| source.cancel(),
        |(.., held)| drop(lock(held).take()),
        |(_, called, captured, _), _, ()| {
            assert!(called.get() <= 1);
            assert_eq!(captured.held(), 0);
            Side::left_if(called.get() == 1)
        },
    );
}

#[test]
fn it_works_during_a_cancellation_for_a_callback_not_yet_started() {
    let source = Source::new();
    let called = Count::new();
    let results = Log::new();
    let registrations: Vec<Registration> = (0..4)
        .map(|_| {
            let count = called.clone();
            source.token().on_cancel(move |_| count.add())
        })
        .collect();
    let to = results.clone();
    // Registered last, so it runs first.
    let _first = source.token().on_cancel(move |_| {
        let mut registrations = registrations.into_iter();
        let mut next = || registrations.next().expect("four were made");
        to.push(next().unregister());
        to.push(next().blocking_unregister());
        to.push(block_on(next().unregistered()));
        drop(next());
    });
    source.cancel();
    assert_eq!(results.take(), [true; 3]);
    assert_eq!(called.get(), 0);
}

#[test]
fn it_works_from_another_thread_during_a_cancellation_without_waiting() {
    no_deadlock(|| {
        let source = Source::new();
        let called = Count::new();
        let register = || {
            let count = called.clone();
            source.token().on_cancel(move |_| count.add())
        };
        let waiting = [register(), register(), register()];
        let in_a_child = source.child().token().on_cancel(|_| ());
        let running = Running::on(&source);
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            running.entered.wait();
            // The child's callback has run before; those of the same token have not yet begun.
            assert!(!in_a_child.unregister());
            let [first, second, third] = waiting;
            assert!(first.unregister());
            assert!(second.blocking_unregister());
            assert!(block_on(third.unregistered()));
            assert!(!running.ended.is_open());
            running.leave.open();
        });
        assert_eq!(called.get(), 0);
    });
}

#[test]
fn unregister_and_drop_do_not_wait_for_a_running_callback() {
    no_deadlock(|| {
        let source = Source::new();
        let (first, second) = (Running::on(&source), Running::on(&source));
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            second.entered.wait();
            assert!(!second.held.unregister());
            assert!(!second.ended.is_open());
            second.leave.open();
            first.entered.wait();
            drop(first.held);
            assert!(!first.ended.is_open());
            first.leave.open();
        });
    });
}

#[test]
fn blocking_unregister_waits_for_a_running_callback() {
    no_deadlock(|| {
        let source = Source::new();
        let running = Running::on(&source);
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            running.entered.wait();
            let (ended, leave) = (running.ended.clone(), running.leave.clone());
            let held = running.held;
            let about_to_wait = Gate::new();
            let about = about_to_wait.clone();
            let waiter = scope.spawn(move || {
                about.open();
                (held.blocking_unregister(), ended.is_open())
            });
            about_to_wait.wait();
            // Nothing tells that the waiter waits by now; give it the time.
            thread::sleep(Duration::from_millis(20));
            leave.open();
            let (prevented, ended) = waiter.join().expect("no panic");
            assert!(!prevented);
            assert!(ended, "it returned while the callback was running");
        });
    });
}

#[test]
fn unregistered_is_pending_while_the_callback_runs_and_is_woken_when_it_ends() {
    no_deadlock(|| {
        let source = Source::new();
        let running = Running::on(&source);
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            running.entered.wait();
            let mut future = pin!(running.held.unregistered());
            let (displaced, waker) = counting();
            assert!(poll_with(future.as_mut(), &waker).is_pending());
            let (wakes, waker) = counting();
            assert!(poll_with(future.as_mut(), &waker).is_pending());
            assert_eq!((displaced.get(), wakes.get()), (0, 0));
            running.leave.open();
            assert!(!block_on(future.as_mut()));
            assert!(running.ended.is_open());
        });
    });
}

#[test]
fn a_dropped_unregistered_future_does_not_wait() {
    no_deadlock(|| {
        let source = Source::new();
        let running = Running::on(&source);
        thread::scope(|scope| {
            scope.spawn(|| source.cancel());
            running.entered.wait();
            let mut future = Box::pin(running.held.unregistered());
            assert!(poll_once(future.as_mut()).is_pending());
            drop(future);
            assert!(!running.ended.is_open());
            running.leave.open();
        });
    });
}

#[test]
fn waiting_from_inside_the_same_callback_does_not_deadlock() {
    no_deadlock(|| {
        let results = Log::new();
        for way in 0..4 {
            let source = Source::new();
            let slot: Slot<Registration> = Arc::default();
            let (own, to) = (Arc::clone(&slot), results.clone());
            let held = source.token().on_cancel(move |_| {
                let own = take(&own);
                to.push(match way {
                    0 => own.unregister(),
                    1 => own.blocking_unregister(),
                    2 => poll_once(pin!(own.unregistered())) != Poll::Ready(false),
                    _ => {
                        drop(own);
                        false
                    }
                });
            });
            put(&slot, held);
            assert!(source.cancel());
        }
        assert_eq!(results.take(), [false; 4]);
    });
}

#[test]
fn an_unregistered_future_made_before_is_ready_inside_its_own_callback() {
    no_deadlock(|| {
        let (first, second) = (Source::new(), Source::new());
        let slot: Slot<std::pin::Pin<Box<Unregistered>>> = Arc::default();
        let (own, entered, made) = (Arc::clone(&slot), Gate::new(), Gate::new());
        let (inside, wait) = (entered.clone(), made.clone());
        let seen = Log::new();
        let to = seen.clone();
        let held = first.token().on_cancel(move |_| {
            inside.open();
            wait.wait();
            to.push(poll_once(take(&own).as_mut()));
        });
        thread::scope(|scope| {
            scope.spawn(|| first.cancel());
            entered.wait();
            let mut future = Box::pin(held.unregistered());
            assert!(poll_once(future.as_mut()).is_pending(), "seen from outside it runs");
            put(&slot, future);
            made.open();
        });
        assert_eq!(seen.take(), [Poll::Ready(false)]);
        assert!(second.cancel());
    });
}

#[test]
fn waiting_from_inside_another_callback_does_wait() {
    no_deadlock(|| {
        let (running_on, waiting_on) = (Source::new(), Source::new());
        let running = Running::on(&running_on);
        let (ended, held) = (running.ended.clone(), running.held);
        let results = Log::new();
        let (to, about) = (results.clone(), Gate::new());
        let about_to_wait = about.clone();
        let _other = waiting_on.token().on_cancel(move |_| {
            about.open();
            let prevented = held.blocking_unregister();
            to.push((prevented, ended.is_open()));
        });
        thread::scope(|scope| {
            scope.spawn(|| running_on.cancel());
            running.entered.wait();
            scope.spawn(|| waiting_on.cancel());
            about_to_wait.wait();
            // Nothing tells that the waiter waits by now; give it the time.
            thread::sleep(Duration::from_millis(20));
            running.leave.open();
        });
        assert_eq!(results.take(), [(false, true)]);
    });
}

#[test]
fn the_stack_of_running_callbacks_counts_and_not_the_thread() {
    no_deadlock(|| {
        // A callback of the outer token cancels the inner one, whose callback asks for the outer
        // callback: that one is below it on the stack of this thread.
        let (outer, inner) = (Source::new(), Source::new());
        let slot: Slot<Registration> = Arc::default();
        let results = Log::new();
        let (own, to) = (Arc::clone(&slot), results.clone());
        inner.token().on_cancel(move |_| to.push(take(&own).blocking_unregister())).detach();
        let cancel_inner = inner.clone();
        let held = outer.token().on_cancel(move |_| assert!(cancel_inner.cancel()));
        put(&slot, held);
        assert!(outer.cancel());
        assert_eq!(results.take(), [false]);
    });
}

#[test]
fn an_unregistered_future_is_ready_anywhere_above_its_callback_on_the_stack() {
    no_deadlock(|| {
        let sources = [Source::new(), Source::new(), Source::new()];
        let slot: Slot<Registration> = Arc::default();
        let results = Log::new();
        let (own, to) = (Arc::clone(&slot), results.clone());
        sources[2]
            .token()
            .on_cancel(move |_| to.push(poll_once(pin!(take(&own).unregistered()))))
            .detach();
        let next = sources[2].clone();
        sources[1].token().on_cancel(move |_| assert!(next.cancel())).detach();
        let next = sources[1].clone();
        put(&slot, sources[0].token().on_cancel(move |_| assert!(next.cancel())));
        assert!(sources[0].cancel());
        assert_eq!(results.take(), [Poll::Ready(false)]);
    });
}

#[test]
fn a_thread_that_runs_one_callback_waits_for_one_it_does_not_run() {
    no_deadlock(|| {
        // The same thread has run that callback's token before; only what it runs now counts.
        let (first, second) = (Source::new(), Source::new());
        let running = Running::on(&second);
        let (ended, held) = (running.ended.clone(), running.held);
        let leave = running.leave.clone();
        let results = Log::new();
        let to = results.clone();
        let asked = Gate::new();
        let about = asked.clone();
        let _other = first.token().on_cancel(move |_| {
            about.open();
            to.push((held.blocking_unregister(), ended.is_open()));
        });
        thread::scope(|scope| {
            scope.spawn(|| second.cancel());
            running.entered.wait();
            scope.spawn(move || {
                asked.wait();
                thread::sleep(Duration::from_millis(20));
                leave.open();
            });
            assert!(first.cancel());
        });
        assert_eq!(results.take(), [(false, true)]);
    });
}

#[test]
fn a_registration_may_be_moved_to_another_thread_and_dropped_there() {
    let source = Source::new();
    let captured = Captured::new();
    let handle = captured.handle();
    let held = source.token().on_cancel(move |_| drop(handle));
    thread::spawn(move || drop(held)).join().expect("no panic");
    assert_eq!(captured.held(), 0);
}
