//! The same operations from several threads at once: what must hold in whatever order.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use desist::testing::ManualClock;
use desist::{Reason, Registration, Source, Token, WhenCancelled};

use crate::common::race::{Random, all_at_once};
use crate::common::wakers::{Wakes, counting};
use crate::common::{Captured, Count, cause_of, lock, no_deadlock, poll_once, poll_with};

/// A callback: how often it was called, whether it was prevented, and what it has captured.
struct Callback {
    on: Token,
    called: Count,
    prevented: Count,
    captured: Captured,
}

/// A wait that was pending once, with its waker.
struct Waiter {
    on: Token,
    wakes: Arc<Wakes>,
    wait: Option<Pin<Box<WhenCancelled<'static>>>>,
}

#[derive(Default)]
struct Shared {
    sources: Mutex<Vec<Source>>,
    callbacks: Mutex<Vec<Callback>>,
    waiters: Mutex<Vec<Waiter>>,
    /// How often each source, by the number of its place, was won.
    won: Mutex<Vec<(Token, Reason)>>,
}

impl Shared {
    fn source(&self, random: &mut Random) -> Source {
        let sources = lock(&self.sources);
        let bound = u32::try_from(sources.len()).expect("few");
        sources[random.below(bound) as usize].clone()
    }

    fn add(&self, source: Source) {
        lock(&self.sources).push(source);
    }

    fn cancel(&self, source: &Source, random: &mut Random) {
        let reasons = [Reason::Superseded, Reason::Overload, Reason::Shutdown, Reason::Other];
        let reason = reasons[random.below(4) as usize];
        if source.cancel_with(reason) {
            lock(&self.won).push((source.token(), reason));
            assert_eq!(source.token().reason(), Some(reason), "the winner's cause");
        }
        assert!(source.is_cancelled());
    }

    fn register(
        &self,
        source: &Source,
        random: &mut Random,
        held: &mut Vec<(Registration, Count)>,
    ) {
        let callback = Callback {
            on: source.token(),
            called: Count::new(),
            prevented: Count::new(),
            captured: Captured::new(),
        };
        let (called, handle) = (callback.called.clone(), callback.captured.handle());
        let other = (random.below(6) == 0).then(|| self.source(random));
        let registration = callback.on.on_cancel(move |_| {
            let _handle = handle;
            called.add();
            if let Some(other) = other {
                drop(other.child());
                other.cancel_with(Reason::SiblingFailed);
            }
        });
        held.push((registration, callback.prevented.clone()));
        lock(&self.callbacks).push(callback);
    }

    fn wait(&self, source: &Source, random: &mut Random) {
        let (wakes, waker) = counting();
        let mut wait = Box::pin(source.token().cancelled_owned());
        if poll_with(wait.as_mut(), &waker).is_pending() {
            let wait = (random.below(3) > 0).then_some(wait);
            let on = source.token();
            lock(&self.waiters).push(Waiter { on, wakes, wait });
        }
    }

    fn work(&self, clock: &ManualClock, seed: u64) -> Vec<(Registration, Count)> {
        let mut random = Random::seeded(seed);
        let mut held = Vec::new();
        for _ in 0..60 {
            let source = self.source(&mut random);
            match random.below(20) {
                0..4 => self.add(source.child()),
                4..6 => {
                    let parents = [source.token(), self.source(&mut random).token()];
                    self.add(Source::linked(&parents));
                    drop(Token::any(&parents));
                }
                6..10 => self.register(&source, &mut random, &mut held),
                10..14 => self.wait(&source, &mut random),
                14 => {
                    let millis = u64::from(random.below(50));
                    source.cancel_after(Duration::from_millis(millis));
                }
                15 => source.disarm(),
                16 => clock.advance(Duration::from_millis(3)),
                17 => self.cancel(&source, &mut random),
                _ => {
                    if let Some((registration, prevented)) = held.pop() {
                        if registration.blocking_unregister() {
                            prevented.add();
                        }
                    }
                }
            }
        }
        held
    }
}

#[test]
fn any_operations_on_several_threads_keep_the_invariants() {
    no_deadlock(|| {
        for round in 0..if cfg!(miri) { 2 } else { 250 } {
            let clock = ManualClock::new();
            let shared = Shared::default();
            let root = Source::with_clock(clock.clock());
            shared.add(root.child());
            shared.add(root.child());
            shared.add(root.clone());
            let held = all_at_once(3, |thread| {
                let seed = round * 3 + u64::try_from(thread).expect("small");
                shared.work(&clock, seed)
            });

            // Half of the registrations that are left are prevented, the others must be called.
            for (index, (registration, prevented)) in held.into_iter().flatten().enumerate() {
                if index % 2 == 0 {
                    if registration.unregister() {
                        prevented.add();
                    }
                } else {
                    registration.detach();
                }
            }
            root.cancel_with(Reason::Requested);
            let sources = std::mem::take(&mut *lock(&shared.sources));
            assert!(sources.iter().all(Source::is_cancelled), "all are below the root");
            check(&shared);
            drop(sources);
        }
    });
}

/// Everything is cancelled: what must be true of it.
fn check(shared: &Shared) {
    for callback in lock(&shared.callbacks).iter() {
        let (called, prevented) = (callback.called.get(), callback.prevented.get());
        assert_eq!(called + prevented, 1, "called {called} times, prevented {prevented} times");
        assert_eq!(callback.captured.held(), 0, "what it captured is dropped");
        assert!(callback.on.is_cancelled());
    }
    for waiter in lock(&shared.waiters).iter_mut() {
        assert!(waiter.on.is_cancelled());
        match &mut waiter.wait {
            Some(wait) => {
                assert_eq!(waiter.wakes.get(), 1, "woken once");
                assert!(poll_once(wait.as_mut()).is_ready());
            }
            None => assert!(waiter.wakes.get() <= 1),
        }
    }
    let won = lock(&shared.won);
    for (index, (token, reason)) in won.iter().enumerate() {
        assert_eq!(cause_of(token).reason(), *reason);
        assert!(won[index + 1..].iter().all(|(other, _)| other != token), "two winners");
    }
}
