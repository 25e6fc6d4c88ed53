//! What foreign code does when desist calls it: nothing, or the worst.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use desist::{Cancelled, Reason, Source, Token};

use crate::books::{CallbackBook, ClockKind, Detail, SignalBook, Slot, take_back};
use crate::panics::inject;
use crate::report::ensure;
use crate::sync::Mutex;

/// What a callback does, or a waker's hook.
pub(crate) enum Action {
    Nothing,
    Nap(Duration),
    Panic,
    Cancel(Source, Arc<SignalBook>),
    /// Makes children and waits, and drops them.
    Descend(Token),
    Drop(Vec<Source>, Vec<Token>),
    /// Registers a further callback.
    Register(Token, ClockKind),
    /// Takes another callback back, or this one.
    Unregister(Arc<Slot>),
    /// The same, and waits for it; only for one that is a leaf, so that no two
    /// wait for each other.
    WaitFor(Arc<Slot>),
    Arm(Source, Arc<SignalBook>, Duration),
}

impl Action {
    /// It holds nothing and waits for nobody.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self, Self::Nothing | Self::Nap(_) | Self::Panic)
    }

    pub(crate) fn run(self) {
        match self {
            Self::Nothing => {}
            Self::Nap(time) => thread::sleep(time),
            Self::Panic => inject(),
            Self::Cancel(source, book) => cancel(&source, &book),
            Self::Descend(token) => descend(&token),
            Self::Drop(sources, tokens) => drop((sources, tokens)),
            Self::Register(token, clock) => register(&token, clock),
            Self::Unregister(slot) => {
                slot.unregister();
            }
            Self::WaitFor(slot) => {
                if let Some((registration, book)) = slot.take() {
                    take_back(&book, || registration.blocking_unregister(), true);
                }
            }
            Self::Arm(source, book, timeout) => {
                book.timed.store(true, std::sync::atomic::Ordering::Relaxed);
                source.cancel_after(timeout);
            }
        }
    }
}

/// Cancels with a detail by which the winner is known again.
pub(crate) fn cancel(source: &Source, book: &SignalBook) {
    let detail = Detail::new(false, None);
    let number = detail.number;
    book.attempt(number, || source.cancel_with(Reason::SiblingFailed.with(detail)));
    ensure!(source.is_cancelled(), "live after a cancel in foreign code");
}

fn descend(token: &Token) {
    let before = token.is_cancelled();
    let children: [Source; 3] = std::array::from_fn(|_| token.child());
    let grandchild = Source::linked([children[0].token(), children[1].token()]);
    let born = grandchild.is_cancelled() && children.iter().all(Source::is_cancelled);
    ensure!(!before || born, "a child of a cancelled signal is born live");
    let own = grandchild.token();
    let mut wait = pin!(own.cancelled());
    let ready = wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    ensure!(!before || ready, "a wait for a cancelled signal is pending");
}

fn register(token: &Token, clock: ClockKind) {
    let before = token.is_cancelled();
    let (book, captured) = CallbackBook::new(false, false);
    let inner = Arc::clone(&book);
    let registration = token.on_cancel(move |cancelled: &Cancelled| {
        captured.look();
        inner.call(cancelled, clock, || ());
    });
    ensure!(!before || book.is_over(), "not called inline on a cancelled signal");
    registration.detach();
}

/// An action that a hook, which may be called often, does the first time.
pub(crate) struct Once(Mutex<Option<Action>>);

impl Once {
    pub(crate) fn new(action: Action) -> Self {
        Self(Mutex::new(Some(action)))
    }

    pub(crate) fn run(&self) {
        let action = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(action) = action {
            action.run();
        }
    }
}
