//! Handles, registrations, futures and sources dropped in any order inside callbacks, and callbacks
//! that register, make children and cancel again.

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::thread;

use desist::{Reason, Source, Token};

use crate::common::race::Random;
use crate::common::wakers::counting;
use crate::common::{Captured, Count, Gate, Log, lock, no_deadlock, poll_once, poll_with};

/// Everything that can be held of one tree, to be dropped in any order.
fn everything(root: &Source, captured: &Captured) -> Vec<Box<dyn Any + Send>> {
    let child = root.child();
    let linked = Source::linked([child.token(), root.token(), Source::new().token()]);
    let token = linked.token();
    let register = |token: &Token| {
        let handle = captured.handle();
        token.on_cancel(move |_| drop(handle))
    };
    register(&token).detach();
    let (_, waker) = counting();
    let mut wait = Box::pin(token.clone().cancelled_owned());
    let _ = poll_with(wait.as_mut(), &waker);
    let mut run = Box::pin(child.token().run_owned(std::future::pending::<()>()));
    let _ = poll_with(run.as_mut(), &waker);
    vec![
        Box::new(root.clone()),
        Box::new(root.token()),
        Box::new(register(&root.token())),
        Box::new(register(&child.token())),
        Box::new(register(&token)),
        Box::new(register(&token).unregistered()),
        Box::new(token.child().into_guard()),
        Box::new(Token::any([token.clone(), child.token()])),
        Box::new(token),
        Box::new(wait),
        Box::new(run),
        Box::new(child.token().cancelled_owned()),
        Box::new(child),
        Box::new(linked),
    ]
}

#[test]
fn everything_is_dropped_in_any_order_inside_a_callback() {
    no_deadlock(|| {
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let captured = Captured::new();
            let root = Source::new();
            let outer = root.child();
            let mut all = everything(&outer, &captured);
            random.shuffle(&mut all);
            let in_callback = all.split_off(all.len() / 2);
            let slot = Arc::new(Mutex::new(in_callback));
            let emptied = Arc::clone(&slot);
            // On a random one of the tokens; it drops the others, and itself last of all.
            let on = [root.token(), outer.token(), outer.child().token()];
            let token = &on[random.below(3) as usize];
            let held = token.on_cancel(move |_| drop(std::mem::take(&mut *lock(&emptied))));
            assert!(root.cancel());
            drop(held);
            drop((root, outer, on));
            random.shuffle(&mut all);
            drop(all);
            assert!(lock(&slot).is_empty(), "seed {seed}");
            drop(slot);
            assert_eq!(captured.held(), 0, "seed {seed}");
        }
    });
}

#[test]
fn everything_is_dropped_in_any_order_without_a_signal() {
    for seed in 0..300 {
        let captured = Captured::new();
        let root = Source::new();
        let mut all = everything(&root, &captured);
        drop(root);
        Random::seeded(seed).shuffle(&mut all);
        for one in all {
            drop(one);
        }
        assert_eq!(captured.held(), 0, "seed {seed}");
    }
}

#[test]
fn everything_is_dropped_in_any_order_while_another_thread_cancels() {
    no_deadlock(|| {
        for seed in 0..300 {
            let captured = Captured::new();
            let root = Source::new();
            let mut all = everything(&root, &captured);
            let mut random = Random::seeded(seed);
            random.shuffle(&mut all);
            let other = all.split_off(all.len() / 2);
            thread::scope(|scope| {
                scope.spawn(|| root.cancel());
                scope.spawn(move || drop(other));
                drop(all);
            });
            drop(root);
            assert_eq!(captured.held(), 0, "seed {seed}");
        }
    });
}

#[test]
fn a_callback_that_registers_on_its_own_token_sees_it_run_inline() {
    fn register_again(token: &Token, log: &Log<u32>, depth: u32) {
        let (again, to) = (token.clone(), log.clone());
        let held = token.on_cancel(move |_| {
            to.push(depth);
            if depth < 50 {
                register_again(&again, &to, depth + 1);
            }
        });
        held.detach();
    }

    no_deadlock(|| {
        let source = Source::new();
        let log = Log::new();
        register_again(&source.token(), &log, 0);
        assert!(source.cancel());
        assert_eq!(log.take(), (0..=50).collect::<Vec<_>>());
    });
}

