//! Callbacks: registered, taken back in every way, left in their place.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use desist::{Registration, Token};

use super::Worker;
use crate::action::Action;
use crate::books::{Callback, CallbackBook, Hold, Slot, Wait, take_back};
use crate::panics::guarded;
use crate::report::ensure;

/// Above this, registrations are taken back before new ones come.
const HELD: usize = 400;

impl Worker {
    /// What foreign code on this signal does. What keeps handles only goes on
    /// signals that are surely cancelled: else it could keep itself for ever.
    pub(super) fn action(&mut self, certain: bool, own: Option<&Arc<Slot>>) -> Action {
        if !certain {
            return if self.random.one_in(12) { Action::Panic } else { Action::Nothing };
        }
        let other = self.any_signal();
        let soon = Duration::from_micros(self.random.below(3_000) as u64);
        let signal = &self.held.signals[other];
        // A panic or a nap more would be mostly panics and naps.
        match (self.random.below(16), &signal.source) {
            (0 | 1, Some(source)) if !(signal.shared && signal.certain) => {
                Action::Cancel(source.clone(), Arc::clone(&signal.book))
            }
            (2, _) => Action::Descend(signal.token.clone()),
            (3, source) => {
                Action::Drop(source.iter().cloned().collect(), vec![signal.token.clone()])
            }
            (4 | 5, _) if signal.certain => Action::Register(signal.token.clone(), signal.clock),
            (6, _) => match own {
                Some(own) => Action::Unregister(Arc::clone(own)),
                None => Action::Panic,
            },
            (7 | 8, _) if !self.held.slots.is_empty() => {
                Action::Unregister(Arc::clone(self.random.pick(&self.held.slots)))
            }
            (9, _) if !self.leaves.is_empty() => {
                Action::WaitFor(Arc::clone(self.random.pick(&self.leaves)))
            }
            (10, Some(source)) => {
                let arm = Action::Arm(source.clone(), Arc::clone(&signal.book), soon);
                self.held.signals[other].shared = true;
                arm
            }
            (11, _) if self.naps > 0 => {
                self.naps -= 1;
                Action::Nap(Duration::from_millis(self.random.between(1, 20) as u64))
            }
            _ => Action::Nothing,
        }
    }

    pub(super) fn register(&mut self) -> bool {
        if self.held.callbacks.iter().filter(|callback| callback.registration.is_some()).count()
            > HELD
        {
            self.unregister();
            return false;
        }
        let at = self.any_signal();
        // `any` of what cannot be cancelled is one of these, too.
        let never = self.random.one_in(50) || self.held.signals[at].token == Token::never();
        let (token, signal, certain, clock) = {
            let signal = &self.held.signals[at];
            let token = if never { Token::never() } else { signal.token.clone() };
            (token, if never { 0 } else { signal.id }, signal.certain && !never, signal.clock)
        };
        let slot = (certain && self.random.one_in(3)).then(|| Arc::new(Slot::default()));
        let action = self.action(certain, slot.as_ref());
        let leaf = action.is_leaf();
        let (book, captured) = CallbackBook::new(self.random.one_in(300), never);
        let inner = Arc::clone(&book);
        let below = if certain { self.below(signal) } else { Vec::new() };
        let was_cancelled = token.is_cancelled();
        let on = (certain || self.random.one_in(2)).then(|| token.clone());
        if let Some(slot) = &slot {
            self.held.slots.push(Arc::clone(slot));
            if leaf {
                self.leaves.push(Arc::clone(slot));
            }
        }
        // Entered before it is registered: that may call it, and panic.
        let callback =
            Callback { book: Arc::clone(&book), on, signal, registration: None, slot, leaf };
        self.held.callbacks.push(callback);
        let registration = token.on_cancel(move |cancelled| {
            captured.look();
            ensure!(below.iter().all(Token::is_cancelled), "live below when a callback runs");
            inner.call(cancelled, clock, || {
                // May be the last to hold them, and so drop what panics.
                drop(below);
                action.run();
            });
            // Dropped here, before the callback is over.
            drop(captured);
        });
        ensure!(!was_cancelled || book.is_over(), "not called inline on a cancelled signal");
        if let Some(callback) = self.held.callbacks.last_mut() {
            match &callback.slot {
                Some(slot) => slot.put(registration, book),
                None => callback.registration = Some(registration),
            }
        }
        true
    }

