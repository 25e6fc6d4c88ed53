//! Wakers that come back to the token while they are cloned, woken or dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use desist::{Source, WhenCancelled};

use crate::common::wakers::{Event, counting, hooked, on_wake};
use crate::common::{Count, lock, no_deadlock, poll_once, poll_with};

type Wait = Pin<Box<WhenCancelled<'static>>>;

#[test]
fn a_waker_that_polls_a_new_wait_on_the_same_token() {
    no_deadlock(|| {
        for event in [Event::Clone, Event::Wake, Event::Drop] {
            let source = Source::new();
            let token = source.token();
            let made: Arc<Mutex<Vec<Wait>>> = Arc::default();
            let waits = Arc::clone(&made);
            let waker = hooked(move |seen| {
                if seen == event && lock(&waits).len() < 10 {
                    let mut wait = Box::pin(token.clone().cancelled_owned());
                    let _ = poll_once(wait.as_mut());
                    lock(&waits).push(wait);
                }
            });
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            assert!(poll_with(wait.as_mut(), Waker::noop()).is_pending());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            drop(source.guard());
            assert!(source.is_cancelled());
            drop((wait, waker));
            let mut made = std::mem::take(&mut *lock(&made));
            assert!(!made.is_empty(), "{event:?}");
            assert!(made.iter_mut().all(|wait| poll_once(wait.as_mut()).is_ready()));
        }
    });
}

#[test]
fn a_waker_that_drops_its_own_wait() {
    no_deadlock(|| {
        let source = Source::new();
        let slot: Arc<Mutex<Option<Wait>>> = Arc::default();
        let own = Arc::clone(&slot);
        let waker = on_wake(move || drop(lock(&own).take()));
        let mut wait = Box::pin(source.token().cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        drop(waker);
        *lock(&slot) = Some(wait);
        assert!(source.cancel());
        assert!(lock(&slot).is_none());
    });
}

#[test]
fn a_waker_that_drops_the_last_handles_of_its_tree() {
    no_deadlock(|| {
        let root = Source::new();
        let child = root.child();
        let mut wait = Box::pin(child.token().cancelled_owned());
        let slot = Arc::new(Mutex::new(Some((root.clone(), child.clone()))));
        let own = Arc::clone(&slot);
        let waker = on_wake(move || drop(lock(&own).take()));
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        drop(child);
        drop(root.into_guard());
        assert!(lock(&slot).is_none());
        assert!(poll_once(wait.as_mut()).is_ready());
    });
}

#[test]
fn a_waker_that_polls_its_own_wait_again() {
    no_deadlock(|| {
        let source = Source::new();
        let slot: Arc<Mutex<Option<Wait>>> = Arc::default();
        let ready = Count::new();
        let (own, count) = (Arc::clone(&slot), ready.clone());
        let waker = on_wake(move || {
            if lock(&own).as_mut().is_some_and(|wait| poll_once(wait.as_mut()).is_ready()) {
                count.add();
            }
        });
        let mut wait = Box::pin(source.token().cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        *lock(&slot) = Some(wait);
        assert!(source.cancel());
        assert_eq!(ready.get(), 1);
        drop(lock(&slot).take());
    });
}

#[test]
fn a_waker_that_polls_the_waits_whose_turn_comes_after_it() {
    no_deadlock(|| {
        const WAITS: usize = 100;
        let source = Source::new();
        let held: Arc<Mutex<Vec<Wait>>> = Arc::default();
        let mut woken = Vec::new();
        for _ in 0..WAITS {
            let (wakes, counter) = counting();
            let waits = Arc::clone(&held);
            let waker = on_wake(move || {
                counter.wake_by_ref();
                assert!(lock(&waits).iter_mut().all(|wait| poll_once(wait.as_mut()).is_ready()));
            });
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            lock(&held).push(wait);
            woken.push(wakes);
        }
        assert!(source.cancel());
        let woken = woken.iter().filter(|wakes| wakes.get() == 1).count();
        assert!((1..=WAITS / 2).contains(&woken), "{woken} are woken, who know of it already");
        lock(&held).clear();
    });
}

#[test]
fn a_waker_that_cancels_other_branches_of_the_tree() {
    no_deadlock(|| {
        let root = Source::new();
        let branches: Vec<Source> = (0..20).map(|_| root.child()).collect();
        let mut waits = Vec::new();
        let mut woken = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let (wakes, counter) = counting();
            let others = branches.clone();
            let next = root.clone();
            let waker = on_wake(move || {
                counter.wake_by_ref();
                others[(index + 7) % others.len()].cancel();
                next.cancel();
            });
            let mut wait = Box::pin(branch.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            waits.push(wait);
            woken.push(wakes);
        }
        assert!(branches[0].cancel());
        assert!(branches.iter().all(Source::is_cancelled));
        assert!(woken.iter().all(|wakes| wakes.get() == 1), "each is woken once");
    });
}

#[test]
fn ten_thousand_waits_with_one_waker_are_woken_each() {
    let source = Source::new();
    let (wakes, waker) = counting();
    let waits: Vec<Wait> = (0..10_000)
        .map(|_| {
            let mut wait = Box::pin(source.token().cancelled_owned());
            assert!(poll_with(wait.as_mut(), &waker).is_pending());
            wait
        })
        .collect();
    assert!(source.cancel());
    assert_eq!(wakes.get(), waits.len());
}
