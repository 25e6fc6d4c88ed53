//! Callbacks: registered, taken back, forgotten, borrowed, and those that panic.

use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use desist::{Registration, Token};

use super::{Mine, Shared};
use crate::common::{Captured, Count, lock, poll_once};

#[derive(Clone)]
pub(super) struct Callback {
    pub(super) on: usize,
    called: Count,
    /// Somebody is about to take it back.
    wanted: Count,
    prevented: Count,
    captured: Arc<Captured>,
}

/// A registration, and what is known of its callback.
pub(super) type Taken = (Registration, Callback);

impl Callback {
    fn new(on: usize) -> Self {
        Self {
            on,
            called: Count::new(),
            wanted: Count::new(),
            prevented: Count::new(),
            captured: Arc::new(Captured::new()),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.called.get() + self.wanted.get() > 0
    }

    pub(super) fn check_end(&self) {
        let (called, prevented) = (self.called.get(), self.prevented.get());
        assert_eq!(called + prevented, 1, "called {called} times, prevented {prevented} times");
        assert_eq!(self.captured.held(), 0, "what it captured is dropped");
    }
}

/// The payload of those callbacks that panic.
struct Deliberate;

/// What `body` gives, unless a callback of ours panicked in it.
pub(super) fn tolerate<R>(body: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Deliberate>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// Counts a panic that may be heard by nobody.
struct Fault(Count);

impl Drop for Fault {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.add();
        }
    }
}

impl Shared {
    pub(super) fn register(self: &Arc<Self>, mine: &mut Mine, number: u8, cancels: Option<u8>) {
        let known = mine.known(number);
        let callback = Callback::new(known.on);
        let (called, handle) = (callback.called.clone(), callback.captured.handle());
        let other = cancels.map(|number| {
            let (source, known) = mine.source(number);
            (Arc::clone(self), source.clone(), known.clone())
        });
        let registration = known.node.token.on_cancel(move |_| {
            let _handle = handle;
            called.add();
            if let Some((shared, source, known)) = other {
                let _fault = Fault(shared.faults.clone());
                drop(source.child());
                shared.cancel(&source, &known);
            }
        });
        lock(&self.callbacks).push(callback.clone());
        mine.registrations.push((registration, callback));
    }

    /// Whoever runs it hears of it, and nobody else is left out for it.
    pub(super) fn panicking_callback(&self, mine: &mut Mine, number: u8) {
        let known = mine.known(number);
        let callback = Callback::new(known.on);
        let (called, handle) = (callback.called.clone(), callback.captured.handle());
        let registration = tolerate(|| {
            known.node.token.on_cancel(move |_| {
                let _handle = handle;
                called.add();
                // It is none for the panic hook.
                resume_unwind(Box::new(Deliberate));
            })
        });
        lock(&self.callbacks).push(callback.clone());
        if let Some(registration) = registration {
            mine.registrations.push((registration, callback));
        }
    }

    /// A child that is dropped at once, with a callback and a wait on it.
    pub(super) fn forget(&self, mine: &Mine, number: u8, detach: bool) {
        let (called, captured) = (Count::new(), Captured::new());
        let child = mine.known(number).node.token.child();
        let mut wait = pin!(child.token().cancelled_owned());
        let _ = poll_once(wait.as_mut());
        let (calls, handle) = (called.clone(), captured.handle());
        let registration = child.token().on_cancel(move |_| {
            let _handle = handle;
            calls.add();
        });
        if detach {
            registration.detach();
        }
        lock(&self.forgotten).push((called, captured));
    }

    pub(super) fn scope(&self, mine: &Mine, number: u8, cancels: Option<u8>) {
        let (begun, ended) = (Count::new(), Count::new());
        let (begin, end) = (begun.clone(), ended.clone());
        let cancels = cancels.map(|number| mine.source(number));
        let token: &Token = &mine.known(number).node.token;
        token.while_registered(
            move |_| {
                begin.add();
                (0..100).for_each(|_| spin_loop());
                end.add();
            },
            || cancels.map(|(source, known)| self.cancel(source, known)),
        );
        let calls = begun.get();
        assert!(calls <= 1 && calls == ended.get(), "it runs on after its scope");
        lock(&self.scopes).push((begun, calls));
    }
}

pub(super) fn take_back((registration, callback): Taken, way: u8) {
    callback.wanted.add();
    let prevented = match way % 4 {
        0 => registration.unregister(),
        1 => registration.blocking_unregister(),
        way => take_back_awaited(registration, way == 3),
    };
    if prevented {
        callback.prevented.add();
    }
}

/// As a future: driven to its end, or given up if it has to wait. True if it was prevented.
fn take_back_awaited(registration: Registration, give_up: bool) -> bool {
    let mut unregistered = pin!(registration.unregistered());
    loop {
        match poll_once(unregistered.as_mut()) {
            Poll::Ready(prevented) => return prevented,
            // It waits only for a callback that runs: that one was not prevented.
            Poll::Pending if give_up => return false,
            Poll::Pending => thread::yield_now(),
        }
    }
}