    /// A registration that this thread holds, taken out of its callback.
    fn take_registration(&mut self) -> Option<(Registration, usize)> {
        if self.held.callbacks.is_empty() {
            return None;
        }
        let start = self.random.below(self.held.callbacks.len());
        let near = self.held.callbacks[start..].iter_mut().enumerate().take(20);
        let mut held =
            near.filter_map(|(more, callback)| Some((callback.registration.take()?, start + more)));
        held.next()
    }

    pub(super) fn unregister(&mut self) -> bool {
        if self.random.one_in(4) && !self.held.slots.is_empty() {
            return self.random.pick(&self.held.slots).unregister();
        }
        let Some((registration, at)) = self.take_registration() else { return false };
        let book = Arc::clone(&self.held.callbacks[at].book);
        take_back(&book, || registration.unregister(), false);
        true
    }

    pub(super) fn blocking_unregister(&mut self) -> bool {
        let Some((registration, at)) = self.take_registration() else { return false };
        let book = Arc::clone(&self.held.callbacks[at].book);
        take_back(&book, || registration.blocking_unregister(), true);
        true
    }

    /// As a future, polled now and again later, or dropped.
    pub(super) fn unregistered(&mut self) -> bool {
        let Some((registration, at)) = self.take_registration() else { return false };
        let callback = &mut self.held.callbacks[at];
        // From now on another thread may take it back.
        callback.signal = 0;
        let hold =
            Hold::Unregistered(Box::pin(registration.unregistered()), Arc::clone(&callback.book));
        let mut wait = Wait::new(hold, callback.on.clone(), 0);
        let polled = !self.random.one_in(8);
        if polled {
            let waker = self.counted(false, 0);
            wait.poll(waker);
        }
        self.keep_wait(wait);
        polled
    }

    pub(super) fn drop_registration(&mut self) -> bool {
        let Some((registration, at)) = self.take_registration() else { return false };
        let book = Arc::clone(&self.held.callbacks[at].book);
        book.dropped();
        drop(registration);
        true
    }

    pub(super) fn detach(&mut self) -> bool {
        let Some((registration, _)) = self.take_registration() else { return false };
        registration.detach();
        true
    }

    /// A callback that borrows from this stack, while something else happens.
    pub(super) fn while_registered(&mut self) -> bool {
        let at = self.any_signal();
        let token = self.held.signals[at].token.clone();
        let (begun, over) = (AtomicU32::new(0), AtomicU32::new(0));
        let panics = self.random.one_in(20);
        let borrowed = Box::new([7_u8; 100]);
        let was_cancelled = token.is_cancelled();
        let result = guarded(|| {
            token.while_registered(
                |_| {
                    begun.fetch_add(1, Relaxed);
                    ensure!(borrowed.iter().all(|&byte| byte == 7), "what it borrows is gone");
                    over.fetch_add(1, Relaxed);
                    if panics {
                        crate::panics::inject();
                    }
                },
                || {
                    if self.random.one_in(2) {
                        let inner = self.any_signal();
                        let often = self.held.signals[inner].certain && !self.random.one_in(30);
                        if !often {
                            self.cancel_at(inner);
                        }
                    }
                },
            );
        });
        let (begun, over) = (begun.load(Relaxed), over.load(Relaxed));
        ensure!(begun == over && begun <= 1, "begun {begun} times, over {over} times");
        ensure!(!was_cancelled || begun == 1, "not called first on a cancelled signal");
        ensure!(result.is_some() || panics || begun <= 1, "a scope went wrong");
        true
    }
}