#[test]
fn a_callback_that_makes_children_and_cancels_again() {
    no_deadlock(|| {
        let root = Source::new();
        let results = Log::new();
        let (source, to) = (root.clone(), results.clone());
        let _held = root.token().on_cancel(move |cause| {
            to.push(source.cancel());
            to.push(source.cancel_with(Reason::Shutdown));
            let child = source.child();
            to.push(child.cancel());
            to.push(Source::linked([child.token()]).cancel());
            to.push(child.token().reason() != Some(cause.reason()));
            source.cancel_after(std::time::Duration::ZERO);
            drop(source.guard());
        });
        assert!(root.cancel());
        assert_eq!(results.take(), [false; 5]);
    });
}

#[test]
fn callbacks_that_cancel_the_next_source_in_a_ring() {
    no_deadlock(|| {
        let ring: Vec<Source> = (0..100).map(|_| Source::new()).collect();
        let called = Count::new();
        for (index, source) in ring.iter().enumerate() {
            let next = ring[(index + 1) % ring.len()].clone();
            let count = called.clone();
            source
                .token()
                .on_cancel(move |_| {
                    count.add();
                    next.cancel();
                })
                .detach();
        }
        assert!(ring[42].cancel());
        assert!(ring.iter().all(Source::is_cancelled));
        assert_eq!(called.get(), 100);
    });
}

#[test]
fn a_registration_is_dropped_inside_its_own_callback() {
    no_deadlock(|| {
        let source = Source::new();
        let captured = Captured::new();
        let slot = Arc::new(Mutex::new(None));
        let (own, handle) = (Arc::clone(&slot), captured.handle());
        let held = source.token().on_cancel(move |_| {
            drop(lock(&own).take());
            drop(handle);
        });
        *lock(&slot) = Some(held);
        assert!(source.cancel());
        assert!(lock(&slot).is_none());
        assert_eq!(captured.held(), 0);
    });
}

#[test]
fn the_last_source_and_token_are_dropped_inside_their_own_callback() {
    no_deadlock(|| {
        for _ in 0..50 {
            let source = Source::new();
            let token = source.token();
            let slot = Arc::new(Mutex::new(Some((source, token.child(), token))));
            let own = Arc::clone(&slot);
            let canceller = {
                let slot = lock(&slot);
                let (source, child, token) = slot.as_ref().expect("just put there");
                child.token().on_cancel(move |_| drop(lock(&own).take())).detach();
                assert!(!token.is_cancelled());
                source.clone().into_guard()
            };
            drop(canceller);
            assert!(lock(&slot).is_none());
        }
    });
}

#[test]
fn a_callback_drops_a_wait_that_is_being_woken_with_it() {
    no_deadlock(|| {
        let source = Source::new();
        let (wakes, waker) = counting();
        let mut wait = Box::pin(source.token().cancelled_owned());
        assert!(poll_with(wait.as_mut(), &waker).is_pending());
        let mut late = Box::pin(source.token().cancelled_owned());
        let _held = source.token().on_cancel(move |_| {
            drop(wait);
            assert!(poll_once(late.as_mut()).is_ready());
            drop(late);
        });
        assert!(source.cancel());
        assert_eq!(wakes.get(), 1);
    });
}

#[test]
fn two_callbacks_that_wait_for_each_other_are_freed_by_a_third_party() {
    // Two callbacks that wait for each other wait for ever: nobody can help that, but the tree
    // stays usable meanwhile, and they end when somebody lets one of them go.
    no_deadlock(|| {
        let sources = [Source::new(), Source::new()];
        let gates = [Gate::new(), Gate::new()];
        let (inside, ended) = ([Gate::new(), Gate::new()], Count::new());
        for index in 0..2 {
            let (mine, other) = (gates[index].clone(), gates[1 - index].clone());
            let (entered, count) = (inside[index].clone(), ended.clone());
            sources[index]
                .token()
                .on_cancel(move |_| {
                    entered.open();
                    other.wait();
                    mine.open();
                    count.add();
                })
                .detach();
        }
        thread::scope(|scope| {
            for source in &sources {
                scope.spawn(|| source.cancel());
            }
            inside.iter().for_each(Gate::wait);
            for source in &sources {
                assert!(source.is_cancelled() && source.child().is_cancelled());
                assert!(!source.cancel());
                assert!(!source.token().on_cancel(|_| ()).unregister());
            }
            gates[0].open();
        });
        assert_eq!(ended.get(), 2);
    });
}

#[test]
fn a_cause_that_holds_a_long_chain_of_cancellations_is_dropped_without_recursion() {
    crate::common::on_small_stack(|| {
        let mut error = crate::common::cause_of(&Token::cancelled_with("the first"));
        for _ in 0..100_000 {
            error = crate::common::cause_of(&Token::cancelled_with(error));
        }
        assert_eq!(error.reason(), Reason::Requested);
        drop(error);
    });
}
